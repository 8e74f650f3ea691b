"""Environments that exist only one at a time: how many are held, and how they are stepped."""

import itertools
import mmap

import gymnasium as gym
import numpy as np
import pytest
from building import tiny_config
from gymnasium.wrappers import RescaleAction, TimeLimit

from metarl.foundation.errors import TaskError
from metarl.tasks import single_environments
from metarl.tasks.distribution import make_environment, sample_tasks
from metarl.tasks.environment_batches import make_batch
from metarl.tasks.single_environments import make_single_environments, resident_bytes, step_method

CONFIG = tiny_config("pendulum-wrapped")


def test_a_step_passes_over_wrappers_that_do_nothing_in_it():
    made = make_environment(CONFIG.env_id, CONFIG.env_kwargs, -1)
    assert step_method(made) == made.unwrapped.step
    limited = TimeLimit(made, 3)
    assert step_method(limited) == limited.step
    rescaled = RescaleAction(made.unwrapped, np.float32(-1), np.float32(1))
    assert step_method(gym.wrappers.OrderEnforcing(rescaled)) == rescaled.step


def test_environments_are_made_for_whole_tasks_while_they_are_light(monkeypatch):
    assert len(make_single_environments(CONFIG, 4, 3)) == 12
    # 200 MB for each task's: the third would go beyond the bound.
    grows = itertools.count(0, 200 * 2**20)
    monkeypatch.setattr(single_environments, "resident_bytes", lambda: next(grows))
    assert len(make_single_environments(CONFIG, 4, 9)) == 8
    monkeypatch.setattr(single_environments, "MOST_SECONDS", 0.0)
    assert len(make_single_environments(CONFIG, 4, 9)) == 4


def test_memory_is_measured():
    before = resident_bytes()
    with mmap.mmap(-1, 2**26) as held:  # fresh pages, never memory that was freed before
        held.write(bytes(2**26))
        assert resident_bytes() - before > 2**25 or before == 0


def test_fewer_tasks_than_there_is_room_for():
    batch = make_batch(CONFIG, 2, 3)
    tasks = sample_tasks(make_environment(CONFIG.env_id, CONFIG.env_kwargs), 1, (0, 0), 2)
    slots = [task for task in tasks for _ in range(2)]
    everything = batch.reset(slots, [1, 2, 3, 4])
    assert everything.shape == (4, 3)
    np.testing.assert_array_equal(batch.reset(slots[:2], [1, 2]), everything[:2])
    active = np.array([True, False])
    observations, rewards, ended = batch.step(np.zeros((2, 1), dtype=np.float32), active)
    assert observations[0].any()
    assert not observations[1].any()
    assert (rewards[0] < 0, rewards[1], ended.tolist()) == (True, 0, [False, False])


@pytest.mark.parametrize("shown", [np.zeros(4), "nothing", None])
def test_an_observation_of_another_shape_is_blamed_on_its_slot(shown, monkeypatch):
    batch = make_batch(CONFIG, 2, 1)
    (task,) = sample_tasks(make_environment(CONFIG.env_id, CONFIG.env_kwargs), 1, (0, 0), 1)
    batch.reset([task, task], [7, 8])
    broken = batch._environments[1].unwrapped
    monkeypatch.setattr(broken, "_get_obs", lambda: shown)
    with pytest.raises(TaskError, match="failed in step 0 of an episode") as failure:
        batch.step(np.zeros((2, 1), dtype=np.float32), np.ones(2, dtype=bool))
    assert failure.value.slot == 1
