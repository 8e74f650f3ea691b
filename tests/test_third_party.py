"""Environments of other packages, through presets of ours."""

import numpy as np
import pytest

from metarl.config.plugins import load_preset
from metarl.tasks.distribution import make_environment

pytest.importorskip("minigrid")
pytest.importorskip("gymnasium_robotics")


def made(preset):
    config = load_preset(preset)
    return make_environment(config.env_id, config.env_kwargs, config.horizon)


def test_minigrid_shows_the_agent_and_never_the_goal():
    environment = made("minigrid-four-rooms")
    first, _ = environment.reset(seed=1, options={"task": 0})
    again, _ = environment.reset(seed=1, options={"task": 1})
    np.testing.assert_array_equal(first, again)
    world = environment.unwrapped
    assert world.agent_pos == (4, 4)
    assert world.grid.get(6, 4).type == "goal"
    np.testing.assert_allclose(first[:2], 2 * 4 / 18 - 1)
    assert first[2:].tolist() == np.eye(4)[world.agent_dir].tolist()
    turned, *_ = environment.step(1)
    assert turned[2:].tolist() == np.eye(4)[world.agent_dir].tolist()
    while world.agent_dir != 0:
        environment.step(1)
    environment.step(2)
    _, reward, terminated, _, _ = environment.step(2)
    assert terminated
    assert reward > 0


def test_the_maze_has_its_goal_in_the_tasks_cell():
    environment = made("point-maze")
    for task, cell in enumerate([[1, 1], [1, 2], [1, 3]]):
        observation, _ = environment.reset(seed=task, options={"task": task})
        assert observation.shape == (4,)
        world = environment.unwrapped
        centre = world.maze.cell_rowcol_to_xy(np.array(cell))
        assert np.abs(world.goal - centre).max() <= world.position_noise_range
        middle = world.maze.cell_rowcol_to_xy(np.array([2, 3]))
        assert np.abs(observation[:2] - middle).max() <= world.position_noise_range
