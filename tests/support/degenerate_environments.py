"""Environments whose batches have nothing in them, or too much."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Degenerate(gym.Env):
    """Goes nowhere; the reward is what it was made with, or the action times that.

    After its last step it has ended by itself, or, if it truncates, was cut off.
    """

    def __init__(self, reward=1.0, of_action=False, last_step=0, truncates=False):
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.task = np.zeros(1)
        self.reward, self.of_action, self.last_step = reward, of_action, last_step
        self.truncates = truncates
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = np.asarray(options["task"])
        self.steps = 0
        return self.np_random.uniform(-1, 1, 1), {}

    def step(self, action):
        self.steps += 1
        reward = self.reward * (float(action[0]) if self.of_action else 1.0)
        over = self.steps == self.last_step
        terminated, truncated = over and not self.truncates, over and self.truncates
        return self.np_random.uniform(-1, 1, 1), reward, terminated, truncated, {}


gym.register("Degenerate-v0", entry_point="degenerate_environments:Degenerate")
