"""An environment that sleeps in its first step and swallows what interrupts it there, once."""

import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Stubborn(gym.Env):
    """Stands still; the files `sleeping` and `swallowed` tell how far it has come."""

    def __init__(self):
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.task = np.zeros(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 1), {}

    def step(self, action):
        if not Path("sleeping").exists():
            Path("sleeping").write_text("")
            try:
                time.sleep(20)
            except BaseException:
                Path("swallowed").write_text("")
        return self.np_random.uniform(-1, 1, 1), 1.0, False, False, {}


gym.register("Stubborn-v0", entry_point="stubborn_environments:Stubborn", max_episode_steps=2)
