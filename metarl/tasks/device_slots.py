"""Slots whose simulations live on a device and are stepped there, without the CPU in between."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


@runtime_checkable
class DeviceSlots(Protocol):
    """Slots of an `EnvironmentBatch` as tensors, which each step writes anew, in place.

    Episodes start by the batch's own `reset`. A slot whose episode ended stands still: its
    observation stays and its reward is 0.
    """

    observations: Float[Tensor, "slot obs"]
    rewards: Float[Tensor, " slot"]
    """Of the step."""
    ended: Bool[Tensor, " slot"]
    """Whether the slot's episode has ended, in this step or before."""
    terminated: Bool[Tensor, " slot"]
    """Whether it has ended by itself, and was not cut off."""
    unstable: Bool[Tensor, " slot"]
    """Whether the simulation broke the episode off in this step."""

    def step(self, actions: Shaped[Tensor, "slot *act"]) -> None:
        """Step every slot whose episode goes on; ask the device for nothing."""


class ObservedOnDevice:
    """Slots for an oracle: each slot's task, as numbers, stands behind its observation.

    Args:
        slots: without it.
        features: how many numbers.

    """

    def __init__(self, slots: DeviceSlots, features: int) -> None:
        self._slots = slots
        self._own = slots.observations.shape[1]
        rows = len(slots.observations)
        # The numbers of a task are in double precision.
        self.observations = slots.observations.new_zeros(
            rows, self._own + features, dtype=torch.float64
        )
        self.rewards, self.ended = slots.rewards, slots.ended
        self.terminated, self.unstable = slots.terminated, slots.unstable

    def begin(self, features: Float[np.ndarray, "slot feature"]) -> None:
        """Take the numbers of each slot's task, after a reset."""
        self.observations[:, self._own :] = torch.from_numpy(features)
        self.observations[:, : self._own] = self._slots.observations

    def step(self, actions: Shaped[Tensor, "slot *act"]) -> None:
        """Step every slot whose episode goes on."""
        self._slots.step(actions)
        self.observations[:, : self._own] = self._slots.observations
