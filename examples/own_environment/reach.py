"""An environment of one's own: a point in the plane goes to a goal that it does not see."""

import gymnasium as gym
import numpy as np


class Reach(gym.Env):
    """The task is the goal; the reward is minus the distance to it."""

    task_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float64)
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gym.spaces.Box(-0.2, 0.2, (2,), np.float64)
    task = np.zeros(2)

    def reset(self, *, seed=None, options=None):
        """Start near the origin; the task stays until another is given."""
        super().reset(seed=seed)  # seeds self.np_random, where all randomness must come from
        self.task = (options or {}).get("task", self.task)
        self.position = self.np_random.uniform(-0.1, 0.1, 2)
        return self.position.copy(), {}

    def step(self, action):
        """Move by the action."""
        self.position = self.position + action
        distance = float(np.linalg.norm(self.position - self.task))
        return self.position.copy(), -distance, False, False, {}


gym.register("examples/Reach-v0", entry_point="reach:Reach", max_episode_steps=30)
