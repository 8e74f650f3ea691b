"""Proximal policy optimisation: the clipped objective and the value's loss, as sums over steps.

Schulman et al. 2017 (arXiv 1707.06347). Sums and not means, so that the steps of a minibatch may be
computed in several places. Advantages are `metarl.learning.returns.generalised_advantages`; where a
trial of several episodes is one long episode, they run through the ends of episodes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Steps = Float[Tensor, " *step"]
Taken = Bool[Tensor, " *step"]


@dataclass(frozen=True)
class Clipped:
    """The clipped objective of some steps, and what it says of them; sums over the taken steps."""

    loss: Tensor
    """−Σ min(r A, clip(r, 1 − ε, 1 + ε) A), r = π(a) / π_old(a) (equation 7)."""
    clipped: Tensor
    """Steps whose ratio lies outside of the bounds."""
    kl: Tensor
    """Σ (r − 1) − log r: an estimate of KL(π_old ‖ π) without bias (Schulman 2020)."""


def clipped_objective(
    log_probs: Steps, old_log_probs: Steps, advantages: Steps, taken: Taken, clip_ratio: float
) -> Clipped:
    """Give the clipped objective.

    Args:
        log_probs: log π(a) of the actions taken.
        old_log_probs: of the policy that took them.
        advantages: of the actions.
        taken: which steps count; the others may hold anything that is finite.
        clip_ratio: ε.

    """
    difference = torch.where(taken, log_probs - old_log_probs, 0.0)
    ratio = torch.exp(difference)
    bounded = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    gains = torch.minimum(ratio * advantages, bounded * advantages)
    with torch.no_grad():
        outside = ((ratio - 1).abs() > clip_ratio).sum()
        kl = ((ratio - 1) - difference).sum()
    return Clipped(-torch.where(taken, gains, 0.0).sum(), outside, kl)


def value_loss(
    values: Steps,
    old_values: Steps,
    targets: Steps,
    taken: Taken,
    clip: float = 0.0,
    huber: float = 0.0,
) -> Tensor:
    """Give the sum of the value's errors.

    Args:
        values: of the steps.
        old_values: before the update.
        targets: what they should be.
        taken: which steps count.
        clip: where positive, a value counts as moved by at most so much, where that is the larger
            error (as OpenAI's baselines do, after the policy's clipping).
        huber: where positive, errors larger than that count linearly (Huber 1964), times 2, so
            that small ones are squared as without it.

    """

    def error(guess: Steps) -> Steps:
        if huber:
            return 2 * functional.huber_loss(guess, targets, reduction="none", delta=huber)
        return (guess - targets) ** 2

    errors = error(values)
    if clip:
        errors = torch.maximum(errors, error(old_values + (values - old_values).clamp(-clip, clip)))
    return torch.where(taken, errors, 0.0).sum()
