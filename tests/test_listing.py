"""`metarl list`: everything is in it, in short, without torch and whatever a plug-in does."""

import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from metarl.api import catalogue
from metarl.api.catalogue import describe_space
from metarl.cli import main
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
        assert f" {origin.name} " in printed
    assert "1703.03400" not in printed.partition("environments of")[0]
    start = printed.index(" navigation-2d ")
    words = printed[start : printed.index(" navigation-corners ")]
    for part in ("[-0.5, 0.5]^2", "horizon 100", "20 × 20", "α 0.5", "100 iterations"):
        assert part in words
    assert max(map(len, printed.splitlines())) <= WIDTH_WITHOUT_TERMINAL

    assert main(["list", "--sources"]) == 0
    assert "1703.03400" in capsys.readouterr().out.partition("environments of")[0]


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


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from metarl.cli import main; main(['list']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
