"""Environments that break, to be made in workers by id; importing this registers them."""

import ctypes
import os
import random
import signal
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces


class Faulty(gym.Env):
    """Moves on a line; fails in the way and at the place it is told, for tasks above 0.

    With the path of a marker it fails only once: when there is no such file yet; `{task}` in it
    stands for the task, so each fails once.
    """

    def __init__(self, fault="none", step=2, marker=""):
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.task = np.zeros(1)
        self.fault, self.faulty_step, self.marker = fault, step, marker
        self.buffer = np.zeros(1)
        self.hoard = []
        self.steps = 0
        if fault == "constructor":
            raise RuntimeError("no such robot")
        if fault == "constructor-exit":
            print("the licence server does not answer")
            os._exit(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = np.asarray(options["task"])
        self.steps = 0
        self.position = self.np_random.uniform(-0.1, 0.1, 1)
        if self.fault == "reset" and self.task[0] > 0:
            raise RuntimeError("the gripper is stuck")
        if self.fault == "hoard":
            self.hoard.append(np.ones(2**20))
        if self.fault == "meddle":
            os.chdir("/")
            os.environ["OMP_NUM_THREADS"] = "64"
            random.seed(1)
            np.random.seed(1)  # noqa: NPY002
        return self._shown(), {}

    def _shown(self):
        if self.fault != "same-buffer":
            return self.position.copy()
        self.buffer[:] = self.position
        return self.buffer

    def _is_due(self):
        if self.steps != self.faulty_step or not self.task[0] > 0:
            return False
        if not self.marker:
            return True
        try:
            Path(self.marker.format(task=self.task[0])).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def step(self, action):
        self.steps += 1
        self.position = self.position + action
        observation, reward = self._shown(), float(-abs(self.position[0] - self.task[0]))
        if self._is_due():
            if self.fault == "step":
                raise ZeroDivisionError("the sensor divided by zero")
            if self.fault == "card":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            if self.fault == "exit":
                os._exit(3)
            if self.fault == "talk-and-exit":
                for line in range(20_000):
                    print(f"line {line} of the simulator")
                os._exit(3)
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "segfault":
                ctypes.string_at(0)
            if self.fault == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            if self.fault == "hang":
                time.sleep(3600)
            if self.fault == "nan-reward":
                reward = float("nan")
            if self.fault == "nan-observation":
                observation[0] = np.nan
            if self.fault == "infinite-observation":
                observation[0] = np.inf
            if self.fault == "shape":
                observation = np.zeros(4)
            if self.fault == "words":
                observation = np.array(["north"])
            if self.fault == "no-reward":
                reward = None
            if self.fault == "unstable":
                return observation, 0.0, True, False, {"unstable": "velocity"}
        return observation, reward, False, False, {}


gym.register("Faulty-v0", entry_point="faulty_environments:Faulty", max_episode_steps=5)
