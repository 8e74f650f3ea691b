"""Held-out tasks: a preset may split its distribution, and a test set depends on its own seed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from building import run, tiny_config

from metarl.cli import main
from metarl.config.plugins import load_preset
from metarl.config.reinforcement import Config
from metarl.experiments import environment_experiment
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import make_environment, sample_tasks

NAVIGATION = "metarl_envs:metarl/Navigation2D-v0"
SMALL = ["--tasks-per-batch", "3", "--episodes-per-task", "4", "--horizon", "5", "--workers", "0"]


def test_tasks_are_drawn_uniformly_from_the_range_even_outside_the_task_space():
    environment = make_environment(NAVIGATION, {})
    task_range = {"low": [1.0, -0.5], "high": [2.0, -0.4]}
    tasks = np.array(sample_tasks(environment, 1, (1, 0), 300, task_range))
    assert tasks.dtype == np.float64
    assert tasks.min(axis=0) == pytest.approx([1.0, -0.5], abs=0.02)
    assert tasks.max(axis=0) == pytest.approx([2.0, -0.4], abs=0.02)
    assert tasks.mean(axis=0) == pytest.approx([1.5, -0.45], abs=0.05)
    assert np.array_equal(tasks[:7], sample_tasks(environment, 1, (1, 0), 7, task_range))
    assert not np.array_equal(tasks[:7], sample_tasks(environment, 2, (1, 0), 7, task_range))


def test_the_whole_range_is_the_distribution_itself():
    environment = make_environment(NAVIGATION, {})
    whole = {"low": [-0.5, -0.5], "high": [0.5, 0.5]}
    drawn = sample_tasks(environment, 1, (1, 0), 5, whole)
    assert np.array_equal(drawn, sample_tasks(environment, 1, (1, 0), 5))


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("metarl_envs:metarl/NavigationCorners-v0", r"needs a Box of tasks, not Discrete\(4\)"),
        ("metarl_envs:metarl/NavigationSemicircle-v0", "has 2 elements where a task has 1"),
    ],
)
def test_a_range_that_does_not_fit_the_tasks_is_an_error(env_id, message):
    with pytest.raises(ConfigError, match=message):
        sample_tasks(make_environment(env_id, {}), 1, (1, 0), 1, {"low": [0, 0], "high": [1, 1]})


@pytest.mark.parametrize(
    "task_range",
    [
        {"low": [0.0]},
        {"low": [0.0], "high": [1.0], "middle": [0.5]},
        {"low": [0.0], "high": [1.0, 1.0]},
        {"low": [1.0], "high": [0.0]},
        {"low": [0.0], "high": [0.0]},
        {"low": 0.0, "high": 1.0},
        {"low": ["a"], "high": ["b"]},
        {"low": [0.0], "high": [float("nan")]},
    ],
)
def test_an_impossible_range_is_refused_on_construction(task_range):
    config = load_preset("navigation-2d")
    with pytest.raises(ConfigError, match=r"task range train_range = .* must have low and high"):
        dataclasses.replace(config, train_range=task_range)
    with pytest.raises(ConfigError, match=r"task range beyond = .* must have low and high"):
        dataclasses.replace(config, test_ranges={"beyond": task_range})


def test_a_range_that_could_not_name_a_file_is_refused():
    with pytest.raises(ConfigError, match=r"task range '\.\./x' must have a name of letters"):
        dataclasses.replace(
            load_preset("navigation-2d"), test_ranges={"../x": {"low": [0.0], "high": [1.0]}}
        )


def test_training_draws_from_its_range(monkeypatch):
    drawn = []

    def record(*arguments):
        tasks = sample_tasks(*arguments)
        drawn.extend(tasks)
        return tasks

    monkeypatch.setattr(environment_experiment, "sample_tasks", record)
    run(tiny_config("navigation-2d-halves", iterations=2, tasks_per_batch=10, episodes_per_task=2))
    assert len(drawn) == 20
    assert np.max(drawn, axis=0)[0] <= 0
    assert np.max(drawn, axis=0)[1] > 0


def test_evaluations_have_their_range_their_own_seed_and_their_own_file(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", "1"), ("b", "7")):
        arguments = ["--iterations", "1", "--run-dir", name, "--seed", seed]
        assert main(["train", "navigation-2d-halves", *SMALL, *arguments]) == 0
    small = ["--tasks", "6", "--episodes-per-task", "2", "--workers", "0"]
    assert main(["evaluate", "a", *small]) == 0  # both ranges
    assert main(["evaluate", "b", *small, "--task-range", "right"]) == 0
    assert not Path("b/evaluation.json").exists()
    assert main(["evaluate", "b", *small, "--task-range", "training"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("6 held-out tasks of range right") == 2
    assert printed.count("6 held-out tasks\n") + printed.count("6 held-out tasks ") == 4

    def read(file: str) -> dict:
        return json.loads(Path(file).read_text())

    inside, outside = read("a/evaluation.json"), read("a/evaluation-right.json")
    assert np.max(inside["tasks"], axis=0)[0] <= 0
    assert np.min(outside["tasks"], axis=0)[0] >= 0
    assert outside["task_range"] == {"low": [0.0, -0.5], "high": [0.5, 0.5]}
    # The test set does not depend on the seed of training.
    assert read("b/evaluation.json")["tasks"] == inside["tasks"]
    assert read("b/evaluation-right.json")["tasks"] == outside["tasks"]

    assert main(["evaluate", "a", "--task-range", "up"]) == 2
    assert (
        "no task range 'up'; preset 'navigation-2d-halves' has training, right"
        in capsys.readouterr().err
    )


def test_ranges_are_read_from_a_preset_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'description = "d"\nsource = "s"\nhorizon = 3\niterations = 1\n'
        f'env_id = "{NAVIGATION}"\n'
        "[train_range]\nlow = [0, 0]\nhigh = [1, 1]\n"
        "[test_ranges.far]\nlow = [2, 2]\nhigh = [3, 3]\n"
    )
    config = load_preset(str(file))
    assert isinstance(config, Config)
    assert config.train_range == {"low": [0, 0], "high": [1, 1]}
    assert list(config.test_ranges) == ["far"]
    file.write_text(file.read_text().partition("[test_ranges")[0] + "[test_ranges]\nfar = 'left'\n")
    with pytest.raises(ConfigError, match="task range far = 'left' must have low and high"):
        load_preset(str(file))
