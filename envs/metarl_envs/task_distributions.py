"""The task distributions that several families of MuJoCo tasks share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float


@dataclass(frozen=True)
class Tasks:
    """A task distribution, and what its tasks mean in numbers."""

    space: gym.Space[Any]
    """The space of tasks."""
    default: Any
    """The task of an environment that was given none."""
    to_numbers: Callable[[Any], Float[np.ndarray, " number"]]
    """The numbers of one task that reward and dynamics read.

    One task at a time, whatever the batch, so that a task's numbers never depend on its company.
    """
    sample: Callable[[np.random.Generator], Any] | None = None
    """Draws a task, where the distribution is not the space's own."""

    def to_rows(self, tasks: Sequence[Any]) -> Float[np.ndarray, "slot number"]:
        """Give the numbers of each slot's task."""
        return np.stack([self.to_numbers(task) for task in tasks])


def backward_or_forward() -> Tasks:
    """Give two tasks with equal odds: 0 is backward (−1), 1 is forward (+1)."""
    return Tasks(spaces.Discrete(2), 1, lambda task: np.array([1.0 if int(task) == 1 else -1.0]))


def velocities(low: float, high: float) -> Tasks:
    """Give goal velocities (1,), uniform in [low, high] m/s."""
    space = spaces.Box(low, high, (1,), np.float64)
    return Tasks(space, np.full(1, low), _vector(1))


def angles() -> Tasks:
    """Give directions on the circle as angles (1,), uniform in [0, 2π]; numbers: cos, sin."""

    def unit_vector(task: Any) -> Float[np.ndarray, "2"]:
        angle = float(np.asarray(task).reshape(()))
        return np.array([math.cos(angle), math.sin(angle)])

    return Tasks(spaces.Box(0.0, 2 * math.pi, (1,), np.float64), np.zeros(1), unit_vector)


def goals_in_square(half_width: float) -> Tasks:
    """Give goals x, y (2,), uniform in [-half_width, half_width]² m."""
    space = spaces.Box(-half_width, half_width, (2,), np.float64)
    return Tasks(space, np.zeros(2), _vector(2))


def goals_in_disc(radius: float) -> Tasks:
    """Give goals x, y (2,), uniform over the disc around the origin (radius in m)."""

    def sample(generator: np.random.Generator) -> Float[np.ndarray, "2"]:
        angle = 2 * math.pi * generator.random()
        distance = radius * math.sqrt(generator.random())
        return np.array([distance * math.cos(angle), distance * math.sin(angle)])

    space = spaces.Box(-radius, radius, (2,), np.float64)
    return Tasks(space, np.zeros(2), _vector(2), sample)


def log_scales(count: int, limit: float) -> Tasks:
    """Give exponents (count,), each uniform in [-limit, limit]; zeros leave all as it is."""
    space = spaces.Box(-limit, limit, (count,), np.float64)
    return Tasks(space, np.zeros(count), _vector(count))


def _vector(size: int) -> Callable[[Any], Float[np.ndarray, " number"]]:
    return lambda task: np.array(task, dtype=np.float64).reshape(size)
