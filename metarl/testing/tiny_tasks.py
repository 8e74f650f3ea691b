"""A task distribution so small that an agent can be tried on it in a moment."""

from typing import Any

import gymnasium as gym
import numpy as np

STEP = 0.2


class FindNumber(gym.Env[np.ndarray, Any]):
    """Find a hidden number on a line.

    ===========  ==================================================================
    observation  (1,) the place x
    action       (1,) in [-1, 1], times 0.2 added to x; discrete: left, stay, right
    reward       −|x − g| after the move; 0 always, if `flat`
    terminates   never
    task         (1,) the number g, uniform in [0.5, 1]
    start        x uniform in [-0.2, 0.2]
    ===========  ==================================================================
    """

    def __init__(self, discrete: bool = False, flat: bool = False) -> None:
        self.task_space = gym.spaces.Box(0.5, 1.0, (1,), np.float64)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = (
            gym.spaces.Discrete(3) if discrete else gym.spaces.Box(-1.0, 1.0, (1,), np.float64)
        )
        self.task = np.full(1, 0.5)
        self._discrete = discrete
        self._flat = flat
        self._place = np.zeros(1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start near 0."""
        super().reset(seed=seed)
        self.task = (options or {}).get("task", self.task)
        self._place = self.np_random.uniform(-STEP, STEP, 1)
        return self._place.copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move."""
        direction = np.array([float(action) - 1.0]) if self._discrete else np.asarray(action)
        self._place = self._place + STEP * direction
        reward = 0.0 if self._flat else -float(np.abs(self._place - self.task)[0])
        return self._place.copy(), reward, False, False, {}


gym.register("metarl/FindNumber-v0", entry_point="metarl.testing.tiny_tasks:FindNumber")
