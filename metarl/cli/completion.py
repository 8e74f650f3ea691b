"""Print what makes a shell complete the words of metarl: verbs, options, names and run folders.

The names are those that are installed when the key is pressed, plug-ins among them.

Examples:
  metarl completion bash >> ~/.bashrc
  metarl completion zsh >> ~/.zshrc                     after compinit
  metarl completion fish > ~/.config/fish/completions/metarl.fish
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError

_BASH = """\
_metarl() {
    local program="${1/%train-policy/metarl}"
    mapfile -t COMPREPLY < <("$program" completion candidates bash \\
        "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    # After a folder more may follow.
    [[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
}
complete -F _metarl metarl train-policy
"""
_ZSH = """\
_metarl() {
    local program="${words[1]/%train-policy/metarl}"
    local -a found
    found=("${(@f)$("$program" completion candidates zsh \\
        "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    compadd -- ${found:#*/}
    # After a folder more may follow.
    compadd -S '' -- ${(M)found:#*/}
}
compdef _metarl metarl train-policy
"""
_FISH = """\
function __metarl_candidates
    metarl completion candidates fish (commandline -cp) 2>/dev/null
end
complete -c metarl -f -a '(__metarl_candidates)'
complete -c train-policy -f -a '(__metarl_candidates)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@dataclass(frozen=True)
class CompletionArguments:
    """The arguments of `metarl completion`."""

    shell: Annotated[Literal["bash", "zsh", "fish", ""], tyro.conf.Positional] = ""
    """The shell."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    if argv[:1] == ["candidates"]:  # the scripts ask; their words are nobody's options
        from metarl.cli.candidates import candidates, without_broken_words

        shell, line = argv[1:3]
        found = candidates(line)
        for word in without_broken_words(line, found) if shell == "bash" else found:
            print(word)
        return 0
    arguments = parse(
        CompletionArguments, argv, prog="metarl completion", description=__doc__ or ""
    )
    if not arguments.shell:
        raise ConfigError("name the shell: metarl completion bash, zsh or fish")
    print(_SCRIPTS[arguments.shell], end="")
    return 0
