"""The pendulum of random physics, against Gymnasium's own and by hand."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest


@pytest.mark.parametrize("seed", range(5))
def test_it_moves_as_gymnasiums_pendulum_bit_for_bit(seed: int) -> None:
    theirs: Any = gym.make("Pendulum-v1")
    ours: Any = gym.make("metarl_envs:metarl/PendulumRandParams-v0")
    ours.action_space.seed(seed)
    task = np.array([10.0, 1.0, 1.0])
    if seed:
        task = np.random.default_rng(seed).uniform([5, 0.5, 0.5], [15, 1.5, 1.5])
    world = theirs.unwrapped
    world.g, world.m, world.l = task.tolist()
    first, _ = ours.reset(seed=seed, options={"task": task})
    assert np.array_equal(first, theirs.reset(seed=seed)[0])
    for _ in range(200):
        action = ours.action_space.sample() * 1.3  # some are clipped
        given, expected = ours.step(action), theirs.step(action)
        assert np.array_equal(given[0], expected[0])
        assert given[0].dtype == expected[0].dtype
        # Gymnasium squares the torque by the C library's powf, whose last bit may be wrong.
        assert given[1] == pytest.approx(expected[1], abs=1e-9)
        assert given[2:4] == expected[2:4]
    assert given[3]


@pytest.mark.parametrize("task", [(5.0, 0.5, 1.5), (15.0, 1.2, 0.7)])
def test_gravity_mass_and_length_enter_the_equation_of_motion(task: Any) -> None:
    environment: Any = gym.make("metarl_envs:metarl/PendulumRandParams-v0")
    environment.reset(seed=1, options={"task": np.array(task)})
    assert environment.get_wrapper_attr("task").tolist() == list(task)
    gravity, mass, length = task
    environment.unwrapped._states = np.array([[0.5, 0.1]])
    observation, reward, *_ = environment.step(np.array([1.5], dtype=np.float32))
    acceleration = 3 * gravity / (2 * length) * np.sin(0.5) + 3 * 1.5 / (mass * length**2)
    speed = 0.1 + 0.05 * acceleration
    angle = 0.5 + 0.05 * speed
    expected = [np.cos(angle), np.sin(angle), speed]
    assert observation == pytest.approx(np.array(expected), abs=1e-6)
    assert reward == pytest.approx(-(0.5**2 + 0.1 * 0.1**2 + 0.001 * 1.5**2))
