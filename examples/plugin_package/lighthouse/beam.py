"""A lighthouse turns its beam to a ship that it does not see."""

import gymnasium as gym
import numpy as np


class Beam(gym.Env):
    """The task is the ship's bearing, in rad; the reward is how well the beam shows it."""

    task_space = gym.spaces.Box(-np.pi, np.pi, (1,), np.float64)
    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float64)
    action_space = gym.spaces.Discrete(3)
    task = np.zeros(1)

    def reset(self, *, seed=None, options=None):
        """Start with the beam anywhere."""
        super().reset(seed=seed)
        self.task = (options or {}).get("task", self.task)
        self.bearing = self.np_random.uniform(-np.pi, np.pi)
        return self._observation(), {}

    def step(self, action):
        """Turn left, stay, or turn right by 0.3 rad."""
        self.bearing += 0.3 * (action - 1)
        return self._observation(), float(np.cos(self.bearing - self.task[0])), False, False, {}

    def _observation(self):
        return np.array([np.cos(self.bearing), np.sin(self.bearing)])
