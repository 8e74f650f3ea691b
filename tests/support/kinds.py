"""A small environment with sets and kinds of tasks, which says of success."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

ENV_ID = "kinds:tests/Kinds-v0"
SETS = {"train": [0, 1, 2, 3, 4, 5], "test": [6, 7]}


class Kinds(gym.Env[np.ndarray, np.ndarray]):
    """Task n succeeds in step n alone, counted from 0, and every step gives n.

    An episode ends by itself after step 2 if the task is 3. It may say of success alone, never of
    what is none.
    """

    task_space = spaces.Discrete(8)
    task_sets = tuple(SETS)
    observation_space = spaces.Box(-1.0, 10.0, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, key: str = "success", only_success: bool = False) -> None:
        self.task = 0
        self._key = key
        self._only_success = only_success
        self._time = 0

    def tasks_of(self, name: str) -> list[int]:
        return SETS[name]

    def task_group(self, task: int) -> str:
        return "odd" if task % 2 else "even"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.task = int((options or {}).get("task", self.task))
        self._time = 0
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        succeeds = self._time == self.task
        says = self._key and (succeeds or not self._only_success)
        info = {self._key: float(succeeds)} if says else {}
        self._time += 1
        return self._observe(), float(self.task), self.task == self._time == 3, False, info

    def _observe(self) -> np.ndarray:
        return np.array([self._time, self.np_random.uniform(-1.0, 1.0)])


class KindsVector(VectorEnv[Any, Any, Any]):
    """Many of them; those that ended stand still."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012
    task_space = Kinds.task_space

    def __init__(
        self, num_envs: int = 1, max_episode_steps: int | None = None, **kwargs: Any
    ) -> None:
        self.num_envs = num_envs
        self._environments = [
            gym.wrappers.TimeLimit(Kinds(**kwargs), max_episode_steps or 8) for _ in range(num_envs)
        ]

    def set_attr(self, name: str, values: Any) -> None:
        for environment, value in zip(self._environments, values, strict=True):
            environment.set_wrapper_attr(name, int(value))

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        starts = [
            each.reset(seed=its)[0] for each, its in zip(self._environments, seed, strict=True)
        ]
        self._ended = np.zeros(self.num_envs, dtype=bool)
        return np.stack(starts), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observations, rewards = np.zeros((self.num_envs, 2)), np.zeros(self.num_envs)
        terminated, truncated = self._ended.copy(), np.zeros(self.num_envs, dtype=bool)
        infos: dict[str, Any] = {}
        for slot in map(int, np.flatnonzero(~self._ended)):
            step = self._environments[slot].step(actions[slot])
            observations[slot], rewards[slot], terminated[slot], truncated[slot], info = step
            infos = self._add_info(infos, info, slot)
        self._ended = terminated | truncated
        return observations, rewards, terminated, truncated, infos


gym.register("tests/Kinds-v0", entry_point=Kinds, max_episode_steps=8)
gym.register(
    "tests/KindsVector-v0",
    entry_point=Kinds,
    vector_entry_point=KindsVector,
    max_episode_steps=8,
)
