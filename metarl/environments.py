"""Environments stepped together: a native batch where there is one, else single environments.

Both look alike to the rollout: slots in (task, episode) order, each with its own task and seed.
Episodes never restart by themselves; a slot that ended is passed over until the next reset.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from jaxtyping import Bool, Float, Shaped

from metarl.config import Config
from metarl.errors import TaskError
from metarl.success import EpisodeSuccess
from metarl.tasks import (
    Task,
    describe_task,
    make_environment,
    registered,
    task_features,
    task_space,
)

Observations = Float[np.ndarray, "slot obs"]
StepResult = tuple[Observations, Float[np.ndarray, " slot"], Bool[np.ndarray, " slot"]]


@runtime_checkable
class EnvironmentBatch(Protocol):
    """Slots for the episodes of some tasks, stepped together."""

    tasks_at_once: int
    """How many tasks' episodes run side by side."""

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """Which slots' episodes have succeeded so far; None: the environment does not say."""

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Observations:
        """Start an episode in every slot, given a task and a seed for each."""

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step the active slots; give observations, rewards and whether each episode ended."""

    def close(self) -> None:
        """Release what the environments hold."""


def make_batch(config: Config, episodes_per_task: int, tasks: int) -> EnvironmentBatch:
    """Make the environments for the episodes of `tasks` tasks.

    A native batch is used when the id registers a `vector_entry_point` that is itself
    task-distributed (it has `task_space`).
    """
    batch, space = _make_batch(config, episodes_per_task, tasks)
    return ObservedTasks(batch, space) if config.observe_task else batch


def _make_batch(
    config: Config, episodes_per_task: int, tasks: int
) -> tuple[EnvironmentBatch, gym.Space[Any]]:
    """Make the environments; give their task space as well."""
    if registered(config.env_id).vector_entry_point is not None:
        vector: Any = gym.make_vec(
            config.env_id,
            num_envs=tasks * episodes_per_task,
            vectorization_mode="vector_entry_point",
            max_episode_steps=config.horizon,
            **config.env_kwargs,
        )
        if hasattr(vector, "task_space"):
            return NativeBatch(vector, config.env_id, tasks), vector.task_space
        vector.close()
    singles = [
        make_environment(config.env_id, config.env_kwargs, config.horizon)
        for _ in range(episodes_per_task)
    ]
    return SingleEnvironments(singles, config.env_id), task_space(singles[0])


class ObservedTasks:
    """A batch for an oracle: each slot's task, as numbers, stands behind its observation."""

    def __init__(self, batch: EnvironmentBatch, space: gym.Space[Any]) -> None:
        self.tasks_at_once = batch.tasks_at_once
        self._batch = batch
        self._space = space
        self._features: Float[np.ndarray, "slot feature"] = np.zeros((0, 0))

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """Which slots' episodes have succeeded so far; None: the environment does not say."""
        return self._batch.succeeded

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Observations:
        """Start an episode in every slot, given a task and a seed for each."""
        self._features = np.stack([task_features(self._space, task) for task in tasks])
        return np.hstack([self._batch.reset(tasks, seeds), self._features])

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step the active slots."""
        observations, rewards, ended = self._batch.step(actions, active)
        return np.hstack([observations, self._features]), rewards, ended

    def close(self) -> None:
        """Close the environments."""
        self._batch.close()


@runtime_checkable
class TaskVectorEnv(Protocol):
    """A task-distributed `gymnasium.vector.VectorEnv`: its slots take tasks by `set_attr`."""

    task_space: gym.Space[Any]

    def set_attr(self, name: str, values: Sequence[Any]) -> None:
        """Set an attribute of each slot."""

    def reset(self, *, seed: Sequence[int]) -> tuple[Any, dict[str, Any]]:
        """Start an episode in every slot, with a seed for each."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every slot."""

    def close(self) -> None:
        """Release what the slots hold."""


class NativeBatch:
    """All slots in one vector environment, stepped in one call."""

    def __init__(self, vector: TaskVectorEnv, env_id: str, tasks_at_once: int) -> None:
        self.tasks_at_once = tasks_at_once
        self._vector = vector
        self._env_id = env_id
        self._tasks: Sequence[Task] = ()
        self._success = EpisodeSuccess(0)

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """Which slots' episodes have succeeded so far; None: the environment does not say."""
        return self._success.succeeded

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Observations:
        """Start an episode in every slot, given a task and a seed for each."""
        self._tasks = tasks
        self._success = EpisodeSuccess(len(tasks))
        self._vector.set_attr("task", list(tasks))
        observations, _ = self._vector.reset(seed=list(seeds))
        return np.asarray(observations)

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step all slots; what the inactive ones give is to be ignored."""
        try:
            observations, rewards, terminated, truncated, infos = self._vector.step(actions)
            self._success.add_all(infos, active)
        except Exception as error:
            raise TaskError(
                f"the native batch of {self._env_id} failed ({len(self._tasks)} slots, first task "
                f"{describe_task(self._tasks[0])}): {type(error).__name__}: {error}"
            ) from error
        return np.asarray(observations), np.asarray(rewards), terminated | truncated

    def close(self) -> None:
        """Close the vector environment."""
        self._vector.close()


class SingleEnvironments:
    """One task's episodes, each in an environment of its own, stepped one after the other."""

    tasks_at_once = 1

    def __init__(self, environments: list[gym.Env[Any, Any]], env_id: str) -> None:
        self._environments = environments
        self._env_id = env_id
        self._shape = environments[0].observation_space.shape
        self._tasks: Sequence[Task] = ()
        self._seeds: Sequence[int] = ()
        self._steps = 0
        self._success = EpisodeSuccess(len(environments))

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """Which slots' episodes have succeeded so far; None: the environment does not say."""
        return self._success.succeeded

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Observations:
        """Start an episode in every slot, given a task and a seed for each."""
        self._tasks, self._seeds, self._steps = tasks, seeds, 0
        self._success = EpisodeSuccess(len(self._environments))
        observations = []
        for slot, environment in enumerate(self._environments):
            try:
                observation, _ = environment.reset(seed=seeds[slot], options={"task": tasks[slot]})
                observations.append(self._checked(observation))
            except Exception as error:
                raise self._failure(slot, "in reset", error) from error
        return np.stack(observations)

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step the active slots; the others give zeros."""
        count = len(self._environments)
        observations = np.zeros((count, *self._shape))  # type: ignore[misc]
        rewards = np.zeros(count)
        ended = np.zeros(count, dtype=bool)
        for slot in map(int, np.flatnonzero(active)):
            try:
                observation, reward, terminated, truncated, info = self._environments[slot].step(
                    actions[slot]
                )
                self._success.add(slot, info)
                observations[slot] = self._checked(observation)
                rewards[slot] = reward
            except Exception as error:
                raise self._failure(slot, f"in step {self._steps}", error) from error
            ended[slot] = terminated or truncated
        self._steps += 1
        return observations, rewards, ended

    def close(self) -> None:
        """Close every environment."""
        for environment in self._environments:
            environment.close()

    def _checked(self, observation: Any) -> np.ndarray:
        given = np.asarray(observation, dtype=np.float64)
        if given.shape != self._shape:
            raise ValueError(
                f"observation of shape {given.shape} where the observation space says {self._shape}"
            )
        return given

    def _failure(self, slot: int, where: str, error: Exception) -> TaskError:
        return TaskError(
            f"{self._env_id} failed {where} of an episode "
            f"(task {describe_task(self._tasks[slot])}, reset seed {self._seeds[slot]}): "
            f"{type(error).__name__}: {error}"
        )
