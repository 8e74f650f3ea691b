"""Worlds without physics, their rules written once for a single environment and for many.

The rules are methods over a leading slot axis. A `SlotEnv` runs them in one slot, a `SlotVector` in
many, so that the two cannot drift apart. The rules are elementwise and every slot draws from a
generator of its own: a slot's numbers have the same bits whatever the other slots do.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple, final

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import concatenate, create_empty_array
from jaxtyping import Bool, Float, Shaped, UInt8

from metarl_envs.task_vector import Observations, Slots, TaskVector

Generators = Sequence[np.random.Generator]
States = Shaped[np.ndarray, "slot ..."]
Observation = Float[np.ndarray, " obs"]
Frame = UInt8[np.ndarray, "height width 3"]


class Outcome(NamedTuple):
    """What a step leads to, in every slot."""

    states: States
    rewards: Float[np.ndarray, " slot"]
    terminated: Bool[np.ndarray, " slot"]


class Moment(NamedTuple):
    """One point of an episode, for its picture."""

    state: Any
    action: Any
    """The action that led here; None at the start."""
    reward: float


class SlotEnv(gym.Env[Observation, Any], ABC):
    """A task-distributed environment whose rules work on many slots at once.

    A subclass sets `task_space`, `observation_space` and `action_space`, gives a first `task` to
    the constructor here, and writes the four rules.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    task_space: gym.Space[Any]

    def __init__(self, task: Any, render_mode: str | None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode = {render_mode!r} must be 'rgb_array' or None")
        self.render_mode = render_mode
        self.task = task
        self._states = self.start([self.np_random])
        self._moments: list[Moment] = []

    @abstractmethod
    def start(self, generators: Generators) -> States:
        """Give the first state of an episode, for each generator."""

    @abstractmethod
    def observe(self, states: States) -> Observations:
        """Give new arrays of what is seen in each state."""

    @abstractmethod
    def advance(
        self,
        states: States,
        tasks: Any,
        actions: Shaped[np.ndarray, "slot *act"],
        generators: Generators,
    ) -> Outcome:
        """Take one step in every slot; `tasks` are stacked as `stack_tasks` does it."""

    @abstractmethod
    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw the episode so far, with the task that the agent does not see."""

    @property
    def task(self) -> Any:
        """The current task; it stays until it is set anew."""
        return self._task

    @task.setter
    def task(self, task: Any) -> None:
        self._tasks = stack_tasks(self.task_space, [task])
        self._task = deepcopy(task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; `options["task"]` sets the task, which stays until it is set anew."""
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = options["task"]
        self._states = self.start([self.np_random])
        self._moments = []
        self._remember(None, 0.0)
        return self.observe(self._states)[0], {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take one step; the time limit is the wrapper's."""
        self._states, rewards, terminated = self.advance(
            self._states, self._tasks, np.asarray(action)[None], [self.np_random]
        )
        self._remember(action, float(rewards[0]))
        observation = self.observe(self._states)[0]
        return observation, float(rewards[0]), bool(terminated[0]), False, {}

    def render(self) -> Frame | None:
        """Draw the episode so far."""
        return self.draw(self._moments) if self.render_mode == "rgb_array" else None

    def _remember(self, action: Any, reward: float) -> None:
        if self.render_mode is not None:
            self._moments.append(Moment(deepcopy(self._states[0]), deepcopy(action), reward))


def stack_tasks(space: gym.Space[Any], tasks: Sequence[Any]) -> Any:
    """Stack tasks along a leading slot axis, inside the dicts and tuples that a task may have."""
    empty: Any = create_empty_array(space, len(tasks))
    return concatenate(space, tasks, empty)


@final
class SlotVector(TaskVector):
    """Many slots of one `SlotEnv` side by side, a task for each; bit-equal to single ones.

    Args:
        world: gives the rules; it is never stepped itself.
        num_envs: the number of slots.
        max_episode_steps: the time limit; None: there is none.

    """

    def __init__(self, world: SlotEnv, num_envs: int, max_episode_steps: int | None) -> None:
        self._world = world
        super().__init__(
            num_envs,
            max_episode_steps,
            shared=world,
            task_space=world.task_space,
            observation_space=world.observation_space,
            action_space=world.action_space,
            task=world.task,
        )
        self._states = world.start(self._generators)

    def _use_tasks(self, tasks: Sequence[Any]) -> None:
        self._stacked_tasks = stack_tasks(self.task_space, tasks)

    def _start(self, slots: Slots) -> Observations:
        self._states = self._states.copy()
        self._states[slots] = self._world.start([self._generators[slot] for slot in slots])
        return self._world.observe(self._states)

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"]
    ) -> tuple[
        Observations,
        Float[np.ndarray, " slot"],
        Bool[np.ndarray, " slot"],
        Bool[np.ndarray, " slot"],
        dict[str, Any],
    ]:
        """Take one step in every slot."""
        self._states, rewards, terminated = self._world.advance(
            self._states, self._stacked_tasks, np.asarray(actions), self._generators
        )
        self._steps += 1
        truncated = self._steps >= self._max_episode_steps
        return self._world.observe(self._states), rewards, terminated, truncated, {}
