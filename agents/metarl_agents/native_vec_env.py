"""A native batch as stable-baselines3 steps environments: episodes restart, each on a new task."""

import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from jaxtyping import Bool, Float, Shaped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from metarl.config.reinforcement import Config
from metarl.foundation.errors import TaskError
from metarl.foundation.seeding import Split
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import name_task, sample_tasks, task_features
from metarl.tasks.environment_batches import make_task_vector
from metarl.tasks.failed_episodes import first_not_finite, not_finite
from metarl.tasks.policy_environment import DrawTasks, policy_environment


def environments_of_tasks(config: Config, count: int) -> VecEnv:
    """Make environments that draw a new task at every reset, in a native batch if there is one.

    Either way their numbers are the same, to the last bit.
    """
    vector = make_task_vector(config, count)
    if vector is not None and _restarts_single_slots(vector):
        return NativeVecEnv(config, vector)
    if vector is not None:
        vector.close()
    return single_environments(config, count)


def single_environments(config: Config, count: int) -> DummyVecEnv:
    """Make the same, stepped one after the other."""
    return DummyVecEnv(
        [lambda: Monitor(DrawTasks(policy_environment(config), config.train_range))] * count
    )


def _restarts_single_slots(vector: gym.vector.VectorEnv[Any, Any, Any]) -> bool:
    """Tell whether `options["reset_mask"]` starts some slots anew, as Gymnasium has it then."""
    return vector.metadata.get("autoreset_mode") == AutoresetMode.DISABLED


class NativeVecEnv(VecEnv):
    """What `single_environments` gives, in one batch.

    Args:
        config: of the run.
        vector: the native batch; it restarts single slots by `options["reset_mask"]`.

    """

    def __init__(self, config: Config, vector: Any) -> None:
        self._vector = vector
        self._one = policy_environment(config)  # has the spaces, and draws tasks
        self._map = ActionMap(vector.single_action_space, config.action_scale)
        self._range, self._observe_task = config.train_range, config.observe_task
        count = vector.num_envs
        self._tasks: list[Any] = list(vector.get_attr("task"))
        self._task_seeds, self._episodes = [0] * count, [0] * count
        self._returns, self._lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
        self._started = time.monotonic()
        self._actions = np.zeros(0)
        super().__init__(count, self._one.observation_space, self._one.action_space)

    def reset(self) -> Float[np.ndarray, "slot obs"]:
        """Start an episode in every slot; those that were given a seed count tasks from it anew."""
        seeds = list(self._seeds)
        for slot, seed in enumerate(seeds):
            if seed is not None:
                self._task_seeds[slot], self._episodes[slot] = seed, 0
        found = self._restart(np.ones(self.num_envs, dtype=bool), seeds)
        self._reset_seeds()
        self._reset_options()
        return found

    def step_async(self, actions: Shaped[np.ndarray, "slot *act"]) -> None:
        """Take the actions of a step."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every slot; where an episode ended, start the next."""
        seen, rewards, terminated, truncated, _ = self._vector.step(self._map(self._actions))
        over = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [
            {"TimeLimit.truncated": bool(late)} for late in truncated & ~terminated
        ]
        if over.any():
            last = self._observed(seen)
            for slot in np.flatnonzero(over).tolist():
                infos[slot]["terminal_observation"] = last[slot]
                infos[slot]["episode"] = {
                    "r": round(float(self._returns[slot]), 6),
                    "l": int(self._lengths[slot]),
                    "t": round(time.monotonic() - self._started, 6),
                }
            observations = self._restart(over, [None] * self.num_envs)
        else:
            observations = self._observed(seen)
        return observations, rewards.astype(np.float32), over, infos

    def _restart(
        self, slots: Bool[np.ndarray, " slot"], seeds: Sequence[int | None]
    ) -> Float[np.ndarray, "slot obs"]:
        for slot in np.flatnonzero(slots).tolist():
            key = (Split.TRAIN, self._episodes[slot])
            (self._tasks[slot],) = sample_tasks(
                self._one, self._task_seeds[slot], key, 1, self._range
            )
            self._episodes[slot] += 1
        self._vector.set_attr("task", self._tasks)
        seen, _ = self._vector.reset(seed=list(seeds), options={"reset_mask": slots})
        self._returns[slots], self._lengths[slots] = 0.0, 0
        return self._observed(seen)

    def _observed(self, seen: Float[np.ndarray, "slot own"]) -> Float[np.ndarray, "slot obs"]:
        if not self._observe_task:
            return np.array(seen)
        space = self._vector.task_space
        return np.hstack([seen, [task_features(space, task) for task in self._tasks]])

    def close(self) -> None:
        """Release what the environments hold."""
        self._vector.close()
        self._one.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Give an attribute of some slots: `task`, or what all share."""
        slots = list(self._get_indices(indices))
        if attr_name == "task":
            return [self._tasks[slot] for slot in slots]
        return [self._one.get_wrapper_attr(attr_name)] * len(slots)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: tasks are drawn."""
        raise AttributeError(f"{attr_name!r} cannot be set: every episode draws its own task")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """Refuse: slots are no objects."""
        raise AttributeError(f"{method_name!r}: the slots of a native batch have no methods")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Say that nothing is wrapped, but that returns are told as `Monitor` tells them."""
        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))


class FiniteNumbers(VecEnvWrapper):
    """Environments of tasks whose numbers are refused where they are not finite.

    `reset` and `step_wait` raise TaskError, which names the task, the step and the numbers.
    """

    def __init__(self, environments: VecEnv) -> None:
        super().__init__(environments)
        self._tasks: list[Any] = []
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        """Taken in each slot's episode."""

    def reset(self) -> Float[np.ndarray, "slot obs"]:
        """Start an episode in every slot."""
        seen = self.venv.reset()
        assert isinstance(seen, np.ndarray)  # as `observed_environment` has them
        self._begin(np.ones(self.num_envs, dtype=bool), seen)
        return seen

    def step_wait(self) -> VecEnvStepReturn:
        """Step every slot."""
        seen, rewards, over, infos = self.venv.step_wait()
        assert isinstance(seen, np.ndarray)
        self._require_finite(rewards, "the reward of step")
        self._steps += 1
        reached = seen
        if over.any():
            reached = seen.copy()
            for slot in np.flatnonzero(over).tolist():
                reached[slot] = infos[slot]["terminal_observation"]
        self._require_finite(reached, "an observation before step")
        if over.any():
            self._begin(over, seen)
        return seen, rewards, over, infos

    def _begin(self, slots: Bool[np.ndarray, " slot"], seen: Float[np.ndarray, "slot obs"]) -> None:
        self._tasks = self.venv.get_attr("task")
        self._steps[slots] = 0
        self._require_finite(seen, "an observation before step")

    def _require_finite(self, values: Float[np.ndarray, "slot ..."], what: str) -> None:
        slot = first_not_finite(values, np.ones(self.num_envs, dtype=bool))
        if slot is not None:
            error = not_finite(slot, f"{what} {self._steps[slot]}", values[slot])
            raise TaskError(f"{name_task(slot, self._tasks[slot])}: {error}")
