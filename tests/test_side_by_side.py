"""Processes side by side: how many, what is said of failures, and how they end."""

import json
import os
import subprocess
import sys

import pytest

from metarl.api.side_by_side import Job, run_side_by_side


class Watch:
    """Remembers what it is told, and how many were at work at a time."""

    def __init__(self, until=lambda: False):
        self.now, self.most, self.failures, self.until = 0, 0, {}, until

    def started(self, job):
        self.now += 1
        self.most = max(self.most, self.now)

    def ended(self, job, failure):
        self.now -= 1
        self.failures[json.loads(job.line)["name"]] = failure

    def working(self):
        if self.until():
            raise KeyboardInterrupt


def job(folder, name, do, **more):
    wish = json.dumps({"folder": str(folder), "name": name, "do": do, **more})
    return Job("side_by_side_jobs", wish, folder / "logs" / f"{name}.log")


def run(jobs, count, watch):
    run_side_by_side(jobs, count, watch.started, watch.ended, watch.working)
    return watch


def test_so_many_are_at_work_at_a_time(tmp_path):
    jobs = [job(tmp_path, name, "meet", count=2) for name in "abc"]
    watch = run(jobs, 2, Watch())
    assert watch.most == 2
    assert watch.failures == {"a": "", "b": "", "c": ""}


def test_one_that_fails_says_why_and_stops_no_other(tmp_path):
    wishes = {"a": "fail", "b": "die", "c": "break", "d": "nothing"}
    jobs = [job(tmp_path, name, do) for name, do in wishes.items()]
    found = run(jobs, 1, Watch()).failures
    assert found["a"] == "out of cheese\n"
    assert found["b"].startswith("its process ended by signal SIGKILL; what it said: ")
    assert found["c"] == f"its process ended by exit code 3; what it said: {jobs[2].log}"
    assert jobs[2].log.read_text() == "a traceback\n"
    assert found["d"] == ""


def test_a_long_reason_is_cut_and_holds_up_nobody(tmp_path):
    program = (
        "import sys\n"
        "from metarl.api.job_process import do_job\n"
        "def work(line, interruptions): raise ValueError('é' * 2**17)\n"
        "sys.exit(do_job(work))"
    )
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        try:
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.wait(timeout=60) == 1  # nobody reads until it has ended
        finally:
            process.kill()
        said = process.stdout.read().decode()
    assert said.startswith("ValueError: éé")
    assert said.endswith("é …")
    assert "é" * 2**17 in (tmp_path / "log").read_text()


def test_an_interruption_lets_all_of_them_save_and_begins_no_other(tmp_path):
    jobs = [job(tmp_path, name, "wait") for name in "abc"]
    watch = Watch(until=lambda: len(list(tmp_path.glob("listens-*"))) == 2)
    with pytest.raises(KeyboardInterrupt):
        run(jobs, 2, watch)
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["logs", *(f"{what}-{name}" for what in ("begun", "listens", "saved") for name in "ab")]
    )
