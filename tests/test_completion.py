"""Shell completion: what is offered is what the verbs take, in real shells too."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.cli import VERBS, main
from metarl.cli.candidates import candidates, without_broken_words
from metarl.config.plugins import agent_names, environment_ids, preset_names


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_of_a_verb_are_those_of_its_help(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    # Each option begins a line.
    lines = re.findall(r"^[│|]? +(-.*?)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    told = set(re.findall(r"--[a-z][a-z-]*", "\n".join(lines)))
    assert "--help" in told
    assert told == set(candidates(f"metarl {verb} --"))


def test_verbs_names_and_folders_are_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/mine", "runs/empty", "elsewhere/run"):
        Path(folder).mkdir(parents=True)
    Path("runs/mine/config.json").write_text("{}")
    Path("own.toml").write_text("")
    assert candidates("metarl ") == sorted([*VERBS, "--help", "--version"])
    assert candidates("metarl tra") == ["train"]
    names = [origin.name for origin in preset_names()]
    assert candidates("metarl train ") == sorted(names)
    assert candidates("train-policy navigation-2d-") == [
        "navigation-2d-cavia",
        "navigation-2d-halves",
    ]
    assert candidates("metarl train ow") == ["own.toml"]
    agents = [origin.name for origin in agent_names()]
    assert candidates("metarl train navigation-2d --agent ") == agents
    assert candidates("metarl train sinusoid --agent ma") == ["maml"]
    assert candidates("metarl train navigation-2d --agent=maml") == ["--agent=maml-trpo"]
    assert "runs/mine" in candidates("metarl watch ")
    assert candidates("metarl evaluate else") == ["elsewhere/"]
    assert candidates("metarl report runs/m") == ["runs/mine"]
    assert candidates("metarl repro runs/") == ["runs/empty/", "runs/mine/"]
    assert candidates("metarl list agents --family m") == ["memory"]
    assert candidates("metarl list pre") == ["presets"]
    assert candidates("metarl export --format ") == ["metarl", "sb3"]
    environments = [origin.name for origin in environment_ids()]
    assert candidates("metarl check metarl_envs:") == environments
    assert candidates("metarl show metarl_envs:") == environments
    assert candidates("metarl nonsense ") == []
    assert candidates("metarl train 'half-") == []  # an open quotation


def test_flags_depend_on_preset_and_agent():
    assert "--clip-ratio" in candidates("metarl train grid-navi-rl2 --")
    assert "--clip-ratio" not in candidates("metarl train navigation-2d --")
    assert "--kl-penalty" in candidates("metarl train navigation-2d --agent promp --")
    assert "--outer-learning-rate" in candidates("metarl train sinusoid --outer")
    assert "--horizon" not in candidates("metarl train sinusoid --")


def test_bash_gets_words_without_what_it_has_cut_off():
    found = ["metarl_envs:metarl/A-v0"]
    assert without_broken_words("metarl check metarl_envs:me", found) == ["metarl/A-v0"]
    assert without_broken_words("metarl train --agent=p", ["--agent=pearl"]) == ["pearl"]


BASH = """
source <(metarl completion bash)
complete -p metarl train-policy > /dev/null || exit
ask() { COMP_LINE="$1"; COMP_POINT=${#1}; COMPREPLY=(); _metarl metarl; echo "${COMPREPLY[*]}"; }
"""
ZSH = """
compdef() { :; }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -rn -- "$* " }
source <(metarl completion zsh)
ask() { words=(${(z)1}); [[ $1 == *' ' ]] && words+=(''); CURRENT=$#words; _metarl; print; }
"""
FISH = """
metarl completion fish | source
function ask; complete -C $argv[1] | string join ' '; or true; end
"""


@pytest.mark.parametrize(
    ("shell", "options", "script"),
    [
        ("bash", ["--norc", "--noprofile"], BASH),
        ("zsh", ["-f"], ZSH),
        ("fish", ["--no-config"], FISH),
    ],
    ids=["bash", "zsh", "fish"],
)
def test_a_real_shell_completes(shell, options, script, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "metarl"
    code = "import sys; from metarl.cli import main; sys.exit(main())"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
    program.chmod(0o755)
    (tmp_path / "runs/mine").mkdir(parents=True)
    (tmp_path / "runs/mine/config.json").write_text("{}")
    asked = ["metarl tra", "metarl train half-cheetah-dir-", "metarl watch runs/"]
    lines = "\n".join(f"ask '{line}'" for line in asked)
    done = subprocess.run(
        [shell, *options, "-c", script + lines],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    variants = ("finn2017", "pearl", "rl2", "varibad")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["train"],
        [f"half-cheetah-dir-{variant}" for variant in variants],
        ["runs/mine"],
    ]
    assert done.stderr == ""
