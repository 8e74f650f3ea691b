"""Random Markov decision processes, against their definition."""

from typing import Any

import gymnasium as gym
import numpy as np

from metarl.foundation.seeding import Split
from metarl.tasks.distribution import describe_task, sample_tasks


def make(**kwargs: Any) -> Any:
    return gym.make("metarl_envs:metarl/TabularMDP-v0", disable_env_checker=True, **kwargs)


def test_tasks_have_the_papers_distribution() -> None:
    environment = make()
    tasks = sample_tasks(environment, 1, (Split.TEST, 0), 40)
    means = np.array([task["mean_rewards"] for task in tasks])
    transitions = np.array([task["transitions"] for task in tasks])
    assert means.shape == (40, 10, 5)
    assert transitions.shape == (40, 10, 5, 10)
    assert abs(means.mean() - 1) < 0.1
    assert abs(means.std() - 1) < 0.1
    assert np.allclose(transitions.sum(-1), 1)
    # A flat Dirichlet over n outcomes has the variance (n − 1)/(n²(n + 1)) in each.
    assert abs(transitions.var() - 9 / (100 * 11)) < 3e-4


def test_a_task_of_hundreds_of_numbers_is_short_in_messages() -> None:
    task, *_ = sample_tasks(make(), 1, (Split.TEST, 0), 1)
    words = describe_task(task)
    assert words.startswith("mean_rewards [[")
    assert ", transitions [[[" in words
    assert len(words) < 800


def test_rewards_and_transitions_follow_the_task() -> None:
    environment = make(states=3, actions=2)
    transitions = np.zeros((3, 2, 3))
    transitions[0, 0] = [0.2, 0.5, 0.3]
    transitions[0, 1, 2] = 1
    transitions[1:, :, 0] = 1
    task = {"mean_rewards": np.array([[0.0, 5.0], [1.0, 1.0], [-3.0, 1.0]])}
    task["transitions"] = transitions
    followers, rewards = [], []
    for seed in range(2000):
        first, _ = environment.reset(seed=seed, options={"task": task})
        assert first.tolist() == [1, 0, 0]
        observation, reward, terminated, truncated, _ = environment.step(0)
        assert not terminated
        assert not truncated
        followers.append(observation)
        rewards.append(reward)
    assert np.allclose(np.mean(followers, axis=0), [0.2, 0.5, 0.3], atol=0.04)
    assert abs(np.mean(rewards)) < 0.1
    assert abs(np.std(rewards) - 1) < 0.1

    environment.reset(seed=1)
    observation, reward, *_ = environment.step(1)
    assert observation.tolist() == [0, 0, 1]
    assert abs(reward - 5) < 5
    observation, reward, *_ = environment.step(0)
    assert observation.tolist() == [1, 0, 0]


def test_a_row_that_rounds_to_less_than_one_stays_inside() -> None:
    environment = make(states=2, actions=1)
    short = np.full((2, 1, 2), 0.0)  # the extreme case: nothing of the mass is left
    environment.reset(
        seed=1, options={"task": {"mean_rewards": np.ones((2, 1)), "transitions": short}}
    )
    observation, *_ = environment.step(0)
    assert observation.tolist() == [0, 1]
