"""Worlds without physics: many slots have the bits of single environments, however they are run."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from installed import environments_here

from metarl.foundation.seeding import Split
from metarl.tasks.distribution import make_environment, sample_tasks
from metarl_envs.navigation import Navigation2D
from metarl_envs.slots import SlotEnv

pytestmark = pytest.mark.whole_runs

LIMIT = 12
IDS = [
    name
    for name in environments_here()
    if isinstance(gym.make(name, disable_env_checker=True).unwrapped, SlotEnv)
]


def make_vector(env_id: str, slots: int, limit: int = LIMIT) -> Any:
    return gym.make_vec(
        env_id,
        num_envs=slots,
        vectorization_mode="vector_entry_point",
        max_episode_steps=limit,
    )


def draw_actions(environment: gym.Env[Any, Any], count: int) -> np.ndarray:
    environment.action_space.seed(3)
    return np.array([environment.action_space.sample() for _ in range(count)])


def test_all_worlds_without_physics_have_slots() -> None:
    assert len(IDS) >= 7


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("slots", [1, 2, 3, 7, 33])
def test_a_slot_has_the_same_bits_in_any_company(env_id: str, slots: int) -> None:
    single = make_environment(env_id, {}, LIMIT)
    tasks = sample_tasks(single, 5, (Split.TEST, 0), slots)
    actions = draw_actions(single, slots * LIMIT).reshape(LIMIT, slots, -1)
    actions = actions.reshape(LIMIT, slots, *(single.action_space.shape or ()))
    vector = make_vector(env_id, slots)
    vector.set_attr("task", tasks)
    observations, _ = vector.reset(seed=100)
    steps = [vector.step(actions[time]) for time in range(LIMIT)]
    for slot in {0, slots // 2, slots - 1}:
        first, _ = single.reset(seed=100 + slot, options={"task": tasks[slot]})
        assert np.array_equal(observations[slot], first)
        for time in range(LIMIT):
            given = single.step(actions[time, slot])
            for expected, batch in zip(given[:4], steps[time][:4], strict=True):
                assert np.array_equal(batch[slot], expected)
            if given[2]:
                break


@pytest.mark.parametrize("env_id", IDS)
def test_masked_slots_start_anew_and_the_others_go_on(env_id: str) -> None:
    vector, undisturbed = make_vector(env_id, 3), make_vector(env_id, 3)
    single = make_environment(env_id, {}, LIMIT)
    first, second = sample_tasks(single, 5, (Split.TEST, 0), 2)
    actions = draw_actions(single, 3 * 4).reshape(4, 3, *(single.action_space.shape or ()))
    for each in (vector, undisturbed):
        each.reset(seed=1, options={"task": first})
        each.step(actions[0])
    mask = np.array([False, True, False])
    observations, _ = vector.reset(seed=50, options={"reset_mask": mask, "task": second})
    expected, _ = single.reset(seed=51, options={"task": second})
    assert np.array_equal(observations[1], expected)
    for time in range(1, 4):
        disturbed, reference = vector.step(actions[time]), undisturbed.step(actions[time])
        given = single.step(actions[time, 1])
        for part in range(3):
            assert np.array_equal(disturbed[part][~mask], reference[part][~mask])
            assert np.array_equal(disturbed[part][1], given[part])


def test_the_time_limit_is_each_slots_own_and_apart_from_termination() -> None:
    vector = make_vector("metarl_envs:metarl/Navigation2D-v0", 2, limit=3)
    vector.set_attr("task", [np.array([0.3, 0.0]), np.array([0.5, 0.5])])
    vector.reset(seed=1)
    move = np.array([[0.1, 0.0], [0.0, 0.0]])
    vector.step(move)
    vector.step(move)
    _, _, terminated, truncated, _ = vector.step(move)
    assert terminated.tolist() == [True, False]  # the goal is reached in the last step allowed
    assert truncated.tolist() == [True, True]
    vector.reset(options={"reset_mask": np.array([True, False])})
    assert vector.step(move)[3].tolist() == [False, True]


def test_attributes_are_each_slots() -> None:
    vector = make_vector("metarl_envs:metarl/NavigationCorners-v0", 3)
    vector.set_attr("task", [0, 3, 1])
    assert vector.get_attr("task") == (0, 3, 1)
    assert vector.get_attr("render_mode") == (None,) * 3
    with pytest.raises(AttributeError, match="NavigationCorners has no settable attribute 'goal'"):
        vector.set_attr("goal", [0, 0, 0])
    with pytest.raises(ValueError, match="2 tasks for 3 slots"):
        vector.set_attr("task", [0, 1])


def test_a_task_given_is_a_copy() -> None:
    environment = make_environment("metarl_envs:metarl/Navigation2D-v0", {}, LIMIT)
    goal = np.array([0.3, 0.4])
    environment.reset(seed=1, options={"task": goal})
    goal[:] = 0
    assert environment.get_wrapper_attr("task").tolist() == [0.3, 0.4]
    _, reward, *_ = environment.step(np.zeros(2))
    assert reward == pytest.approx(-0.5)


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_own_checker_is_content(env_id: str) -> None:
    environment: Any = gym.make(env_id, render_mode="rgb_array", disable_env_checker=True)
    with warnings.catch_warnings():
        # It warns of what is meant: unbounded or one-point spaces, asymmetric action ranges.
        warnings.simplefilter("ignore", UserWarning)
        check_env(environment.unwrapped)


def test_an_unknown_render_mode_is_an_error() -> None:
    with pytest.raises(ValueError, match="render_mode = 'human' must be"):
        Navigation2D(render_mode="human")
