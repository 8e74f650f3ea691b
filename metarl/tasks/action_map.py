"""From the policy's actions to the environment's."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor


class ActionMap:
    """From the policy's actions to the environment's.

    A Box with bounds: [-scale, scale] is mapped linearly to [low, high], then clipped. The policy's
    own action is kept unclipped, for its log-probability. Elements without two finite bounds pass
    unscaled. A Box of several dimensions gets its shape. Discrete actions count from the space's
    first.
    """

    def __init__(self, space: gym.Space[Any], scale: float) -> None:
        self._box = isinstance(space, gym.spaces.Box)
        self._first = int(space.start) if isinstance(space, gym.spaces.Discrete) else 0
        if isinstance(space, gym.spaces.Box):
            self._shape = space.shape
            self._low = space.low.astype(np.float64).ravel()
            self._high = space.high.astype(np.float64).ravel()
            bounded = np.isfinite(self._low) & np.isfinite(self._high)
            half_width = np.where(bounded, self._high - self._low, 2.0) / 2
            self._centre = np.where(bounded, self._low, 0.0) + np.where(bounded, half_width, 0.0)
            self._gain = np.where(bounded, half_width / scale, 1.0)
            self._dtype = space.dtype

    def __call__(self, actions: Shaped[np.ndarray, "slot *act"]) -> Shaped[np.ndarray, "slot *own"]:
        """Map a batch of the policy's actions."""
        if not self._box:
            return actions + self._first if self._first else actions
        mapped = self._centre + self._gain * actions.astype(np.float64)
        clipped: np.ndarray = np.clip(mapped, self._low, self._high).astype(self._dtype)
        return clipped.reshape(len(clipped), *self._shape)

    def on_device(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Give the same map, to the last bit, for tensors that are on a device and stay there."""
        if not self._box:
            return lambda actions: actions + self._first
        constants = (self._centre, self._gain, self._low, self._high)
        centre, gain, low, high = (torch.tensor(each, device=device) for each in constants)
        kind = torch.from_numpy(np.empty(0, self._dtype)).dtype

        def mapped(actions: Shaped[Tensor, "slot act"]) -> Shaped[Tensor, "slot *own"]:
            clipped = torch.clamp(centre + gain * actions.double(), low, high).to(kind)
            return clipped.view(len(clipped), *self._shape)

        return mapped
