"""Signals at any moment: nothing is lost, nothing is torn, and resuming gives the same bits."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from sessions import SMALL, newest_checkpoint, records, wait_for

from metarl.reports.run_contents import read_run

ITERATIONS = 6
OPTIONS = ["--iterations", ITERATIONS, "--checkpoint-interval", 2]
LONG = ["--iterations", 60, "--checkpoint-interval", 3]
RESUME = ["train", "--run-dir", "r", "--workers", 0, "--no-tensorboard", "--resume"]

pytestmark = [pytest.mark.whole_runs, pytest.mark.usefixtures("in_the_folder_of_runs")]


@pytest.fixture(scope="module")
def whole(zygote):
    """What the run is when nothing disturbs it."""
    assert zygote.train(*OPTIONS, "--run-dir", "whole").code == 0
    return records(zygote.folder / "whole"), newest_checkpoint(zygote.folder / "whole")


@pytest.fixture(scope="module")
def long(zygote):
    """A longer one, in which many moments can be met."""
    assert zygote.train(*LONG, "--run-dir", "long").code == 0
    return records(zygote.folder / "long"), newest_checkpoint(zygote.folder / "long")


def start_or_go_on(zygote, options=OPTIONS, **how):
    """Do what the messages say: start, and where there is a run already, resume it."""
    if Path("r/config.json").exists():
        return zygote.start(*RESUME, **how)
    return zygote.start("train", "navigation-2d", *SMALL, *options, "--run-dir", "r", **how)


def assert_equals(whole):
    assert (records("r"), newest_checkpoint("r")) == whole
    leftovers = [path.name for path in Path("r").rglob("*.partial")]
    assert not leftovers


@pytest.mark.fault(
    20,
    "SIGKILL before any one file operation of a run: while its folder is made, a record appended, "
    "a checkpoint written, renamed or removed, and while it resumes",
    "resuming works, gives the bits of an undisturbed run, and sweeps up what was half-written",
    group="interruption",
)
def test_a_kill_before_every_single_file_operation_loses_nothing(zygote, whole):
    for operation in range(1, 200):
        ended = zygote.wait(start_or_go_on(zygote, kill_at=operation))
        assert ended.code in (-signal.SIGKILL, 0), ended
        if ended.code == 0:
            break
    else:
        pytest.fail("the run never came to its end")
    assert operation > 15
    assert_equals(whole)


def begin_again(long):
    """Clear away a run that came to its end before a signal reached it."""
    assert_equals(long)
    shutil.rmtree("r")


def wait_for_progress(pid):
    """Wait until a run has recorded another iteration, or ended."""
    metrics, process = Path("r/metrics.jsonl"), psutil.Process(pid)
    before = metrics.stat().st_size if metrics.exists() else 0
    wait_for(
        lambda: (
            (metrics.exists() and metrics.stat().st_size > before)
            or process.status() == psutil.STATUS_ZOMBIE
        )
    )


@pytest.mark.fault(
    20,
    "SIGKILL at random moments, many times in one run",
    "each time resuming works; metrics and policy are those of an undisturbed run, bit for bit",
    group="interruption",
)
def test_many_kills_at_random_moments_lose_nothing(zygote, long):
    chance, killed = random.Random(1), 0
    for attempt in range(60):
        pid = start_or_go_on(zygote, LONG)
        if attempt % 2:
            wait_for_progress(pid)
        time.sleep(chance.uniform(0.0, 0.1 if attempt % 2 else 0.4))
        os.kill(pid, signal.SIGKILL)
        ended = zygote.wait(pid)
        killed += ended.code == -signal.SIGKILL
        assert ended.error.count("\n") <= 1, ended
        if killed >= 16:
            break
        if ended.code == 0:
            begin_again(long)
    assert zygote.wait(start_or_go_on(zygote, LONG)).code == 0
    assert killed >= 3
    assert_equals(long)


@pytest.mark.fault(
    17,
    "SIGINT, SIGTERM or SIGHUP at random moments, many times in one run",
    "the last completed iteration is saved, one line names it and the command that goes on, the "
    "exit code is 128 + the signal's number; resuming gives the bits of an undisturbed run",
    group="interruption",
)
def test_signals_at_random_moments_leave_a_run_that_goes_on(zygote, long):
    chance, interrupted = random.Random(2), 0
    for attempt in range(40):
        pid = start_or_go_on(zygote, LONG)
        if attempt % 2:
            wait_for_progress(pid)
        time.sleep(chance.uniform(0.0, 0.1 if attempt % 2 else 0.4))
        number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[attempt % 3]
        os.kill(pid, number)
        ended = zygote.wait(pid)
        assert "Traceback" not in ended.error
        if interrupted >= 9:
            break
        if ended.code == 0:
            begin_again(long)
            continue
        assert ended.code in (128 + number, -number)  # the latter: before it listens
        if " after iteration " in ended.error:
            interrupted += 1
            assert f"{number.name} after iteration " in ended.error
            assert (
                "which is saved; go on with: metarl train navigation-2d --run-dir r" in ended.error
            )
            done = int(ended.error.split(" after iteration ")[-1].split(",")[0])
            assert newest_checkpoint("r")[0] == f"iteration-{done:06d}"
            assert len(records("r")) == done
    assert zygote.wait(start_or_go_on(zygote, LONG)).code == 0
    assert interrupted >= 2
    assert_equals(long)


def stubborn(zygote):
    """Start to train in an environment that swallows what interrupts its first step."""
    options = ["--env-id", "stubborn_environments:Stubborn-v0", *SMALL, "--iterations", 5]
    pid = zygote.start("train", *options, "--run-dir", "r")
    wait_for(Path("r/sleeping").exists, "the first step")
    return pid


@pytest.mark.fault(
    17,
    "code of an environment that swallows the interruption",
    "the run still ends, after the iteration in progress",
    group="interruption",
)
def test_an_interruption_that_is_swallowed_still_ends_the_run(zygote):
    pid = stubborn(zygote)
    os.kill(pid, signal.SIGTERM)
    ended = zygote.wait(pid)
    assert ended.code == 143
    assert "SIGTERM after iteration 0, which is saved" in ended.error
    assert Path("r/swallowed").exists()


@pytest.mark.fault(
    17,
    "a second signal, where the first had no effect",
    "the process ends at once",
    group="interruption",
)
def test_a_second_signal_ends_everything_at_once(zygote):
    Path("sleep-on").touch()
    pid = stubborn(zygote)
    os.kill(pid, signal.SIGTERM)
    wait_for(Path("r/swallowed").exists, "the first signal")
    os.kill(pid, signal.SIGTERM)
    assert zygote.wait(pid).code == -signal.SIGTERM
    Path("sleep-on").unlink()


@pytest.mark.fault(
    19,
    "SIGKILL of a run that was started but has no checkpoint yet",
    "--resume starts it from the beginning, and says so; a plain start names --resume",
    group="interruption",
)
def test_a_run_without_a_checkpoint_starts_from_the_beginning(zygote, whole):
    assert zygote.train(*OPTIONS, "--run-dir", "r").code == 0
    subprocess.run(
        ["rm", "-rf", "r/checkpoints", "r/metrics.jsonl", "r/sessions.jsonl"], check=True
    )
    plain = zygote.train(*OPTIONS, "--run-dir", "r")
    assert plain.code == 2
    assert "r exists already; continue that run with --resume" in plain.error
    ended = zygote.run(*RESUME)
    assert ended.code == 0
    assert "r has no checkpoint yet; starting from the beginning" in ended.error
    assert_equals(whole)


def test_metrics_without_a_checkpoint_are_not_thrown_away(zygote):
    assert zygote.train(*OPTIONS, "--run-dir", "r").code == 0
    before = Path("r/metrics.jsonl").read_bytes()
    shutil.rmtree("r/checkpoints")
    ended = zygote.run(*RESUME)
    assert ended.code == 2
    assert "r has metrics, but no checkpoint to go on from" in ended.error
    assert Path("r/metrics.jsonl").read_bytes() == before


@pytest.mark.fault(
    21,
    "records that the newest checkpoint stands on are gone",
    "resuming goes back to a checkpoint whose metrics are whole, or says how many are missing",
    group="interruption",
)
def test_lost_metrics_are_made_anew_or_counted(zygote, whole):
    assert zygote.train(*OPTIONS, "--run-dir", "r").code == 0
    file = Path("r/metrics.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[: ITERATIONS - 1]))
    ended = zygote.run(*RESUME)
    assert ended.code == 0
    assert "iteration-000006: the metrics end at iteration 5" in ended.error
    assert_equals(whole)
    file.write_bytes(b"".join(lines[1:]))
    ended = zygote.run(*RESUME, "--iterations", ITERATIONS + 1)
    assert ended.code == 0
    assert f"r lacks the metrics of 1 of {ITERATIONS} iterations" in ended.error
    assert [it["iteration"] for it in records("r")] == [2, 3, 4, 5, 6, 7]


@pytest.mark.fault(
    30,
    "the terminal, or the file or pipe that is printed to, is gone or full",
    "training goes on without what it would have printed",
    group="files",
)
def test_output_that_cannot_be_written_stops_nothing(zygote, whole):
    ended = zygote.train(*OPTIONS, "--run-dir", "r", stdout="/dev/full")
    assert (ended.code, ended.error) == (0, "")
    assert_equals(whole)


@pytest.mark.fault(
    26,
    "a second run in the same folder, or a second --resume of it",
    "it is refused, with the process that trains there and the way out; no lock outlives its "
    "process, not even after SIGKILL; evaluating meanwhile works",
    group="files",
)
def test_two_runs_never_write_one_folder(zygote):
    options = ["--run-dir", "r", "--iterations", 100_000]
    first = zygote.start("train", "navigation-2d", *SMALL, *options)
    wait_for(lambda: Path("r/metrics.jsonl").exists(), "the first record")
    for second in (RESUME, ["train", "navigation-2d", *SMALL, *options]):
        ended = zygote.run(*second)
        assert ended.code == 2
        assert ended.error.count("\n") == 1
    ended = zygote.run(*RESUME)
    assert f"r is being trained in by process {first} on {os.uname().nodename}" in ended.error
    assert "wait for it or stop it, or choose another --run-dir" in ended.error
    while_it_is_written = read_run(Path("r"))
    assert while_it_is_written.records
    assert while_it_is_written.versions
    os.kill(first, signal.SIGKILL)
    zygote.wait(first)
    done = len(records("r"))
    assert zygote.run(*RESUME, "--iterations", done + 1).code == 0


@pytest.mark.fault(
    "provenance",
    "numbers whose origin nobody remembers",
    "each start and resume is recorded with command, versions, processor, seed and git commit; no "
    "environment variables",
    group="platform",
)
def test_every_session_is_recorded(zygote):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "code.py"], ["commit", "-q", "-m", "first"]):
        Path("code.py").write_text("1")
        subprocess.run([*git, *arguments], check=True)
    assert zygote.train("--iterations", 1, "--run-dir", "r").code == 0
    Path("code.py").write_text("2")
    assert zygote.run(*RESUME, "--iterations", 2).code == 0
    shutil.rmtree(".git")
    with Path("r/sessions.jsonl").open("a") as file:
        file.write('{"started": "torn')
    assert zygote.run(*RESUME, "--iterations", 3).code == 0
    sessions = [json.loads(line) for line in Path("r/sessions.jsonl").read_text().splitlines()
                if not line.endswith("torn")]  # fmt: skip
    assert [session["after_iteration"] for session in sessions] == [0, 1, 2]
    assert [session["git"] and session["git"]["dirty"] for session in sessions] == [
        False,
        True,
        None,
    ]
    assert len(sessions[0]["git"]["commit"]) == 40
    assert sessions[1]["command"] == "metarl " + " ".join(map(str, [*RESUME, "--iterations", 2]))
    assert sessions[0].keys() >= {"started", "seed", "versions", "platform", "cpu", "torch_threads"}
    assert sessions[0]["device"] == {"name": "cpu"}
    assert os.environ["PATH"] not in Path("r/sessions.jsonl").read_text()
    shown = read_run(Path("r")).sessions
    assert f"commit {sessions[1]['git']['commit'][:12]} with changes" in shown[1]
