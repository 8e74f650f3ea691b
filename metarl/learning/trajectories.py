"""The trajectory record and the glossary of axes.

Axes, always in this order:

===========  =======================================================================
axis         meaning
===========  =======================================================================
``task``     the tasks of a meta-batch, in task order; never reordered, never merged
``episode``  the episodes of one task, one adaptation phase
``time``     steps of an episode, 0 … horizon − 1; padded behind the last step
``step``     episode and time merged, padding dropped
``obs``      elements of an observation
``act``      elements of an action (absent for discrete actions)
===========  =======================================================================

An *adaptation phase* is one round of data collection: phase 0 acts with θ, phase k with the
parameters after k inner steps. The data of phases 0 … K − 1 are the support batches of the K inner
steps; the data of phase K are the query batch of the outer loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.learning.adaptation import Parameters
from metarl.learning.policies import Distribution


@dataclass(frozen=True)
class Trajectories:
    """The episodes of one task in one adaptation phase; padded entries are 0 and masked out."""

    observations: Float[Tensor, "episode time obs"]
    """What the policy saw at times 0 … T − 1."""
    actions: Shaped[Tensor, "episode time *act"]
    """What the policy chose, before scaling and clipping (int64 for discrete actions)."""
    rewards: Float[Tensor, "episode time"]
    """The reward that followed the action of the same time."""
    mask: Bool[Tensor, "episode time"]
    """True where the step was taken. Each episode's steps are a prefix of the time axis."""
    successes: Bool[Tensor, " episode"] | None = None
    """True where any step of the episode succeeded; None: the environment does not say."""
    unstable_episodes: int = 0
    """How many episodes the simulation broke off because it diverged."""

    @property
    def returns(self) -> Float[Tensor, " episode"]:
        """The undiscounted sum of rewards of each episode."""
        return (self.rewards * self.mask).sum(-1)

    @property
    def success_rate(self) -> float | None:
        """The share of episodes that succeeded; None: the environment does not say."""
        return None if self.successes is None else float(self.successes.double().mean())

    @property
    def env_steps(self) -> int:
        """The number of environment steps taken."""
        return int(self.mask.sum())


def joined(parts: Sequence[Trajectories]) -> Trajectories:
    """Put episodes of one task and phase that were played in several rounds into one record."""
    if len(parts) == 1:
        return parts[0]
    said = any(part.successes is not None for part in parts)
    successes = [  # a round that says nothing had none, where another speaks
        part.mask.new_zeros(len(part.mask)) if part.successes is None else part.successes
        for part in parts
    ]
    return Trajectories(
        torch.cat([part.observations for part in parts]),
        torch.cat([part.actions for part in parts]),
        torch.cat([part.rewards for part in parts]),
        torch.cat([part.mask for part in parts]),
        torch.cat(successes) if said else None,
        sum(part.unstable_episodes for part in parts),
    )


@dataclass(frozen=True)
class Trials:
    """Trials of several tasks side by side: whole episodes of one task, one after the other.

    Only steps that were taken are there, without gaps where an episode ended early: each trial's
    steps are a prefix of the time axis, and padded entries behind them are 0 and masked out.
    Trials stand in (task, slot) order. Time is first: each step of all trials is one block.
    """

    observations: Float[np.ndarray, "time trial obs"]
    """What was seen before each action."""
    actions: Shaped[np.ndarray, "time trial *act"]
    """What the policy chose, before scaling and clipping (int64 for discrete actions)."""
    rewards: Float[np.ndarray, "time trial"]
    """The reward that followed the action of the same time; float64."""
    ended: Bool[np.ndarray, "time trial"]
    """True where the step was the last of an episode."""
    terminated: Bool[np.ndarray, "time trial"]
    """True where it was, and the environment ended the episode by itself: it was not cut off."""
    mask: Bool[np.ndarray, "time trial"]
    """True where a step was taken."""
    last_observations: Float[np.ndarray, "episode trial obs"]
    """What was seen after the last step of each episode."""

    def __len__(self) -> int:
        return int(self.rewards.shape[1])

    def of(self, chosen: slice) -> "Trials":
        """Give some of the trials, cut off after the longest of them."""
        longest = int(self.mask[:, chosen].sum(0).max())

        def own(column: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(column[:longest, chosen])

        return Trials(
            own(self.observations),
            own(self.actions),
            own(self.rewards),
            own(self.ended),
            own(self.terminated),
            own(self.mask),
            np.ascontiguousarray(self.last_observations[:, chosen]),
        )


@dataclass(frozen=True)
class Batch:
    """The taken steps of one task in one phase, ready for a loss; padding is dropped."""

    observations: Float[Tensor, "step obs"]
    actions: Shaped[Tensor, "step *act"]
    advantages: Float[Tensor, " step"]


@dataclass(frozen=True)
class Experience:
    """One task's data of an iteration: a support batch for each inner step and the query batch."""

    supports: tuple[Batch, ...]
    query: Batch
    path: tuple[Parameters, ...]
    """The parameters that collected each of them: θ, those after each inner step, last θ'."""
    old_distribution: Distribution
    """Of the policy that collected the query batch, at its observations."""
    old_log_probs: Float[Tensor, " step"]
    """Of the query batch's actions."""


@dataclass(frozen=True)
class TaskStatistics:
    """What leaves the worker about one task."""

    mean_returns: tuple[float, ...]
    """Mean undiscounted return before adaptation and after 1, …, K units of it; empty: an agent
    that measures its returns by itself."""
    phase_env_steps: tuple[int, ...]
    """Environment steps taken before adaptation and after each unit."""
    mean_successes: tuple[float, ...] | None = None
    """Share of episodes that succeeded, likewise; None: the environment said nothing in them."""
    unstable_episodes: int = 0
    """Episodes that the simulation broke off because it diverged, all phases together."""

    @property
    def env_steps(self) -> int:
        """Environment steps taken, all phases together."""
        return sum(self.phase_env_steps)
