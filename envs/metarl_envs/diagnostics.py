"""Tiny tasks with known answers, each isolating one thing that can go wrong."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

Vector = Float[np.ndarray, "1"]


class OneStepTarget(gym.Env[Vector, Vector]):
    """Name a hidden number in one step.

    ===========  ==================================================================
    observation  (1,) always 1
    action       (1,) a guess a in [-2, 2]
    reward       −(a − g)²
    terminates   after the first step
    task         (1,) the number g, uniform in [-1, 1]
    known answer before adaptation the best mean guess is E g = 0 with return
                 −Var g − σ² = −1/3 − σ²; for a policy that knows g it is g, with
                 return −σ² (σ the policy's standard deviation)
    ===========  ==================================================================
    """

    def __init__(self) -> None:
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Box(-2.0, 2.0, (1,), np.float64)
        self.task: Vector = np.zeros(1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vector, dict[str, Any]]:
        """Start; `options["task"]` sets the number, which stays until it is set anew."""
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = np.asarray(options["task"], dtype=np.float64)
        return np.ones(1), {}

    def step(self, action: Vector) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Reward the guess."""
        reward = -float((action[0] - self.task[0]) ** 2)
        return np.ones(1), reward, True, False, {}
