"""Success beside return: noted by steps, counted by episodes, and carried to tables and files."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from building import run, tiny_config
from kinds import ENV_ID

from metarl.agent.gradient import collect_with_rates
from metarl.cli import main
from metarl.config.reinforcement import Config
from metarl.experiments import environment_experiment
from metarl.experiments.build import build_experiment
from metarl.experiments.interface import EvaluationCase
from metarl.learning.trajectories import Trajectories, joined
from metarl.tasks.success import EpisodeSuccess, success_metrics, success_rates
from metarl.workers.shards import Shard, ShardSpec, to_vector

pytestmark = pytest.mark.whole_runs

VECTOR_ID = "kinds:tests/KindsVector-v0"


def config_of(env_id: str, **changes: Any) -> Config:
    return tiny_config(env_id=env_id, test_ranges={}, train_range={}, **changes)


def statistics_of(config: Config, tasks: list[int], **spec: int) -> list[Any]:
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, 4, range(len(tasks)), **spec))
    theta = to_vector(experiment.initial)
    return collect_with_rates(shard, theta, tasks, (0, 1), (0.1,))


def test_an_episode_succeeds_when_any_of_its_steps_does() -> None:
    noted = EpisodeSuccess(3)
    assert noted.succeeded is None
    for slot, value in [(0, 0.0), (0, 1.0), (0, False), (2, np.bool_(False))]:
        noted.add(slot, {"success": value, "is_success": not value})
    noted.add(1, {"reward_of_distance": 1.0})
    assert noted.succeeded is not None
    assert noted.succeeded.tolist() == [True, False, False]


def test_stacked_infos_count_where_they_were_said_and_the_slot_was_active() -> None:
    noted = EpisodeSuccess(4)
    said = np.array([True, True, False, True])
    active = np.array([True, True, True, False])
    noted.add_all({"is_success": np.array([1.0, 0.0, 1.0, 1.0]), "_is_success": said}, active)
    assert noted.succeeded is not None
    assert noted.succeeded.tolist() == [True, False, False, False]


@pytest.mark.parametrize("key", ["success", "is_success"])
@pytest.mark.parametrize("env_id", [ENV_ID, VECTOR_ID])
def test_single_environments_and_native_batches_say_the_same(env_id: str, key: str) -> None:
    # In 6 steps tasks 0 to 5 succeed; task 3 would in the step after its end.
    config = config_of(env_id, env_kwargs={"key": key})
    tasks = [0, 3, 5, 6]
    rates = [task.mean_successes for task in statistics_of(config, tasks)]
    assert rates == [(1.0, 1.0), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0)]


@pytest.mark.parametrize("env_id", [ENV_ID, VECTOR_ID])
def test_where_nothing_is_said_there_is_none(env_id: str) -> None:
    silent = config_of(env_id, env_kwargs={"key": ""})
    assert [task.mean_successes for task in statistics_of(silent, [0, 3])] == [None, None]
    assert success_metrics([None, None]) == {}


@pytest.mark.parametrize("agent", ["maml-trpo", "rl2"])
def test_who_never_says_of_success_had_none_where_others_say(
    agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_test = {"test_tasks": 2, "test_episodes_per_task": 2, "test_adaptation_steps": 1}
    kwargs = {"only_success": True}
    config = config_of(ENV_ID, agent=agent, env_kwargs=kwargs, hidden_sizes=(8,), **at_test)
    experiment = build_experiment(config)
    monkeypatch.setattr(environment_experiment, "TASKS_AT_ONCE", 1)  # no task hears of another
    for tasks, rates in (([5, 6], [[1.0, 1.0], [0.0, 0.0]]), ([6, 6], None)):
        with contextlib.closing(experiment.start_test_workers(0)) as workers:
            state, case = experiment.first_state().agent, EvaluationCase("", tasks)
            success = experiment.evaluate(workers, state, case).success
        assert rates == (None if success is None else success.per_task.tolist())


def test_a_task_a_phase_or_a_round_that_says_nothing_counts_0_beside_one_that_speaks() -> None:
    assert success_rates([None, 0.5]) == [0.0, 0.5]
    found = success_metrics([None, (0.25, 1.0), None, (0.25, 0.5)])
    assert found == {"pre_adaptation_success": 0.125, "post_adaptation_success": 0.375}
    episodes = torch.zeros(2, 3)
    silent = Trajectories(episodes[..., None], episodes, episodes, episodes == 0)
    spoke = dataclasses.replace(silent, successes=torch.tensor([True, False]))
    assert joined([silent, spoke]).success_rate == 0.25
    assert joined([silent, silent]).success_rate is None


def test_training_records_the_share_of_successes() -> None:
    changes = {"train_range": {"set": "train"}, "tasks_per_batch": 6}
    _, records = run(tiny_config(env_id=ENV_ID, **changes))
    # Each meta-batch holds all six tasks, of which all but 3 succeed.
    for record in records:
        assert record["pre_adaptation_success"] == pytest.approx(5 / 6)
        assert record["post_adaptation_success"] == pytest.approx(5 / 6)
    _, silent = run(tiny_config())
    assert not any("success" in name for name in silent[0])


PRESET = f"""
description = "kinds of tasks"
source = "a test"
env_id = "{ENV_ID}"
horizon = 7
iterations = 1
tasks_per_batch = 3
episodes_per_task = 4
hidden_sizes = [5]
test_tasks = 2
test_episodes_per_task = 4
test_query_episodes = 2
test_adaptation_steps = 1

[train_range]
set = "train"

[test_ranges.test]
set = "test"
"""


def test_tables_files_and_the_report_show_success_and_kinds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset, run_dir = tmp_path / "kinds.toml", tmp_path / "run"
    preset.write_text(PRESET)
    assert main(["train", str(preset), "--workers", "0", "--run-dir", str(run_dir)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run_dir), "--workers", "0"]) == 0
    printed = capsys.readouterr().out
    assert "2 tasks of set train" in printed
    assert "2 tasks of set test" in printed
    assert "held-out" not in printed
    assert "100.0%" in printed  # task 6 in its seventh step
    assert "6.00 → 6.00" not in printed  # means that are the same are given once
    found = json.loads((run_dir / "evaluation-test.json").read_text())
    assert found["tasks"] == [6, 7]
    assert found["query_episodes"] == 2
    assert found["per_task_success"] == [[1.0, 1.0], [0.0, 0.0]]
    assert found["mean_success"] == [0.5, 0.5]
    assert found["env_steps"] == 2 * (4 + 2) * 7
    assert found["groups"] == {
        "even": {"tasks": 1, "mean_return": [42.0, 42.0], "mean_success": [1.0, 1.0]},
        "odd": {"tasks": 1, "mean_return": [49.0, 49.0], "mean_success": [0.0, 0.0]},
    }
    assert main(["report", str(run_dir)]) == 0
    page = (run_dir / "report.html").read_text()
    assert "success 50.0%" in page
    assert "2 tasks of set test" in page
    assert "Share of episodes that succeeded before and after adaptation" in page
