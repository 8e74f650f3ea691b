"""An evaluation may test the adapted policy on another number of episodes than it adapts to."""

import contextlib
import dataclasses
from typing import Any

import kinds
import numpy as np
import pytest
from building import first_state, tiny_config

from metarl.agent.gradient import collect_with_rates
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.interface import EvaluationCase
from metarl.foundation.errors import ConfigError
from metarl.workers.shards import Shard, ShardSpec, to_vector


def collected(config: Config, query_episodes: int, episodes: int = 4) -> Any:
    """Adapt to two tasks; give the shard and its statistics."""
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, episodes, range(2), query_episodes))
    tasks = [np.array([0.2, 0.3]), np.array([-0.4, 0.1])]
    theta = to_vector(experiment.initial)
    return shard, collect_with_rates(shard, theta, tasks, (1, 0), (0.1, 0.1))


def test_the_last_phase_alone_has_the_query_episodes_and_they_are_the_first_of_all() -> None:
    config = tiny_config()
    whole, all_four = collected(config, 0)
    shard, first_two = collected(config, 2)
    for task in range(2):
        assert first_two[task].mean_returns[:2] == all_four[task].mean_returns[:2]
        assert first_two[task].env_steps == (4 + 4 + 2) * 6
        rows = len(shard.experience[task].query.observations)
        assert rows == 2 * 6
        everything = whole.experience[task].query
        assert shard.experience[task].query.observations.equal(everything.observations[:rows])
        assert shard.experience[task].query.actions.equal(everything.actions[:rows])
        assert len(shard.experience[task].supports[1].observations) == 4 * 6


def test_there_may_be_more_query_episodes_than_others() -> None:
    config = tiny_config()
    shard, statistics = collected(config, 5, episodes=2)
    assert [task.env_steps for task in statistics] == [(2 + 2 + 5) * 6] * 2
    assert len(shard.experience[0].supports[0].observations) == 2 * 6


def test_as_many_query_episodes_change_no_bit() -> None:
    config = tiny_config()
    _, implied = collected(config, 0)
    _, stated = collected(config, 4)
    assert implied == stated


def test_the_other_slots_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []
    step = kinds.Kinds.step

    def counted(self: kinds.Kinds, action: np.ndarray) -> Any:
        taken.append(self.task)
        return step(self, action)

    monkeypatch.setattr(kinds.Kinds, "step", counted)
    config = tiny_config(env_id=kinds.ENV_ID)
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, 4, range(1), 1))
    collect_with_rates(shard, to_vector(experiment.initial), [7], (1, 0), (0.1,))
    assert len(taken) == (4 + 1) * 6


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="test_query_episodes = -1 must be at least 0"):
        dataclasses.replace(tiny_config(), test_query_episodes=-1)


@pytest.mark.parametrize("query_episodes", [0, 1, 4])
def test_more_trials_beside_each_other_are_no_more_experience(query_episodes: int) -> None:
    at_test = {"test_tasks": 2, "test_episodes_per_task": 1, "test_adaptation_steps": 2}
    config = tiny_config(agent="rl2", horizon=5, test_query_episodes=query_episodes, **at_test)
    experiment = build_experiment(config)
    with contextlib.closing(experiment.start_test_workers(0)) as workers:
        tasks = EvaluationCase("", [np.array([0.5, 0.5])] * 2)  # too far to end an episode
        curve = experiment.evaluate(workers, first_state(experiment).agent, tasks)
    assert curve.experience == (0.0, 5.0, 10.0)
