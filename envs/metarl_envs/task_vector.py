"""What native batches of task-distributed environments share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, final

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from jaxtyping import Float, Int

from metarl.foundation.many_streams import seed_generators

Observations = Float[np.ndarray, "slot obs"]
Slots = Int[np.ndarray, " chosen"]


class TaskVector(gym.vector.VectorEnv[Any, Any, Any], ABC):
    """Slots side by side, each with a task, a random generator and a clock of its own.

    `set_attr("task", tasks)` gives each slot its own task. Episodes do not restart by themselves.

    Args:
        num_envs: the number of slots.
        max_episode_steps: the time limit; None: there is none.
        shared: the object whose other attributes `get_attr` gives for every slot.
        task_space: the space of a slot's tasks.
        observation_space: the space of a slot's observations.
        action_space: the space of a slot's actions.
        task: the task of every slot that was given none.

    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        max_episode_steps: int | None,
        shared: object,
        task_space: gym.Space[Any],
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        task: Any,
    ) -> None:
        self.num_envs = num_envs
        self.task_space = task_space
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self._shared = shared
        self._max_episode_steps = np.inf if max_episode_steps is None else max_episode_steps
        self._generators = [np_random()[0] for _ in range(num_envs)]
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._give_tasks([task] * num_envs)

    @abstractmethod
    def _use_tasks(self, tasks: Sequence[Any]) -> None:
        """Take a task for each slot."""

    @abstractmethod
    def _start(self, slots: Slots) -> Observations:
        """Start an episode in some slots; give the observations of all."""

    @final
    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Give each slot's `task`, or the attribute that all slots share."""
        if name == "task":
            return tuple(self._tasks)
        return (getattr(self._shared, name),) * self.num_envs

    @final
    def set_attr(self, name: str, values: Sequence[Any]) -> None:
        """Set each slot's `task`: rewards change at once, dynamics at the slot's reset."""
        if name != "task":
            raise AttributeError(
                f"{type(self._shared).__name__} has no settable attribute {name!r}"
            )
        self._give_tasks(values)

    @final
    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Start an episode in every slot; `options["task"]` sets one task for all of them.

        An integer seed gives slot i the seed + i; None leaves the generators where they are. With
        `options["reset_mask"]` only the slots marked True start anew, and only they take seed and
        task.
        """
        options = options or {}
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        slots = np.flatnonzero(mask)
        if "task" in options:
            given = options["task"]
            self._give_tasks([given if mask[i] else old for i, old in enumerate(self._tasks)])
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + slot for slot in range(self.num_envs)]
        if seed is not None:
            self._seed({slot: seed[slot] for slot in map(int, slots) if seed[slot] is not None})
        self._steps[slots] = 0
        return self._start(slots), {}

    def _seed(self, seeds: dict[int, Any]) -> None:
        """Put the generators of some slots where their seeds say."""
        if all(isinstance(seed, int | np.integer) and 0 <= seed < 2**32 for seed in seeds.values()):
            seed_generators([self._generators[slot] for slot in seeds], [*map(int, seeds.values())])
            return
        for slot, seed in seeds.items():
            self._generators[slot] = np_random(seed)[0]

    def _give_tasks(self, tasks: Sequence[Any]) -> None:
        if len(tasks) != self.num_envs:
            raise ValueError(f"{len(tasks)} tasks for {self.num_envs} slots")
        self._tasks = deepcopy(list(tasks))
        self._use_tasks(self._tasks)
