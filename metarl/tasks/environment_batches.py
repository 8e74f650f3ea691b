"""Environments stepped together: a native batch where there is one, else single environments.

Both look alike to the rollout: slots in (task, episode) order, each with its own task and seed.
Episodes never restart by themselves; a slot that ended is passed over until the next reset.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from jaxtyping import Bool, Float, Shaped

from metarl.config.reinforcement import Config
from metarl.foundation.errors import TaskError
from metarl.foundation.rollout_location import SLOT, STEP, RolloutLocation
from metarl.tasks.device_slots import DeviceSlots, ObservedOnDevice
from metarl.tasks.distribution import (
    Task,
    describe_task,
    registered,
    task_features,
    task_space,
)
from metarl.tasks.failed_episodes import EpisodeError
from metarl.tasks.observations import is_flat
from metarl.tasks.physics import require_physics
from metarl.tasks.single_environments import make_single_environments, step_method
from metarl.tasks.success import EpisodeSuccess

Observations = Float[np.ndarray, "slot obs"]
StepResult = tuple[Observations, Float[np.ndarray, " slot"], Bool[np.ndarray, " slot"]]


@runtime_checkable
class EnvironmentBatch(Protocol):
    """Slots for the episodes of some tasks, stepped together."""

    tasks_at_once: int
    """How many tasks' episodes run side by side."""
    task_space: gym.Space[Any]
    on_device: DeviceSlots | None
    """The same slots, stepped on a device without the CPU; None: they live in the CPU's memory."""

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """Which slots' episodes have succeeded so far; None: the environment does not say."""

    @property
    def terminated(self) -> Bool[np.ndarray, " slot"]:
        """Which slots' episodes have ended by themselves, and were not cut off."""

    @property
    def unstable(self) -> Bool[np.ndarray, " slot"]:
        """Which slots' episodes the simulation broke off, by `unstable` in a step's info."""

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Observations:
        """Start an episode in every slot, given a task and a seed for each."""

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step the active slots; give observations, rewards and whether each episode ended."""

    def physics_of(self, slot: int) -> dict[str, list[float]]:
        """Give what is known of a slot's physics, for the record of a failure."""

    def close(self) -> None:
        """Release what the environments hold."""


def make_batch(
    config: Config, episodes_per_task: int, tasks: int, location: RolloutLocation | None = None
) -> EnvironmentBatch:
    """Make the environments for the episodes of `tasks` tasks.

    A native batch is used when the id registers a `vector_entry_point` that is itself
    task-distributed (it has `task_space`), and whose observations are flat vectors. Single
    environments write into `location` which slot is being stepped.
    """
    batch = _make_batch(config, episodes_per_task, tasks, location or RolloutLocation())
    return ObservedTasks(batch) if config.observe_task else batch


def _make_batch(
    config: Config, episodes_per_task: int, tasks: int, location: RolloutLocation
) -> EnvironmentBatch:
    vector = make_task_vector(config, tasks * episodes_per_task)
    if vector is not None:
        return NativeBatch(vector, config.env_id, tasks)
    singles = make_single_environments(config, episodes_per_task, tasks)
    return SingleEnvironments(singles, config.env_id, len(singles) // episodes_per_task, location)


def make_task_vector(config: Config, slots: int) -> Any:
    """Make an environment's native batch, a `TaskVectorEnv`; None: it has none that serves here.

    Raises:
        ConfigError: the physics wanted are not the environment's, or not installed.

    """
    require_physics(config)
    physics: dict[str, Any] = {}
    if config.physics != "mujoco":
        physics = {"physics": config.physics, "device": config.device}
    if registered(config.env_id).vector_entry_point is None:
        return None
    vector: Any = gym.make_vec(
        config.env_id,
        num_envs=slots,
        vectorization_mode="vector_entry_point",
        max_episode_steps=config.horizon,
        **config.env_kwargs,
        **physics,
    )
    observations = getattr(vector, "single_observation_space", None)
    if hasattr(vector, "task_space") and (observations is None or is_flat(observations)):
        return vector
    vector.close()
    return None


class ObservedTasks:
    """A batch for an oracle: each slot's task, as numbers, stands behind its observation."""

    def __init__(self, batch: EnvironmentBatch) -> None:
        self.tasks_at_once = batch.tasks_at_once
        self.task_space = batch.task_space
        self._batch = batch
        self._features: Float[np.ndarray, "slot feature"] = np.zeros((0, 0))
        self._observed: ObservedOnDevice | None = None
        if batch.on_device is not None:
            features = len(task_features(batch.task_space, batch.task_space.sample()))
            self._observed = ObservedOnDevice(batch.on_device, features)
        self.on_device: DeviceSlots | None = self._observed

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """Which slots' episodes have succeeded so far; None: the environment does not say."""
        return self._batch.succeeded

    @property
    def terminated(self) -> Bool[np.ndarray, " slot"]:
        """Which slots' episodes have ended by themselves."""
        return self._batch.terminated

    @property
    def unstable(self) -> Bool[np.ndarray, " slot"]:
        """Which slots' episodes the simulation broke off."""
        return self._batch.unstable

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Observations:
        """Start an episode in every slot, given a task and a seed for each."""
        self._features = np.stack([task_features(self.task_space, task) for task in tasks])
        observations = self._batch.reset(tasks, seeds)
        if self._observed is not None:
            self._observed.begin(self._features)
        return np.hstack([observations, self._features])

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step the active slots."""
        observations, rewards, ended = self._batch.step(actions, active)
        return np.hstack([observations, self._features]), rewards, ended

    def physics_of(self, slot: int) -> dict[str, list[float]]:
        """Give what is known of a slot's physics."""
        return self._batch.physics_of(slot)

    def close(self) -> None:
        """Close the environments."""
        self._batch.close()


@runtime_checkable
class TaskVectorEnv(Protocol):
    """A task-distributed `gymnasium.vector.VectorEnv`: its slots take tasks by `set_attr`.

    One whose slots live on a device has them as `on_device`, a
    `metarl.tasks.device_slots.DeviceSlots`.
    """

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
        self.task_space = vector.task_space
        self.on_device: DeviceSlots | None = getattr(vector, "on_device", None)
        self.terminated: Bool[np.ndarray, " slot"] = np.zeros(0, dtype=bool)
        self.unstable: Bool[np.ndarray, " slot"] = np.zeros(0, dtype=bool)
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
        self.terminated = np.zeros(len(tasks), dtype=bool)
        self.unstable = np.zeros(len(tasks), dtype=bool)
        self._vector.set_attr("task", list(tasks))
        observations, _ = self._vector.reset(seed=list(seeds))
        return np.asarray(observations)

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step all slots; what the inactive ones give is to be ignored."""
        try:
            observations, rewards, terminated, truncated, infos = self._vector.step(actions)
            self.terminated |= active & np.asarray(terminated, dtype=bool)
            self._success.add_all(infos, active)
            if "unstable" in infos:
                self.unstable |= active & np.asarray(infos["_unstable"], dtype=bool)
        except Exception as error:
            raise TaskError(
                f"the native batch of {self._env_id} failed ({len(self._tasks)} slots, first task "
                f"{describe_task(self._tasks[0])}): {type(error).__name__}: {error}"
            ) from error
        return np.asarray(observations), np.asarray(rewards), terminated | truncated

    def physics_of(self, slot: int) -> dict[str, list[float]]:
        """Give nothing: the episode can be repeated in a single environment, to the last bit."""
        return {}

    def close(self) -> None:
        """Close the vector environment."""
        self._vector.close()


class SingleEnvironments:
    """Some tasks' episodes, each in an environment of its own, stepped one after the other.

    Tasks may be fewer than there is room for; the environments left over are then idle.
    """

    def __init__(
        self,
        environments: list[gym.Env[Any, Any]],
        env_id: str,
        tasks_at_once: int,
        location: RolloutLocation,
    ) -> None:
        self.tasks_at_once = tasks_at_once
        self.task_space = task_space(environments[0])
        self.on_device: DeviceSlots | None = None
        self.terminated: Bool[np.ndarray, " slot"] = np.zeros(len(environments), dtype=bool)
        self.unstable: Bool[np.ndarray, " slot"] = np.zeros(len(environments), dtype=bool)
        self._here = location.numbers
        self._environments = environments
        self._env_id = env_id
        self._shape = environments[0].observation_space.shape
        self._slots = 0
        self._steps = 0
        self._step_methods: list[Callable[[Any], Any]] = []
        self._success = EpisodeSuccess(len(environments))

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """Which slots' episodes have succeeded so far; None: the environment does not say."""
        return self._success.succeeded

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Observations:
        """Start an episode in every slot, given a task and a seed for each."""
        self._slots, self._steps = len(tasks), 0
        self._success = EpisodeSuccess(len(tasks))
        self.terminated = np.zeros(len(tasks), dtype=bool)
        self.unstable = np.zeros(len(tasks), dtype=bool)
        seen = []
        for slot, task in enumerate(tasks):
            self._here[SLOT] = slot
            try:
                observation, _ = self._environments[slot].reset(
                    seed=seeds[slot], options={"task": task}
                )
            except Exception as error:
                raise self._failure(slot, "in reset", error) from error
            seen.append(observation)
        # Found anew in every episode: a task may have built the environment anew.
        self._step_methods = [step_method(each) for each in self._environments[: len(tasks)]]
        return self._rows(seen, range(len(tasks)), "in reset")

    def step(
        self, actions: Shaped[np.ndarray, "slot *act"], active: Bool[np.ndarray, " slot"]
    ) -> StepResult:
        """Step the active slots; the others give zeros."""
        where = f"in step {self._steps}"
        here = self._here
        here[STEP] = self._steps
        slots = np.flatnonzero(active).tolist()
        step_methods = self._step_methods
        seen, earned, over = [], [], []
        for slot in slots:
            here[SLOT] = slot
            try:
                observation, reward, terminated, truncated, info = step_methods[slot](actions[slot])
                if info:
                    self._success.add(slot, info)
                    if "unstable" in info:
                        self.unstable[slot] = True
                self.terminated[slot] = bool(terminated)
                earned.append(float(reward))
            except Exception as error:
                raise self._failure(slot, where, error) from error
            seen.append(observation)
            over.append(bool(terminated or truncated))
        self._steps += 1
        rows = self._rows(seen, slots, where)
        count = self._slots
        if len(slots) == count:
            return rows, np.array(earned), np.array(over)
        observations = np.zeros((count, *rows.shape[1:]))
        rewards, ended = np.zeros(count), np.zeros(count, dtype=bool)
        observations[slots], rewards[slots], ended[slots] = rows, earned, over
        return observations, rewards, ended

    def close(self) -> None:
        """Close every environment."""
        for environment in self._environments:
            environment.close()

    def _rows(self, seen: list[Any], slots: Sequence[int], where: str) -> Observations:
        """Give the observations of some slots as rows, all at once, which is far quicker."""
        try:
            rows = np.array(seen, dtype=np.float64)
            if rows.shape == (len(seen), *self._shape):  # type: ignore[misc]
                return rows
        except (TypeError, ValueError):
            pass
        for slot, observation in zip(slots, seen, strict=True):
            try:
                self._require_shape(observation)
            except Exception as error:
                raise self._failure(slot, where, error) from error
        raise AssertionError("observations of the right shape make rows")

    def _require_shape(self, observation: Any) -> None:
        shape = np.asarray(observation, dtype=np.float64).shape
        if shape != self._shape:
            raise ValueError(
                f"observation of shape {shape} where the observation space says {self._shape}"
            )

    def _failure(self, slot: int, where: str, error: Exception) -> EpisodeError:
        failure = EpisodeError(
            slot,
            f"{self._env_id} failed {where} of an episode:",
            f"{type(error).__name__}: {error}",
        )
        failure.state = self.physics_of(slot)
        return failure

    def physics_of(self, slot: int) -> dict[str, list[float]]:
        """Give the positions and velocities of a slot's MuJoCo simulation, if it has one."""
        data = getattr(self._environments[slot].unwrapped, "data", None)
        return {
            name: np.asarray(getattr(data, name)).tolist()
            for name in ("qpos", "qvel")
            if hasattr(data, name)
        }
