"""`metarl list`: everything is in it, in short, without torch and whatever a plug-in does."""

import json
import re
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from metarl.api import catalogue
from metarl.api.catalogue import describe_space
from metarl.cli import main, output
from metarl.cli.output import WIDTH_WITHOUT_TERMINAL
from metarl.config.plugins import Origin, environment_ids, preset_names

BOUNDED_APART = spaces.Box(np.array([5.0, 0.5]), np.array([15.0, 1.5]), (2,), np.float64)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Box(0.0, 3.0, (1,)), "[0, 3]"),
        (spaces.Box(-0.5, 0.5, (2,)), "[-0.5, 0.5]^2"),
        (spaces.Box(0.0, 1.0, (3, 2)), "[0, 1]^(3 × 2)"),
        (BOUNDED_APART, "[5, 15] × [0.5, 1.5]"),
        (spaces.Discrete(2), "{0, 1}"),
        (spaces.Discrete(4, start=1), "{1 … 4}"),
        (spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(0, 1)), "a: {0, 1}\nb: [0, 1]"),
        (spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1)]), "{0, 1} × [0, 1]"),
        (spaces.MultiBinary(2), "MultiBinary(2)"),
    ],
)
def test_a_task_space_is_described_in_short(space: gym.Space[Any], words: str) -> None:
    assert describe_space(space) == words


def test_presets_and_environments_are_all_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for origin in (*preset_names(), *environment_ids()):
        assert re.search(rf"^  {re.escape(origin.name)}\s", printed, re.MULTILINE)
    assert "1703.03400" not in printed.partition("environments of")[0]
    start = printed.index(" navigation-2d ")
    words = printed[start : printed.index(" navigation-corners ")]
    for part in ("[-0.5, 0.5]^2", "horizon 100", "20 × 20", "α 0.5", "100 iterations"):
        assert part in words
    assert max(map(len, printed.splitlines())) <= WIDTH_WITHOUT_TERMINAL

    assert main(["list", "--sources"]) == 0
    assert "1703.03400" in capsys.readouterr().out.partition("environments of")[0]


@pytest.fixture
def _no_environment_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "mean_rewards: [-inf, inf]^(10 × 5)\nits own distribution"
    monkeypatch.setattr(catalogue, "describe_tasks", lambda env_id, env_kwargs: words)


@pytest.mark.usefixtures("_no_environment_is_made")
@pytest.mark.parametrize("width", [60, 80])
def test_it_fits_the_width_and_stays_readable(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "WIDTH_WITHOUT_TERMINAL", width)
    assert main(["list", "--sources"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    # A column that is squeezed has lines of a letter or two.
    assert sum(0 < len(line.strip()) < 4 for line in lines) <= 0.02 * len(lines)


def _names(printed: str, kind: str) -> set[str]:
    return {entry["name"] for entry in json.loads(printed)[kind]}


@pytest.mark.usefixtures("_no_environment_is_made")
def test_filters_and_the_shape_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--family", "memory", "--search", "CHEETAH", "--json"]
    assert main(["list", "presets", *options]) == 0
    printed = capsys.readouterr().out
    assert _names(printed, "presets") == {
        f"half-cheetah-{task}-{agent}" for task in ("dir", "vel") for agent in ("rl2", "varibad")
    }
    assert list(json.loads(printed)) == ["presets"]
    assert list(json.loads(printed)["presets"][0]) == [
        "name", "package", "description", "source", "tasks", "protocol", "preset", "environment",
        "agent", "family",
    ]  # fmt: skip

    assert main(["list", "--family", "inference", "--json"]) == 0
    printed = capsys.readouterr().out
    assert list(json.loads(printed)) == ["presets", "trained", "agents"]
    assert _names(printed, "agents") == {"pearl"}
    assert all("pearl" in name for name in _names(printed, "presets"))

    assert main(["list", "trained", "--search", "gridnavi", "--json"]) == 0  # in an environment
    assert _names(capsys.readouterr().out, "trained") == {"grid-navi-rl2", "grid-navi-varibad"}


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["agents", "--search", "zzz"], 1, "nothing found among agents with 'zzz' in it"),
        (["agents", "--family", "lost"], 2, "unknown family 'lost'; there are gradient, inference"),
        (["problems", "--family", "memory"], 2, "problems are of no family"),
        (["nonsense"], 2, "invalid choice 'nonsense'"),
    ],
)
def test_what_finds_nothing_is_said_in_a_line(
    options: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", *options]) == code
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_plug_in_that_fails_spoils_no_listing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise RuntimeError("no [simulator]")

    gym.register("tests/Broken-v0", entry_point=broken)
    monkeypatch.setattr(catalogue, "environment_ids", lambda: [Origin("tests/Broken-v0", "theirs")])
    assert main(["list"]) == 0
    del gym.registry["tests/Broken-v0"]
    assert "cannot be made: no [simulator]" in capsys.readouterr().out


def test_what_only_looks_needs_no_torch() -> None:
    code = """
import sys
from metarl.cli import main
from metarl.cli.candidates import candidates
main(["list"])
main(["show", "half-cheetah-dir"])
main(["watch", "."])
candidates("metarl train half-cheetah-dir --m")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
