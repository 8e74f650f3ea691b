"""The cells of a finite world, for the decoder of VariBAD that says whether each of them pays."""

import math
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from metarl.foundation.errors import ConfigError
from metarl.learning.policies import PolicySpec

_MOST_CELLS = 4096


@dataclass(frozen=True)
class Cells:
    """The cells of a finite world: all integer coordinates within the bounds of an observation.

    They are counted from 0, the last coordinate fastest.

    Args:
        low: each coordinate's least value.
        sizes: how many values each has.

    """

    low: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return math.prod(self.sizes)

    def of(self, observations: Float[Tensor, "*batch obs"]) -> Int[Tensor, " *batch"]:
        """Give the number of the cell that is seen, the nearest one."""
        place = observations.round().long() - torch.tensor(self.low, device=observations.device)
        number = torch.zeros_like(place[..., 0])
        for coordinate, size in enumerate(self.sizes):
            number = number * size + place[..., coordinate].clamp(0, size - 1)
        return number


def cells_of(spec: PolicySpec) -> Cells:
    """Count the cells of a world whose observations are integer coordinates with bounds.

    Raises:
        ConfigError: they are not, or there are more than 4,096 cells.

    """
    space = spec.observation_space
    if isinstance(space, gym.spaces.Box) and np.isfinite([space.low, space.high]).all():
        low, high = space.low.ravel(), space.high.ravel()
        if (low == low.round()).all() and (high == high.round()).all():
            sizes = tuple(int(size) for size in high - low + 1)
            if math.prod(sizes) <= _MOST_CELLS:
                return Cells(tuple(int(least) for least in low), sizes)
    raise ConfigError(
        'reward_decoder = "cells" wants observations that are integer coordinates with bounds, of '
        f"{_MOST_CELLS:,} cells at most; these are {space}. Take reward_decoder = "
        '"regression"'
    )
