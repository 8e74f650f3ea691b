"""Folders that cannot be written, for a while or for good: real full disks, limits, deletions."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from full_disks import fill, mounted_disk
from sessions import SMALL, newest_checkpoint, recorded, records, wait_for

pytestmark = [pytest.mark.whole_runs, pytest.mark.usefixtures("in_the_folder_of_runs")]

ITERATIONS = 8
OPTIONS = ["--iterations", ITERATIONS, "--checkpoint-interval", 2, "--run-dir"]
FOR_A_WHILE = ["--iterations", 100_000, "--checkpoint-interval", 50, "--run-dir"]
ENDLESS = ["--iterations", 100_000, "--checkpoint-interval", 1, "--run-dir"]
WAITS = "training goes on, and what is to be written waits"


@pytest.fixture
def small_disk(tmp_path):
    with mounted_disk(tmp_path, "200k") as disk:
        yield disk


def printed(zygote, pid):
    """How many iterations the display has told of."""
    return zygote.printed(pid).count("\n")


@pytest.mark.fault(
    23,
    "the disk is full for a while",
    "one warning; training goes on, records wait in memory and are written when there is room, and "
    "so is a checkpoint; metrics and policy are those of an undisturbed run",
    group="files",
)
def test_a_disk_that_is_full_for_a_while_loses_nothing(zygote, small_disk):
    run = small_disk / "r"
    pid = zygote.start("train", "navigation-2d", *SMALL, *FOR_A_WHILE, run)
    wait_for(lambda: recorded(run) > 2, "the first records")
    fill(small_disk)
    wait_for(lambda: WAITS in zygote.said(pid), "the warning")
    wait_for(lambda: printed(zygote, pid) > recorded(run) + 3, "records that wait")
    (small_disk / "other").unlink()
    wait_for(lambda: "what waited is written" in zygote.said(pid), "the second warning")
    zygote.interrupt(pid)
    ended = zygote.wait(pid)
    assert ended.code == 130
    first, second, last = ended.error.splitlines()
    assert "No space left on device" in first
    assert WAITS in first
    assert "what waited is written; nothing is lost" in second
    done = int(re.search(r"after iteration (\d+), which is saved", last)[1])
    assert newest_checkpoint(run)[0] == f"iteration-{done:06d}"
    assert zygote.train("--iterations", done, "--run-dir", "r").code == 0
    assert (records("r"), newest_checkpoint("r")) == (records(run), newest_checkpoint(run))


@pytest.mark.fault(
    23,
    "the disk is full and stays full",
    "after ten checkpoints that cannot be written the run ends with one error and a non-zero exit; "
    "the older checkpoint loads, and resuming gives the bits of an undisturbed run",
    group="files",
)
def test_a_disk_that_stays_full_ends_the_run_and_keeps_the_old_checkpoint(zygote, small_disk):
    run = small_disk / "r"
    pid = zygote.start("train", "navigation-2d", *SMALL, *ENDLESS, run)
    wait_for(lambda: recorded(run) > 2, "the first records")
    fill(small_disk)
    ended = zygote.wait(pid)
    assert ended.code == 2
    warning, error = ended.error.splitlines()
    assert WAITS in warning
    assert "10 checkpoints in a row could not be written: cannot write" in error
    assert "No space left on device" in error
    done = int(re.search(r"the newest checkpoint is of iteration (\d+) of \d+", error)[1])
    (small_disk / "other").unlink()
    resume = ["--run-dir", run, "--workers", 0, "--no-tensorboard", "--resume"]
    assert zygote.run("train", *resume, "--iterations", done + 2).code == 0
    assert zygote.train("--iterations", done + 2, "--run-dir", "r").code == 0
    assert (records("r"), newest_checkpoint("r")) == (records(run), newest_checkpoint(run))


@pytest.mark.fault(
    23,
    "a limit on file sizes that cuts a record in the middle (RLIMIT_FSIZE)",
    "the part of a record is cut off, the run ends with one error; resuming gives the bits of an "
    "undisturbed run",
    group="files",
)
def test_a_record_that_is_cut_by_a_limit_leaves_no_part(zygote):
    ended = zygote.train(*OPTIONS, "r", largest_file=2000)
    assert ended.code == 2
    assert "cannot write r/metrics.jsonl: File too large" in ended.error
    assert "go on with: metarl train navigation-2d --run-dir r --resume" in ended.error
    assert Path("r/metrics.jsonl").read_bytes().endswith(b"}\n")
    assert zygote.run("train", "--run-dir", "r", "--no-tensorboard", "--resume").code == 0
    assert zygote.train(*OPTIONS, "whole-again").code == 0
    assert (records("r"), newest_checkpoint("r")) == (
        records("whole-again"),
        newest_checkpoint("whole-again"),
    )


@pytest.mark.fault(
    23,
    "the run folder is deleted, or its metrics shortened, while it is trained in",
    "one warning, then one error and a non-zero exit; the folder is not made again, nothing is "
    "written over what somebody else changed",
    group="files",
)
@pytest.mark.parametrize("what", ["folder", "metrics"])
def test_a_folder_that_is_deleted_meanwhile_ends_the_run(zygote, what):
    pid = zygote.start("train", "navigation-2d", *SMALL, *ENDLESS, "r")
    wait_for(lambda: recorded("r") > 2, "the first records")
    if what == "folder":
        Path("r").rename("gone")
    else:
        Path("r/metrics.jsonl").write_text("")
    ended = zygote.wait(pid)
    shutil.rmtree("gone", ignore_errors=True)
    assert ended.code == 2
    warning, error = ended.error.splitlines()
    assert WAITS in warning
    assert "10 checkpoints in a row could not be written" in error
    assert ("No such file or directory" if what == "folder" else "shortened it") in error
    if what == "folder":
        assert not Path("r").exists()
    else:
        assert Path("r/metrics.jsonl").read_text() == ""


@pytest.mark.fault(
    23,
    "a folder that is read-only from the start",
    "one error before anything is trained",
    group="files",
)
def test_a_folder_that_is_read_only_is_said_at_once(zygote, small_disk):
    assert zygote.train(*OPTIONS, small_disk / "r").code == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for arguments in (["--run-dir", small_disk / "r", "--resume"], ["--run-dir", small_disk / "s"]):
        ended = zygote.train("--iterations", 9, *arguments)
        assert ended.code == 2
        assert ended.error.count("\n") == 1
        assert "Read-only file system" in ended.error


@pytest.mark.fault(
    30,
    "TensorBoard's folder is deleted, or its disk full, while the run is trained",
    "one warning without a traceback; training goes on to the same numbers",
    group="files",
)
@pytest.mark.parametrize("fault", ["deleted", "full", "taken"])
def test_a_tracker_that_fails_is_left_out(zygote, fault, request):
    with_events = [it for it in SMALL if it != "--no-tensorboard"]
    run = request.getfixturevalue("small_disk") / "r" if fault == "full" else Path("r").resolve()
    if fault == "taken":  # by a file, so that it fails at the start
        assert zygote.train("--iterations", 1, "--run-dir", run).code == 0
        (run / "tensorboard").write_text("")
        ended = zygote.run("train", "--run-dir", run, "--iterations", 3, "--resume")
    else:
        pid = zygote.start("train", "navigation-2d", *with_events, *FOR_A_WHILE, run)
        wait_for(lambda: recorded(run) > 2, "the first records")
        if fault == "full":
            fill(run.parent)
        else:
            shutil.rmtree(run / "tensorboard")
        wait_for(lambda: "goes on without TensorBoard" in zygote.said(pid), "the warning")
        if fault == "full":
            (run.parent / "other").unlink()
        zygote.interrupt(pid)
        ended = zygote.wait(pid)
    assert ended.code == (0 if fault == "taken" else 130)
    assert ended.error.count("goes on without TensorBoard") == 1
    assert "Traceback" not in ended.error
    done = len(records(run))
    assert newest_checkpoint(run)[0] == f"iteration-{done:06d}"


@pytest.mark.fault(
    38,
    "the clock jumps",
    "deadlines use a clock that does not",
    group="platform",
)
def test_no_deadline_hangs_on_the_time_of_day():
    """Clocks jump: what is waited for is measured by time.monotonic or perf_counter."""
    root = Path(__file__).parents[2]
    files = [file for part in ("metarl", "envs", "agents") for file in (root / part).rglob("*.py")]
    assert len(files) > 50
    for file in files:
        text = file.read_text()
        assert not re.search(r"\btime\.time\b|\bfrom time import\b|\.utcnow\b", text), file
