"""A search for hyperparameters that is killed, interrupted or out of room goes on to its bits."""

import json
import os
import signal
from pathlib import Path

import pytest
from full_disks import fill, mounted_disk
from sessions import SMALL, newest_checkpoint, recorded, records, wait_for

pytest.importorskip("optuna")
pytestmark = [pytest.mark.whole_runs, pytest.mark.usefixtures("in_the_folder_of_runs")]

ITERATIONS = 40
COMMAND = ["tune", "navigation-2d", *(it for it in SMALL if it != "--no-tensorboard")]
COMMAND += ["--vary", "inner-learning-rate=0.1..1", "--iterations", ITERATIONS]
COMMAND += ["--score-window", 100, "--output"]


def run_of(folder, number):
    return Path(folder, "trials", f"trial-{number:04d}", "seed-1")


def found(folder, trials):
    """What a search has come to: its trials, and the bits of their runs."""
    result = json.loads(Path(folder, "results.json").read_text())
    told = [{**it, "run_dirs": ""} for it in result["trials"]]
    runs = [run_of(folder, number) for number in range(trials)]
    return told, [(records(run), newest_checkpoint(run)) for run in runs]


def begun_at(run):
    """The iterations that the sittings of a run began after."""
    lines = (run / "sessions.jsonl").read_text().splitlines()
    return [json.loads(line)["after_iteration"] for line in lines]


@pytest.fixture(scope="module")
def undisturbed(zygote):
    """A search of two trials that nothing happens to."""
    assert zygote.run(*COMMAND, "whole-search", "--trials", 2).code == 0
    return found(zygote.folder / "whole-search", 2)


@pytest.mark.fault(
    "search",
    "`metarl tune`: SIGKILL in the middle of a trial, then Ctrl-C, then SIGKILL of the next trial",
    "the same command goes on with the trial from its checkpoint; trials, scores and runs are "
    "those of a search that was never interrupted, to the bit",
    group="interruption",
)
def test_a_search_goes_on_after_every_kind_of_end(zygote, undisturbed):
    command = [*COMMAND, "t", "--trials", 2]
    first, second = run_of("t", 0), run_of("t", 1)
    pid = zygote.start(*command)
    wait_for(lambda: recorded(first) >= 12, "a checkpoint of the first trial")
    os.kill(pid, signal.SIGKILL)
    zygote.wait(pid)

    pid = zygote.start(*command)
    wait_for(lambda: recorded(first) >= 22, "the first trial to go on")
    zygote.interrupt(pid)
    ended = zygote.wait(pid)
    assert ended.code == 130
    told, stopped = ended.error.splitlines()
    done = recorded(first)
    assert f"SIGINT after iteration {done}, which is saved; go on with: metarl tune navi" in told
    assert "metarl tune: stopped; what was reached is saved, and the same command goes" in stopped
    assert newest_checkpoint(first)[0] == f"iteration-{done:06d}"

    pid = zygote.start(*command)
    wait_for(lambda: recorded(second) >= 3, "the second trial")
    os.kill(pid, signal.SIGKILL)
    zygote.wait(pid)
    begun, killed, interrupted = begun_at(first)
    assert (begun, killed % 10, interrupted) == (0, 0, done)
    assert killed > 0

    assert zygote.run(*command).code == 0
    assert found("t", 2) == undisturbed


@pytest.fixture
def small_disk(tmp_path):
    with mounted_disk(tmp_path, "2m") as disk:
        yield disk


@pytest.mark.fault(
    "search",
    "`metarl tune`: the disk is full",
    "the trial is trained on as far as can be, then one error and a non-zero exit; when there is "
    "room, the same command goes on to the bits of an undisturbed search",
    group="files",
)
def test_a_search_whose_disk_is_full_goes_on_when_there_is_room(zygote, small_disk, undisturbed):
    command = [*COMMAND, small_disk / "t", "--trials", 1]
    pid = zygote.start(*command)
    wait_for(lambda: recorded(run_of(small_disk / "t", 0)) > 2, "the first records")
    fill(small_disk)
    ended = zygote.wait(pid)
    assert ended.code == 2
    assert "Traceback" not in ended.error
    assert "study.db: database or disk is full; training goes on, and what is to" in ended.error
    error = ended.error.splitlines()[-1]
    assert "No space left on device" in error
    assert "when there is room, go on with: metarl tune navigation-2d" in error
    (small_disk / "other").unlink()
    assert zygote.run(*command).code == 0
    assert found(small_disk / "t", 1) == tuple(each[:1] for each in undisturbed)
