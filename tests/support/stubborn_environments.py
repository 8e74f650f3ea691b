"""An environment that sleeps in its first step and swallows what interrupts it there."""

import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Stubborn(gym.Env):
    """Stands still; files tell how far it has come, and whether to sleep on when interrupted."""

    def __init__(self):
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.task = np.zeros(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 1), {}

    def step(self, action):
        if not Path("r/sleeping").exists():
            self.sleep()
        return self.np_random.uniform(-1, 1, 1), 1.0, False, False, {}

    def sleep(self):
        try:
            Path("r/sleeping").touch()
            time.sleep(60)
        except BaseException:
            Path("r/swallowed").touch()
            if Path("sleep-on").exists():
                self.sleep()


gym.register("Stubborn-v0", entry_point="stubborn_environments:Stubborn", max_episode_steps=2)
