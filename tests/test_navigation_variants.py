"""Navigation on the semicircle and to the corners, against hand computations."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from metarl.foundation.seeding import Split
from metarl.tasks.distribution import sample_tasks


def start(env_id: str, task: Any, position: Any = None, **kwargs: Any) -> Any:
    environment = gym.make(f"metarl_envs:metarl/{env_id}-v0", disable_env_checker=True, **kwargs)
    environment.reset(seed=1, options={"task": task})
    if position is not None:
        environment.unwrapped._states = np.array([position], dtype=float)  # type: ignore[attr-defined]
    return environment


@pytest.mark.parametrize(
    ("position", "reward"),
    [
        ((0.0, 0.5), 0.0),
        ((0.0, 0.7), 0.8),  # moves to (0, 0.8), at 0.2 from the goal (0, 1)
        ((0.0, 0.9), 1.0),
        ((0.15, 0.9), 0.85),
        ((0.25, 0.9), 0.0),
    ],
)
def test_the_semicircle_rewards_near_the_goal_only(position: Any, reward: float) -> None:
    # A little inside the radius, where the boundary would fall to rounding.
    place = np.array(position) * (1 + 1e-9)
    environment = start("NavigationSemicircle", np.array([np.pi / 2]), place)
    assert environment.step(np.array([0.0, 0.1]))[1] == pytest.approx(reward, abs=1e-6)


def test_the_semicircles_dense_reward_is_the_distance() -> None:
    environment = start("NavigationSemicircle", np.array([np.pi]), reward="dense")
    observation, reward, terminated, *_ = environment.step(np.array([0.1, 0.3]))
    assert observation.tolist() == [0.1, 0.1]  # the move is clipped
    assert reward == pytest.approx(-np.hypot(1.1, 0.1))
    assert not terminated
    with pytest.raises(ValueError, match="reward = 'sparce' must be"):
        start("NavigationSemicircle", np.zeros(1), reward="sparce")


def test_goals_of_the_semicircle_are_uniform_over_it() -> None:
    environment = start("NavigationSemicircle", np.zeros(1))
    angles = np.array(sample_tasks(environment, 1, (Split.TEST, 0), 400))
    counts, _ = np.histogram(angles, bins=4, range=(0, np.pi))
    assert counts.sum() == 400
    assert counts.min() > 70


@pytest.mark.parametrize(
    ("task", "position", "move", "reward"),
    [
        (3, (1.0, 1.0), (0.2, 0.2), 0.2 * np.sqrt(2)),  # straight to (2, 2)
        (3, (1.0, 1.0), (-0.2, -0.2), -0.2 * np.sqrt(2)),
        (0, (1.0, 1.0), (-0.2, -0.2), 0.0),  # nearer to another corner
        (3, (0.1, 0.1), (0.1, 0.1), 0.0),  # |x| + |y| = 0.4: too near the start
        (3, (0.2, 0.2), (0.1, 0.1), 0.1 * np.sqrt(2)),
        (1, (2.0, -2.0), (1.0, 0.0), -0.2),  # the move is clipped
        (2, (-2.0, 1.0), (0.0, 0.1), 0.1),
    ],
)
def test_corners_reward_progress_where_the_goal_is_nearest(
    task: int, position: Any, move: Any, reward: float
) -> None:
    environment = start("NavigationCorners", task, position)
    assert environment.step(np.array(move))[1] == pytest.approx(reward)


def test_corners_start_in_a_small_square() -> None:
    environment = start("NavigationCorners", 0)
    starts = np.array([environment.reset(seed=seed)[0] for seed in range(200)])
    assert np.abs(starts).max() <= 0.2
    assert np.abs(starts).max(axis=0).min() > 0.18
    assert starts.mean(axis=0) == pytest.approx(0, abs=0.03)
