"""Work on very many tasks shows that it goes on, can be interrupted, or is refused beforehand."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.cli.output import TaskProgress, new_console, print_line
from metarl.runs.interruptions import Interrupted

pytestmark = pytest.mark.whole_runs

RUN = str(Path(__file__).parent.parent / "results" / "navigation-2d")


@pytest.mark.parametrize("name", ["runs/reach[lr=0.1]/report.html", "runs/a:smile:b [red]"])
def test_paths_are_printed_as_they_are(name):
    written = io.StringIO()
    print_line(new_console(written), f"written to {name}")
    assert written.getvalue() == f"written to {name}\n"


def test_rendering_without_end_shows_progress_and_is_interrupted(tmp_path):
    arguments = ["render", RUN, "--tasks", "10000000", "--adaptation-steps", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "metarl", *arguments, "--output", str(tmp_path / "clip.webp")],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = []
        while not (lines and "10,000,000" in lines[-1]):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        assert "adapting to tasks 1 to 16: 0 of 10,000,000 tasks done" in lines[-1]
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "metarl render: error: interrupted"


def test_an_evaluation_of_many_tasks_shows_progress(tmp_path, capfd):
    small = ["--tasks", "130", "--episodes-per-task", "1", "--adaptation-steps", "0"]
    assert main(["evaluate", RUN, *small, "--workers", "0", "--output", str(tmp_path)]) == 0
    said = capfd.readouterr().err
    assert re.search(r"navigation-2d: adapting to 130 held-out tasks: 0 of 130 tasks done", said)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "navigation-2d", "--tasks-per-batch", "100000000"],
        ["evaluate", RUN, "--tasks", "100000000", "--output", "there"],
    ],
)
def test_what_cannot_fit_is_refused_in_a_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "physics may" not in line]
    assert re.search(r"would take about [\d.]+ TB of memory, and .* are free here; take f", error)
    assert not Path("runs").exists()


def interrupted_without_notice(went_on):
    with TaskProgress(new_console()).shown() as progress:
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        progress("drawing", 1, 2)
        went_on.append(True)


def test_a_signal_that_a_library_swallowed_ends_the_work_at_the_next_sign_of_progress():
    went_on = []
    with pytest.raises(Interrupted):
        interrupted_without_notice(went_on)
    assert went_on == []
