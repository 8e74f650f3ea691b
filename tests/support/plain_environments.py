"""Environments that know nothing of tasks, for the tests of metarl.tasks.foreign_environments to
give some.
"""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from metarl.tasks.foreign_environments import register_tasks

SHARED = [1.0, 2.0]


class World:
    """Something an environment holds."""

    def __init__(self):
        self.goal = (0.5, -0.5)
        self.wind = np.array([0.1, 0.2], dtype=np.float32)
        self.shared = SHARED


class Plain(gym.Env):
    """Moves on a line; everything about it can be named."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)

    def __init__(self, speed=1.0, size=1, render_mode=None):
        self.world = World()
        self.mass = 1
        self.count = 3
        self.counts = np.array([1, 2])
        self.flag = False
        self.colour = "red"
        self.unset = None
        self.redrawn = 0.0
        self.speed = speed
        self.options = None
        if size != 1:
            self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)

    @property
    def fixed(self):
        return 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.options = options
        self.redrawn = self.np_random.uniform()
        self.made = 0.0
        self.position = self.np_random.uniform(-1, 1, 1)
        return self.position.copy(), {}

    def step(self, action):
        pull = 0.1 * self.world.goal[0] + self.world.wind[1] + (self.options or {}).get("drift", 0)
        self.position = self.position + action * self.speed / self.mass + pull + self.redrawn
        return self.position.copy(), -abs(float(self.position[0])), False, False, {}


gym.register("plain/Plain-v0", entry_point="plain_environments:Plain", max_episode_steps=7)
register_tasks(
    "plain_environments:plain/Tasks-v0",
    "plain_environments:plain/Plain-v0",
    {
        "goal": {"attribute": "world.goal", "low": [-1, -1], "high": [1, 1]},
        "speed": {"keyword": "speed", "low": 0.5, "high": 2.0},
        "drift": {"option": "drift", "choices": [-0.1, 0.1]},
    },
)
