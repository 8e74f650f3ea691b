"""The grid with a hidden goal, against its definition."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from metarl.foundation.seeding import Split
from metarl.tasks.distribution import sample_tasks
from metarl.testing import check_task_env
from metarl_envs.drawing import AGENT, GOAL, PATH
from metarl_envs.grid import GridNavi, goal_cells

GRID = "metarl_envs:metarl/GridNavi-v0"


def make(**kwargs: Any) -> Any:
    return gym.make(GRID, disable_env_checker=True, **kwargs)


def naive_step(cell: tuple[int, int], action: int, size: int) -> tuple[int, int]:
    x, y = cell
    if action == 1 and y + 1 < size:
        y += 1
    elif action == 2 and x + 1 < size:
        x += 1
    elif action == 3 and y > 0:
        y -= 1
    elif action == 4 and x > 0:
        x -= 1
    return x, y


def test_the_goals_are_the_21_cells_not_next_to_the_start() -> None:
    cells = {tuple(cell) for cell in goal_cells(5).tolist()}
    everything = {(x, y) for x in range(5) for y in range(5)}
    assert cells == everything - {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(goal_cells(5)) == make().get_wrapper_attr("task_space").n == 21
    drawn = sample_tasks(make(), 1, (Split.TEST, 0), 2100)
    counts = np.bincount(drawn, minlength=21)
    assert len(counts) == 21
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100)


@pytest.mark.parametrize("size", [3, 5, 8])
def test_moves_walls_and_rewards_are_those_of_a_naive_loop(size: int) -> None:
    environment = make(size=size, max_episode_steps=400)
    generator = np.random.default_rng(size)
    for task, goal in enumerate(goal_cells(size).tolist()):
        observation, _ = environment.reset(seed=1, options={"task": task})
        assert observation.tolist() == [0, 0]
        cell = (0, 0)
        for action in generator.integers(0, 5, 200).tolist():
            cell = naive_step(cell, action, size)
            observation, reward, terminated, truncated, _ = environment.step(action)
            assert tuple(observation) == cell
            assert reward == (1.0 if list(cell) == goal else -0.1)
            assert (terminated, truncated) == (False, False)


def test_an_episode_is_of_15_steps_by_the_clock() -> None:
    environment = make()
    environment.reset(seed=1, options={"task": 0})
    ends = [environment.step(1)[2:4] for _ in range(15)]
    assert ends == [(False, False)] * 14 + [(False, True)]


def test_the_straight_way_to_the_farthest_goal_pays_7_3() -> None:
    environment = make()
    environment.reset(seed=1, options={"task": 20})
    rewards = [environment.step(action)[1] for action in [1] * 4 + [2] * 4 + [0] * 7]
    assert sum(rewards) == pytest.approx(7 * -0.1 + 8)


@pytest.mark.parametrize("kwargs", [{}, {"size": 3}])
def test_it_conforms(kwargs: dict[str, Any]) -> None:
    verdicts = check_task_env(GRID, kwargs, horizon=15)
    assert [verdict for verdict in verdicts if not verdict.passed] == []


def test_a_picture_shows_goal_path_and_agent() -> None:
    environment = GridNavi(render_mode="rgb_array")
    environment.reset(seed=1, options={"task": 20})
    environment.step(2)
    picture = environment.render()
    assert picture is not None
    assert picture.shape == (400, 400, 3)
    places = [round(200 + offset * 400 / (2 * 0.58 * 5)) for offset in (-2, -1, 0, 1, 2)]
    assert tuple(picture[places[0], places[4]]) == GOAL
    assert tuple(picture[places[4], places[1]]) == AGENT
    assert tuple(picture[places[4], places[0]]) == PATH
    environment.reset(seed=1, options={"task": 0})
    moved = environment.render()
    assert moved is not None
    assert tuple(moved[places[0], places[4]]) != GOAL
    assert tuple(moved[places[4], places[0]]) == AGENT


def test_a_grid_without_goals_is_refused() -> None:
    with pytest.raises(ValueError, match="size = 2 must be at least 3"):
        GridNavi(size=2)
