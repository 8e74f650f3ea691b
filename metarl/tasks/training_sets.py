"""A fixed number of tasks to train on: which they are, and when each is met."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Purpose, stream
from metarl.tasks.distribution import Task, sample_tasks, task_space, tasks_of_set, to_json

_DRAWS_FOR_EACH = 20
"""So many draws for each task are made where tasks are to differ."""


def draw_different_tasks(
    environment: gym.Env[Any, Any],
    seed: int,
    key: Sequence[int],
    count: int,
    task_range: Mapping[str, Any] | None = None,
) -> list[Task]:
    """Draw tasks as `sample_tasks` does, and leave out what was drawn before.

    From a set they are taken at equal distances, the first of them anywhere before the second's
    place: so all differ, every task is as likely as any other, and neighbours in the set come in
    equal numbers.

    Raises:
        ConfigError: there are fewer, as far as one can see.

    """
    if task_range and "set" in task_range:
        return _different_of_set(environment, seed, key, count, task_range["set"])
    space = task_space(environment)
    found: dict[str, Task] = {}
    for first in range(0, _DRAWS_FOR_EACH * count, count):
        drawn = sample_tasks(
            environment, seed, key, _DRAWS_FOR_EACH * count, task_range, range(first, first + count)
        )
        for task in drawn:
            found.setdefault(repr(to_json(space, [task])), task)
        if len(found) >= count:
            return list(found.values())[:count]
    raise ConfigError(
        f"training_tasks = {count}: only {len(found)} different tasks came of "
        f"{_DRAWS_FOR_EACH * count} draws; take so many"
    )


def _different_of_set(
    environment: gym.Env[Any, Any], seed: int, key: Sequence[int], count: int, name: str
) -> list[Task]:
    space, tasks = task_space(environment), tasks_of_set(environment, name)
    different = list({repr(to_json(space, [task])): task for task in tasks}.values())
    there = len(different)
    if count > there:
        raise ConfigError(
            f"training_tasks = {count}: set {name!r} has only {there} different tasks; take so many"
        )
    first = int(stream(seed, Purpose.TASK, *key, 0).integers(there))
    return [different[(first + number * there) // count] for number in range(count)]


def iterations_of_a_pass(tasks_per_batch: int, training_tasks: int) -> int:
    """Say how many iterations it takes to meet each of a fixed number of tasks."""
    return -(-training_tasks // tasks_per_batch)


def order_of_training(
    seed: int, iteration: int, tasks_per_batch: int, training_tasks: int
) -> list[int]:
    """Say which of a fixed number of tasks an iteration meets.

    The tasks are gone through pass by pass, in a new random order each time; what is missing in the
    last meta-batch of a pass is made up for from the beginning of its order.

    Args:
        seed: the run's.
        iteration: counts from 1.
        tasks_per_batch: how many are met at once.
        training_tasks: how many there are.

    """
    number, batch = divmod(iteration - 1, iterations_of_a_pass(tasks_per_batch, training_tasks))
    order = stream(seed, Purpose.TRAINING_ORDER, number).permutation(training_tasks)
    wanted = np.arange(batch * tasks_per_batch, (batch + 1) * tasks_per_batch)
    chosen: list[int] = order[wanted % training_tasks].tolist()
    return chosen


def known_among(
    environment: gym.Env[Any, Any], tasks: Sequence[Task], known: Sequence[Task]
) -> int:
    """Say how many of some tasks are known ones."""
    space = task_space(environment)
    there = {json.dumps(to_json(space, [task])) for task in known}
    return sum(json.dumps(to_json(space, [task])) in there for task in tasks)
