"""Observations of MiniGrid that do not show where the goal is."""

from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

DIRECTIONS = 4


class AgentOnly(gym.ObservationWrapper[np.ndarray, Any, Any]):
    """See nothing but the agent: where it stands and which way it looks.

    The image of MiniGrid shows the goal as soon as it is in view, and with it the task. Instead an
    observation is (6,): column and row, scaled so that the grid's ends are -1 and 1, then the
    direction as one-hot: right, down, left, up.
    """

    def __init__(self, environment: gym.Env[Any, Any]) -> None:
        super().__init__(environment)
        low = np.array([-1.0] * 2 + [0.0] * DIRECTIONS, dtype=np.float32)
        self.observation_space = gym.spaces.Box(low, np.ones_like(low))

    def observation(self, observation: Any) -> Float32[np.ndarray, "6"]:
        """Give position and direction in place of the image."""
        world: Any = self.env.unwrapped
        size = np.array([world.width, world.height])
        position = 2 * np.asarray(world.agent_pos) / (size - 1) - 1
        return np.concatenate([position, np.eye(DIRECTIONS)[world.agent_dir]]).astype(np.float32)
