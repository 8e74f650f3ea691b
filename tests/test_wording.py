"""What is one is not said in the plural."""

import re
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.foundation.wording import counted, nearest
from metarl.tasks.distribution import describe_range
from metarl.workers.cores import checked_workers

pytestmark = pytest.mark.whole_runs


def test_a_count_has_its_noun():
    said = [counted(number, "task") for number in (0, 1, 2)]
    assert said == ["0 tasks", "1 task", "2 tasks"]
    assert counted(1000, "gradient step", ",") == "1,000 gradient steps"


def test_the_nearest_name_is_asked_for_or_all_are_named():
    assert nearest("tarin", ["train", "watch"], "see help") == "did you mean 'train'? (see help)"
    assert nearest("xyz", ["train", "watch"], "see help") == "see help"


def test_one_task_is_no_tasks():
    assert describe_range("right", {}, 1) == "1 held-out task of range right"
    assert describe_range("", {"set": "test"}, 1) == "1 task of set test"
    _, note = checked_workers(2, 1)
    assert note == "using 1 worker, one for each task, instead of 2"


def test_a_run_of_one_iteration_and_its_evaluation_on_one_task(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--tasks-per-batch", "2", "--hidden-sizes", "2", "--iterations", "1", "--workers", "0"]
    small += ["--no-tensorboard", "--checkpoint-interval", "1"]
    assert main(["train", "navigation-2d", *small, "--horizon", "2", "--run-dir", "r"]) == 0
    assert main(["train", "--run-dir", "r", "--resume"]) == 0
    assert main(["evaluate", "r", "--tasks", "1", "--adaptation-steps", "1", "--workers", "0"]) == 0
    assert main(["report", "r"]) == 0
    told = capsys.readouterr()
    said = told.out + told.err + re.sub(r"<[^>]*>", " ", Path("r/report.html").read_text())
    assert "r has its 1 iteration; go on" in told.out
    assert "on 1 held-out task" in told.out
    plural = r"\b(?<![.,\d])1 (?!of)(?:held-out )?(?:env )?\w+s\b"
    assert set(re.findall(plural, said)) == set()
