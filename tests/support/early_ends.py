"""An environment whose episodes are of different lengths."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LONGEST = 5


class EarlyEnds(gym.Env):
    """Pays the task, plus the action; ends after 1 to 5 steps, drawn at the reset."""

    def __init__(self, discrete=False):
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(-1.0, 9.0, (2,), np.float64)
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (2,), np.float64)
        self.task = np.zeros(1)
        self.steps = self.length = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.task = np.asarray((options or {}).get("task", self.task))
        self.steps, self.length = 0, int(self.np_random.integers(1, LONGEST + 1))
        return self.seen(), {}

    def seen(self):
        return np.array([self.np_random.uniform(-1, 1), self.steps])

    def step(self, action):
        self.steps += 1
        reward = float(self.task[0] + np.sum(action))
        return self.seen(), reward, self.steps == self.length, False, {}


gym.register("EarlyEnds-v0", entry_point="early_ends:EarlyEnds")
