"""Bandits: discrete actions, no state."""

from typing import Any, SupportsIndex

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float


class BernoulliBandit(gym.Env[Float[np.ndarray, "1"], Any]):
    """Pull arms that pay 1 with unknown probabilities.

    ===========  ==================================================================
    observation  (1,) always 0
    action       the arm to pull, 0 … arms − 1
    reward       1 with the arm's probability, else 0
    terminates   never; truncated at the time limit
    task         (arms,) each arm's probability, uniform in [0, 1]
    known answer a policy that pulls at random gets 1/2 a step, one that knows the
                 best of k arms k/(k + 1)
    source       the bandits of Duan et al. 2016 (RL²), section 3.1
    ===========  ==================================================================

    Args:
        arms: the number of arms.

    """

    def __init__(self, arms: int = 5) -> None:
        self.task_space = spaces.Box(0.0, 1.0, (arms,), np.float64)
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Discrete(arms)
        self.task: Float[np.ndarray, " arms"] = np.full(arms, 0.5)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, "1"], dict[str, Any]]:
        """Start; `options["task"]` sets the probabilities, which stay until set anew."""
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = np.asarray(options["task"], dtype=np.float64)
        return np.zeros(1), {}

    def step(
        self, action: SupportsIndex
    ) -> tuple[Float[np.ndarray, "1"], float, bool, bool, dict[str, Any]]:
        """Pull an arm."""
        reward = float(self.np_random.random() < self.task[action])
        return np.zeros(1), reward, False, False, {}
