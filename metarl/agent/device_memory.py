"""What an agent takes of a device's memory: how it says so, before any work is done.

An agent may have the method of `SizedAgent`, and its family a function `Family.bytes_to_meet`; of
those that have not, nothing is estimated. Estimates are of networks of fully connected layers: what
convolutions of images take is not counted.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from metarl.config.reinforcement import Config
from metarl.learning.policies import PolicySpec


@dataclass(frozen=True)
class Sizes:
    """What is met in an iteration of training, or at once in an evaluation, and by whom."""

    config: Config
    policy: PolicySpec
    parameters: int
    """Numbers of θ."""
    tasks: int
    """That are met at once, in all workers together."""
    episodes: int
    """Most of a task in one phase; trials side by side, of an agent that plays trials."""
    phases: int
    """Of collecting: units of adaptation, and one more."""
    workers: int
    """Processes beside the one that asks; 0: it computes itself."""

    @property
    def seen(self) -> int:
        """Numbers of an observation."""
        return math.prod(self.policy.observation_space.shape or (1,))

    @property
    def done(self) -> int:
        """Numbers of an action; of a choice one."""
        return math.prod(self.policy.action_space.shape or (1,))

    @property
    def number(self) -> int:
        """Bytes of a number in the agent's networks."""
        return np.dtype(self.config.dtype).itemsize

    @property
    def longest(self) -> int:
        """Most steps of a task in one phase."""
        return self.episodes * self.config.horizon

    @property
    def trials(self) -> int:
        """Of all tasks, side by side."""
        return self.tasks * self.episodes

    @property
    def steps_of_a_trial(self) -> int:
        """Most of them: an episode for each phase."""
        return self.phases * self.config.horizon

    @property
    def processes(self) -> int:
        """That compute at the same time."""
        return max(1, min(self.workers, self.tasks))


@dataclass(frozen=True)
class Need:
    """What an outer step takes on a device."""

    count: int
    """The most bytes at once, in all workers together, with the experience that lies there."""
    advice: str
    """What makes it less, in words, such as "take fewer tasks"."""


@runtime_checkable
class SizedAgent(Protocol):
    """A `metarl.agent.protocol.Agent` that says what its outer step takes on a device."""

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what `improve` takes.

        Args:
            sizes: of the iteration.

        """
