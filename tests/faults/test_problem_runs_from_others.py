"""Runs of supervised problems that a disk damaged or somebody made: refused in words."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from damage import damaged

from metarl.cli import main
from metarl.foundation.errors import RunFolderError
from metarl.reports.evaluations import read_evaluation

pytestmark = pytest.mark.whole_runs

TIMES = 150


@pytest.fixture(scope="module")
def good_problem(tmp_path_factory):
    """A run folder of a supervised problem, trained and evaluated."""
    run_dir = tmp_path_factory.mktemp("good") / "s"
    options = ["--iterations", "2", "--record-interval", "1", "--checkpoint-interval", "1"]
    options += ["--tasks-per-batch", "2", "--hidden-sizes", "4", "--test-tasks", "3"]
    options += ["--test-queries", "5", "--test-adaptation-steps", "1", "--no-tensorboard"]
    assert main(["train", "sinusoid", *options, "--run-dir", str(run_dir)]) == 0
    assert main(["evaluate", str(run_dir)]) == 0
    return run_dir


@pytest.fixture
def problem_dir(good_problem, tmp_path):
    return Path(shutil.copytree(good_problem, tmp_path / "s"))


def changed(**changes):
    """Change the first curve of a problem's evaluation."""

    def change(file):
        found = json.loads(file.read_text())
        found["curves"][0].update(changes)
        file.write_text(json.dumps(found))

    return change


DAMAGED_EVALUATIONS = {
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:-9]), "cannot be read"),
    "no curves": (
        lambda file: file.write_text('{"measure": "accuracy", "tasks": 3, "curves": []}'),
        "is no evaluation: ValueError: it has no curves",
    ),
    "no table": (lambda file: file.write_text("3"), "is no evaluation: TypeError"),
    "no numbers": (changed(mean=["a", "b"]), "is no evaluation: ValueError"),
    "a giant number": (changed(mean=[10**400, 1]), "is no evaluation: OverflowError"),
    "no interval": (changed(ci95=[[0, 1]]), "is no evaluation:"),
    "no shots": (changed(shots=-5), "shots = -5 is no positive whole number"),
    "a link": (
        lambda file: (file.rename(f"{file}.kept"), file.symlink_to(f"{file}.kept")),
        "it is a symbolic link",
    ),
    "a pipe": (lambda file: (file.unlink(), os.mkfifo(file)), "is not a regular file"),
}


@pytest.mark.parametrize("how", DAMAGED_EVALUATIONS)
def test_a_damaged_evaluation_of_a_problem_is_told_in_one_line(problem_dir, how, capsys):
    damage, reason = DAMAGED_EVALUATIONS[how]
    file = problem_dir / "evaluation.json"
    damage(file)
    assert main(["report", str(problem_dir)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(file) in error
    assert reason in error


def test_other_damage_of_a_problems_run_is_told_in_one_line(problem_dir, capsys):
    (problem_dir / "examples.svg").rename(problem_dir / "kept.svg")
    (problem_dir / "examples.svg").symlink_to(problem_dir / "kept.svg")
    assert main(["report", str(problem_dir)]) == 2
    assert "examples.svg cannot be read: it is a symbolic link" in capsys.readouterr().err
    (problem_dir / "examples.svg").unlink()
    with (problem_dir / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"iteration": 3, "pre_adaptation_loss": "small"}\n')
    assert main(["report", str(problem_dir)]) == 2
    assert "pre_adaptation_loss is no number" in capsys.readouterr().err
    config = json.loads((problem_dir / "config.json").read_text())
    config["published"] = {"5": {"maml": {"steps": [1, 5], "measures": [0.67]}}}
    (problem_dir / "config.json").write_text(json.dumps(config))
    assert main(["report", str(problem_dir)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "must give by shots, and by agent, steps and as many measures" in error


@pytest.mark.parametrize(
    ("field", "own", "other"),
    [("agent", "maml", "pretrained"), ("problem", "sinusoid", "metarl_envs.sinusoid:Sinusoid")],
)
def test_a_checkpoint_of_another_agent_or_problem_is_refused(
    problem_dir, field, own, other, capsys
):
    file = problem_dir / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), field: other}))
    assert main(["evaluate", str(problem_dir)]) == 2
    assert f"it is of {field} {own!r}, not of {other!r}" in capsys.readouterr().err


def test_damage_of_a_problems_evaluation_is_read_and_drawn_or_refused(problem_dir):
    file, outcomes = problem_dir / "evaluation.json", set()
    content = file.read_bytes()
    for seed in range(TIMES):
        file.write_bytes(damaged(content, random.Random(seed)))
        try:
            read_evaluation(file)
            outcomes.add("read")
        except RunFolderError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
