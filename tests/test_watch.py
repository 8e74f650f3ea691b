"""`metarl watch`: a run is followed while it is written, and never disturbed."""

import dataclasses
import io
import json
import os
import platform
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from metarl.api.starting_point import starting_point
from metarl.cli import main, output, watch
from metarl.foundation.errors import RunFolderError
from metarl.reports.run_contents import read_run
from metarl.reports.run_in_text import picture
from metarl.reports.text_curves import text_curve
from metarl.runs.metrics import MetricsFollower
from metarl.runs.run_folder import write_config
from metarl.runs.run_lock import locked
from metarl.runs.watched_run import RunWatcher

BRAILLE = range(0x2800, 0x2900)


def begin(folder: Path, preset: str = "navigation-2d", agent: str | None = None, **changes) -> Path:
    """Make a run folder that has no metrics yet."""
    folder.mkdir(exist_ok=True)
    config = starting_point(preset, agent=agent).config
    write_config(folder, dataclasses.replace(config, **changes))
    return folder


def line(iteration: int, **more) -> str:
    record = {"iteration": iteration, "env_steps": 500 * iteration, "iteration_seconds": 0.25}
    record |= {"pre_adaptation_return": -40.0 + iteration, "post_adaptation_return": -10.0}
    return json.dumps(record | more) + "\n"


def append(folder: Path, text: str) -> None:
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(text)


def shown(folder: Path, width: int = 80) -> str:
    return "\n".join(picture(RunWatcher(folder).look(), width, 4))


def test_a_run_is_followed_from_before_its_first_record_to_its_end(tmp_path):
    folder = tmp_path / "r"
    watcher = RunWatcher(folder)
    assert watcher.look().stage == "not begun"
    begin(folder, iterations=40)
    with locked(folder, print):
        look = watcher.look()
        assert (look.stage, look.iteration, look.over) == ("training", 0, False)
        assert f"training in process {os.getpid()}" in "\n".join(picture(look, 80, 4))
        append(folder, line(1) + line(2)[:20])
        assert watcher.look().iteration == 1
        append(folder, line(2)[20:] + line(3))
        look = watcher.look()
        assert look.iteration == 3
        (folder / "checkpoints/iteration-000002").mkdir(parents=True)
        (folder / "checkpoints/iteration-000003.partial").mkdir()
        words = "\n".join(picture(watcher.look(), 80, 4))
        for part in (
            "iteration 3 of 40: training",
            "return before adaptation -37, return after adaptation -10",
            "1,500 env steps, 2,000 env steps/s, 250 ms an iteration",
            "newest checkpoint: iteration 2",
            "time left: 9.2 s",
        ):
            assert part in words
    look = watcher.look()
    assert (look.stage, look.over) == ("stopped", True)
    words = "\n".join(picture(look, 80, 4))
    assert f"go on with: metarl train --run-dir {folder} --resume" in words
    append(folder, "".join(map(line, range(4, 41))))
    assert watcher.look().stage == "complete"


def test_a_budget_of_env_steps_says_when_a_run_is_complete_and_how_it_goes_on(tmp_path):
    folder = begin(tmp_path / "r", iterations=1, env_steps=4000)
    with locked(folder, print):
        assert "iteration 0: training" in shown(folder)
        append(folder, line(1))
        assert RunWatcher(folder).look().stage == "training"
        assert "iteration 1 of 8: training" in shown(folder)
        assert "time left: 1.8 s" in shown(folder)
    assert read_run(folder).next_command.endswith("--resume")
    append(folder, "".join(map(line, range(2, 9))))
    assert "iteration 8 of 8: complete" in shown(folder)
    assert read_run(folder).next_command.endswith("--resume --env-steps 8000")


def test_the_terminal_shows_a_run_that_is_being_written_until_it_ends(tmp_path, monkeypatch):
    folder, terminal = tmp_path / "r", io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=200, height=30)
    monkeypatch.setattr(watch, "new_console", lambda: console)
    steps = [
        lambda: begin(folder, iterations=3),
        lambda: append(folder, line(1) + line(2)[:9]),
        lambda: append(folder, line(2)[9:] + line(3)),
    ]
    with locked(tmp_path, print):
        pass
    (tmp_path / ".lock").rename(tmp_path / "signed")

    def sleep(seconds: float) -> None:
        steps.pop(0)()
        # As a process of another machine, which cannot be asked whether it lives.
        holder = json.loads((tmp_path / "signed").read_text()) | {"host": "elsewhere"}
        (folder / ".lock").write_text(json.dumps(holder))

    monkeypatch.setattr(watch.time, "sleep", sleep)
    assert main(["watch", str(folder), "--interval", "9"]) == 0
    assert steps == []
    words = terminal.getvalue()
    told = ["waiting for the run to begin", "on elsewhere, which is not seen", "iteration 1 of 3"]
    told.append("iteration 3 of 3: complete")
    assert [words.index(part) for part in told] == sorted(words.index(part) for part in told)


def test_ctrl_c_leaves_quietly_and_nothing_is_touched(tmp_path, monkeypatch, capsys):
    folder = begin(tmp_path / "r")
    append(folder, line(1) + "{")
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30)
    monkeypatch.setattr(watch, "new_console", lambda: console)

    def interrupt(seconds: float) -> None:
        with pytest.raises(RunFolderError), locked(folder, print):  # the training still has it
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    with locked(folder, print):
        before = {path: (path.stat(), path.read_bytes()) for path in folder.iterdir()}
        assert main(["watch", str(folder)]) == 0
        after = {path: (path.stat(), path.read_bytes()) for path in folder.iterdir()}
    same = ("st_mtime_ns", "st_ctime_ns", "st_ino")
    assert {path: [getattr(it[0], name) for name in same] for path, it in before.items()} == {
        path: [getattr(it[0], name) for name in same] for path, it in after.items()
    }
    assert [it[1] for it in before.values()] == [it[1] for it in after.values()]
    assert capsys.readouterr().err == ""


def test_without_a_terminal_one_picture_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(output, "WIDTH_WITHOUT_TERMINAL", 60)
    folder = begin(tmp_path / "r", iterations=9)
    append(folder, line(1) + line(2))
    assert main(["watch", str(folder)]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 60
    assert sum("│" in line for line in lines) == 8  # the curves are not broken
    assert any(ord(character) in BRAILLE for character in printed)
    assert printed.count("no process trains here") == 1


@pytest.mark.parametrize(
    ("preset", "agent", "record", "words"),
    [
        ("sinusoid", None, {"pre_adaptation_loss": 3.5, "post_adaptation_loss": 0.5},
         "loss before adaptation 3.5, loss after adaptation 0.5"),
        ("grid-navi-rl2", None, {"pre_adaptation_return": 1.5, "post_adaptation_return": 9.0},
         "return of the first episode 1.5, return of the last episode 9"),
        ("semicircle-sparse-pearl", None, {"pre_adaptation_return": 1, "post_adaptation_return": 2},
         "return of the first episode 1, return of the last episode 2"),
        ("navigation-2d", "oracle", {"pre_adaptation_return": -5.5}, "return -5.5"),
        ("navigation-2d", None,
         {"pre_adaptation_return": -5.5, "post_adaptation_return": None,
          "pre_adaptation_success": 0.25, "post_adaptation_success": 0.5,
          "step_accepted": False, "rejection": "no candidate", "skipped_tasks": 2},
         "success before adaptation 25%, success after adaptation 50%"),
    ],
)  # fmt: skip
def test_every_kind_of_run_is_understood(preset, agent, record, words, tmp_path):
    folder = begin(tmp_path / "r", preset, agent)
    append(folder, json.dumps({"iteration": 250, "iteration_seconds": 0.004, **record}) + "\n")
    text = shown(folder)
    assert words in text
    assert "4 ms an iteration" in text
    if "rejection" in record:
        assert "step rejected: no candidate" in text
        assert "tasks skipped in this iteration: 2" in text


def test_a_file_that_was_cut_back_is_read_anew(tmp_path):
    append(tmp_path, line(1) + line(2) + line(3))
    follower = MetricsFollower(tmp_path)
    assert len(follower.records()) == 3
    (tmp_path / "metrics.jsonl").write_text(line(1))
    assert len(follower.records()) == 1
    longer = line(1) + line(2, kl=0.123456789) + line(3, kl=0.123456789)
    append(tmp_path, line(2))
    assert len(follower.records()) == 2
    (tmp_path / "metrics.jsonl").write_text(longer)  # cut back and written on, unseen
    assert [record.get("kl") for record in follower.records()] == [None, 0.123456789, 0.123456789]
    # Even where a line begins just where the last one read had ended.
    file = tmp_path / "metrics.jsonl"
    first = line(1, note="")
    file.write_text(line(1, note="x" * (file.stat().st_size - len(first))) + line(2))
    assert [record["iteration"] for record in follower.records()] == [1, 2]


def test_damaged_metrics_are_named(tmp_path):
    folder = begin(tmp_path / "r")
    append(folder, line(1) + "nonsense\n" + line(2))
    with pytest.raises(RunFolderError, match="line 2 is damaged"):
        RunWatcher(folder).look()


def test_a_lock_that_a_dead_process_signed_is_nobodys(tmp_path):
    folder = begin(tmp_path / "r")
    append(folder, line(1))
    # The parent lives, but does not have the file open.
    for pid in (2**22 + 1, os.getppid()):
        (folder / ".lock").write_text(json.dumps({"pid": pid, "host": platform.node()}))
        assert RunWatcher(folder).look().stage == "stopped"
    (folder / ".lock").write_text("nonsense")
    assert RunWatcher(folder).look().stage == "stopped"


def dots(lines: list[str]) -> np.ndarray:
    """Give which dots are set, from the top."""
    bits = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
    return np.block(
        [
            [
                np.array([[bool(ord(it) - 0x2800 & bit) for bit in row] for row in bits])
                for it in row
            ]
            for row in lines
        ]
    )


def test_a_curve_goes_through_its_values():
    rising = dots(text_curve([0.0, 1.0], 0.0, 1.0, width=4, height=2))
    assert rising.shape == (8, 8)
    assert np.array_equal(rising, np.eye(8, dtype=bool)[::-1])
    level = dots(text_curve([3.0, 3.0, 3.0], 3.0, 3.0, width=2, height=1))
    assert np.array_equal(level.sum(axis=0), np.ones(4))
    # A jump leaves no gap, and more values than dots are averaged.
    jump = dots(text_curve([0.0] * 8 + [1.0] * 8, 0.0, 1.0, width=2, height=1))
    assert jump.any(axis=1).all()
    assert np.array_equal(jump[0], [False, False, True, True])
    assert np.array_equal(jump[-1], [True, True, False, False])
