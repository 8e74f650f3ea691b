"""stable-baselines3 on a native batch: the numbers of single environments, to the last bit."""

import dataclasses

import numpy as np
import pytest

from metarl.config.plugins import load_preset
from metarl.foundation.errors import ConfigError
from metarl.tasks.environment_batches import make_task_vector
from metarl.tasks.policy_environment import DrawTasks

pytest.importorskip("stable_baselines3")
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from metarl_agents.native_vec_env import (
    NativeVecEnv,
    environments_of_tasks,
    single_environments,
)

SLOTS = 3


def assert_alike(one, other):
    np.testing.assert_array_equal(one, other)
    assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.mark.parametrize(
    ("preset", "fields"),
    [
        ("navigation-2d", {"horizon": 6}),
        ("navigation-2d", {"horizon": 6, "observe_task": True}),
        ("navigation-2d-halves", {"horizon": 6}),  # a range of tasks of its own
        ("navigation-corners", {"horizon": 5}),  # starts at random
        ("half-cheetah-vel", {"horizon": 4}),
        ("hopper-rand-params", {"horizon": 40}),  # falls before the time limit
        ("grid-navi-rl2", {"horizon": 5}),  # choices
        ("one-step-target", {}),
    ],
)
def test_a_native_batch_gives_the_numbers_of_single_environments(preset, fields):
    config = dataclasses.replace(load_preset(preset), **fields)
    native, single = environments_of_tasks(config, SLOTS), single_environments(config, SLOTS)
    assert isinstance(native, NativeVecEnv)
    assert native.observation_space == single.observation_space
    assert native.action_space == single.action_space
    ended = np.zeros(SLOTS, dtype=int)
    for seed in (5, None, 9):
        for environments in (native, single):
            if seed is not None:
                environments.seed(seed)
        assert_alike(native.reset(), single.reset())
        native.action_space.seed(3)
        for _ in range(45):
            assert_alike(native.get_attr("task"), single.get_attr("task"))
            actions = np.array([native.action_space.sample() for _ in range(SLOTS)])
            *arrays, infos = native.step(actions)
            *others, expected = single.step(actions)
            for one, other in zip(arrays, others, strict=True):
                assert_alike(one, other)
            ended += arrays[2]
            for info, other in zip(infos, expected, strict=True):
                assert info["TimeLimit.truncated"] == other["TimeLimit.truncated"]
                assert ("episode" in info) == ("episode" in other)
                if "episode" in info:
                    assert_alike(info["terminal_observation"], other["terminal_observation"])
                    assert {it: info["episode"][it] for it in "rl"} == {
                        it: other["episode"][it] for it in "rl"
                    }
    assert (ended > 1).all()
    native.close()
    single.close()


def test_episodes_of_slots_end_apart_from_each_other():
    """The case that a restart of all slots would get wrong."""
    config = dataclasses.replace(load_preset("hopper-rand-params"), horizon=60)
    environments = environments_of_tasks(config, SLOTS)
    environments.seed(1)
    environments.reset()
    environments.action_space.seed(1)
    apart = 0
    for _ in range(60):
        actions = np.array([environments.action_space.sample() for _ in range(SLOTS)])
        over = environments.step(actions)[2]
        apart += over.any() and not over.all()
    assert apart > 2


def test_environments_without_a_native_batch_are_single_ones():
    config = load_preset("minigrid-four-rooms")
    pytest.importorskip("minigrid")
    assert make_task_vector(config, SLOTS) is None
    assert isinstance(environments_of_tasks(config, 1), DummyVecEnv)


def test_slots_take_no_tasks_from_outside():
    environments = environments_of_tasks(load_preset("navigation-2d"), SLOTS)
    with pytest.raises(AttributeError, match="every episode draws its own task"):
        environments.set_attr("task", np.zeros(2))
    with pytest.raises(AttributeError, match="have no methods"):
        environments.env_method("render")
    assert environments.env_is_wrapped(Monitor) == [True] * SLOTS
    assert environments.env_is_wrapped(DrawTasks) == [False] * SLOTS


def test_physics_that_are_not_there_are_refused():
    config = dataclasses.replace(load_preset("navigation-2d"), physics="warp")
    with pytest.raises(ConfigError, match="is not simulated by it"):
        environments_of_tasks(config, SLOTS)
