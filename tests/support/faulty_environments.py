"""Environments that break, to be made in workers by id; importing this registers them."""

import os
import time

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Faulty(gym.Env):
    """Moves on a line; fails in the way and at the place it is told, for tasks above 0."""

    def __init__(self, fault="none", step=2):
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.task = np.zeros(1)
        self.fault, self.faulty_step = fault, step
        self.steps = 0
        if fault == "constructor":
            raise RuntimeError("no such robot")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = np.asarray(options["task"])
        self.steps = 0
        self.position = self.np_random.uniform(-0.1, 0.1, 1)
        if self.fault == "reset" and self.task[0] > 0:
            raise RuntimeError("the gripper is stuck")
        return self.position.copy(), {}

    def step(self, action):
        self.steps += 1
        self.position = self.position + action
        observation, reward = self.position.copy(), float(-abs(self.position[0] - self.task[0]))
        if self.steps == self.faulty_step and self.task[0] > 0:
            if self.fault == "step":
                raise ZeroDivisionError("the sensor divided by zero")
            if self.fault == "exit":
                os._exit(3)
            if self.fault == "hang":
                time.sleep(3600)
            if self.fault == "nan-reward":
                reward = float("nan")
            if self.fault == "nan-observation":
                observation[0] = np.nan
            if self.fault == "shape":
                observation = np.zeros(4)
        return observation, reward, False, False, {}


gym.register("Faulty-v0", entry_point="faulty_environments:Faulty", max_episode_steps=5)
