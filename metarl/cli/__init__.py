"""The command line: a file for each verb.

What a verb takes stands in a dataclass of its file, `…Arguments`, which completion reads as well.
Nothing here imports torch before a verb has read its arguments, so that help comes at once.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from metarl import __version__
from metarl.foundation.errors import MetarlError
from metarl.foundation.wording import nearest
from metarl.runs.interruptions import Interrupted

VERBS = {
    "train": ("metarl.cli.train", "meta-train a policy from a preset"),
    "evaluate": ("metarl.cli.evaluate", "adapt a trained policy to held-out tasks"),
    "benchmark": ("metarl.cli.benchmark", "compare agents by a suite of presets and seeds"),
    "tune": ("metarl.cli.tune", "search for good values of a preset's fields"),
    "render": ("metarl.cli.render", "draw a policy before and after adaptation"),
    "report": ("metarl.cli.report", "write a page about one run or several"),
    "export": ("metarl.cli.export", "write an adapted policy for another library"),
    "push": ("metarl.cli.push", "upload a run to the Hugging Face hub"),
    "pull": ("metarl.cli.pull", "fetch a run from the Hugging Face hub"),
    "watch": ("metarl.cli.watch", "follow a run that trains in another terminal"),
    "list": ("metarl.cli.listing", "list presets, environments and agents"),
    "show": ("metarl.cli.show", "explain a preset, an agent or an environment"),
    "repro": ("metarl.cli.repro", "repeat an episode that failed"),
    "check": ("metarl.cli.check", "check that an environment can be meta-trained on"),
    "doctor": ("metarl.cli.doctor", "check that metarl works on this machine"),
    "completion": ("metarl.cli.completion", "complete words in bash, zsh or fish"),
}
"""The module of each verb, and what it is for."""

_EXAMPLES = """\
examples:
  metarl list
  metarl train navigation-2d --iterations 40
  metarl evaluate runs/navigation-2d
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `metarl`; give the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"metarl {__version__}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        hint = nearest(verb, VERBS, f"there are {', '.join(VERBS)}")
        return _complain("metarl", f"unknown verb {verb!r}; {hint}", 2)
    return _run(verb, rest)


def train_policy(argv: Sequence[str] | None = None) -> int:
    """Run the command `train-policy`, which is `metarl train`."""
    return _run("train", list(sys.argv[1:] if argv is None else argv))


def _run(verb: str, arguments: list[str]) -> int:
    module = import_module(VERBS[verb][0])
    try:
        code: int = module.run(arguments)
    except MetarlError as error:
        return _complain(f"metarl {verb}", str(error), error.exit_code)
    except Interrupted as interruption:
        return _complain(f"metarl {verb}", "interrupted", interruption.exit_code)
    except KeyboardInterrupt:
        return _complain(f"metarl {verb}", "interrupted", 130)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _complain(command: str, text: str, code: int) -> int:
    print(f"{command}: error: {text}", file=sys.stderr)
    return code


def _usage() -> str:
    verbs = "\n".join(f"  {verb:<11} {help_text}" for verb, (_, help_text) in VERBS.items())
    return (
        "usage: metarl VERB [options]\n\n"
        "Meta-reinforcement learning: policies that adapt to a new task in a few episodes.\n\n"
        f"verbs:\n{verbs}\n\n{_EXAMPLES}\n"
        "`metarl VERB --help` describes a verb; `metarl --version` gives the version."
    )
