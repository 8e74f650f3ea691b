"""ProMP: proximal meta-policy search (Rothfuss et al. 2019, arXiv 1810.06784).

The inner loss is the likelihood-ratio form (their eq. 9), which has REINFORCE's gradient where the
support was collected, but the second derivative of the expected return:

    J_LR(θ) = mean π_θ(a|s) / π_old(a|s) A,    θ' = θ + α ∇J_LR(θ)

The outer loss (their eq. 12, algorithm 1) clips the adapted policy's ratios as PPO does and holds
the policy before adaptation near the one that collected the support,

    − mean min(r A, clip(r, 1 − ε, 1 + ε) A) + η mean KL(π_old ‖ π_θ)

with r = π_θ'(a|s) / π_old'(a|s), and Adam takes several steps on the same experience, adapting anew
before each. With more than one inner step, the penalty is the mean over the policies before each.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT
from metarl.agent.gradient_memory import autograd_need
from metarl.agent.outer_steps import adam_step, is_finite, mean_over_tasks
from metarl.agent.protocol import AgentState, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.agent.stacked_experience import (
    StackedBatch,
    StackedExperience,
    of_each_task,
    repeated,
    stacked_experience,
)
from metarl.agent.stacked_objective import ratios
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import LearningRate, Parameters, adaptation_path, as_leaves
from metarl.learning.objectives import act, surrogate_loss
from metarl.learning.policies import Distribution, Policy
from metarl.learning.trajectories import Batch, Experience
from metarl.workers.shards import Rate, Shard, Vector, Workers, to_vector
from metarl_agents.settings import ProMPSettings

B = TypeVar("B", Batch, StackedBatch)

Support = tuple[B, Distribution, Tensor]
"""A support batch, the distribution of the policy that collected it, its actions' log-probs."""


class ProMP:
    """The outer steps of ProMP."""

    family = GRADIENT

    def __init__(self, settings: ProMPSettings, config: Config) -> None:
        if config.first_order:
            raise ConfigError(
                "first_order = True: agent promp is about second derivatives; use fomaml-trpo"
            )
        self._settings = settings
        self._learning_rates = config.learning_rates

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration; Adam remembers nothing yet."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return autograd_need(sizes)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take several Adam steps on the experience in the shards."""
        settings, rates = self._settings, self._learning_rates
        theta, memory = state.theta, state.optimiser
        first: dict[str, float] = {}
        rejection = None
        for _ in range(settings.outer_steps):
            found, gradient = _averaged(
                workers.map(promp_gradient, theta, rates, settings.clip_ratio, settings.kl_penalty)
            )
            first = first or found
            if not np.isfinite([*found.values()]).all():
                rejection, theta, memory = NOT_FINITE, state.theta, state.optimiser
                break
            theta, memory = adam_step(theta, gradient, memory, settings.outer_learning_rate)
        last = _losses(workers, theta, rates, settings)
        if rejection is None and not (np.isfinite(last).all() and is_finite(theta, memory)):
            rejection, theta, memory = NOT_FINITE, state.theta, state.optimiser
            last = _losses(workers, theta, rates, settings)
        metrics = {
            "loss_before": first["loss"],
            "loss": last[0],
            "kl_before": first["kl"],
            "kl": last[1],
            "kl_pre_adaptation": last[2],
            "gradient_norm": first["gradient_norm"],
            "step_accepted": rejection is None,
            "rejection": rejection,
        }
        return AgentState(theta, memory), metrics


def _losses(
    workers: Workers, theta: Vector, rates: Sequence[Rate], settings: ProMPSettings
) -> list[float]:
    """Give the means over tasks of the loss and of the KL divergences after and before adapting."""
    found = workers.map(promp_losses, theta, rates, settings.clip_ratio, settings.kl_penalty)
    means: list[float] = mean_over_tasks(found).tolist()
    return means


def _averaged(
    contributions: Sequence[tuple[Vector, float, float, float]],
) -> tuple[dict[str, float], Tensor]:
    gradients, losses, kls, _ = zip(*contributions, strict=True)
    gradient = mean_over_tasks(gradients)
    loss, kl = mean_over_tasks(losses).item(), mean_over_tasks(kls).item()
    return {"loss": loss, "kl": kl, "gradient_norm": float(gradient.norm())}, gradient


def promp_gradient(
    shard: Shard,
    theta: Vector,
    learning_rates: Sequence[Rate],
    clip_ratio: float,
    kl_penalty: float,
) -> list[tuple[Vector, float, float, float]]:
    """Give each task's gradient of the outer loss at θ, the loss and two KL divergences.

    Args:
        shard: has collected experience.
        theta: where to differentiate; the experience may come from another θ.
        learning_rates: α for each inner step.
        clip_ratio: ε.
        kl_penalty: η.

    Returns:
        For each task: gradient, loss, KL divergence after and before adaptation.

    """
    if shard.tasks_in_one_call:
        return _stacked_gradients(shard, theta, learning_rates, clip_ratio, kl_penalty)
    contributions = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            leaves = as_leaves(shard.parameters(theta))
            loss, kl, kl_pre = _outer_loss(
                shard, data, leaves, learning_rates, clip_ratio, kl_penalty
            )
            slope = torch.autograd.grad(loss, tuple(leaves.values()), materialize_grads=True)
            vector = to_vector(dict(zip(leaves, slope, strict=True)))
            contributions.append((vector, loss.item(), kl.item(), kl_pre.item()))
    return contributions


def promp_losses(
    shard: Shard,
    theta: Vector,
    learning_rates: Sequence[Rate],
    clip_ratio: float,
    kl_penalty: float,
) -> list[tuple[float, float, float]]:
    """Give each task's outer loss at θ and its KL divergences after and before adaptation."""
    if shard.tasks_in_one_call:
        return _stacked_losses(shard, theta, learning_rates, clip_ratio, kl_penalty)
    found = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            parts = _outer_loss(
                shard, data, shard.parameters(theta), learning_rates, clip_ratio, kl_penalty
            )
            loss, kl, kl_pre = (part.item() for part in parts)
            found.append((loss, kl, kl_pre))
    return found


def _outer_loss(
    shard: Shard,
    data: Experience,
    theta: Parameters,
    learning_rates: Sequence[Rate],
    clip_ratio: float,
    kl_penalty: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the outer loss at θ, and the KL divergences after and before adaptation."""
    policy = shard.policy
    supports = _with_old(policy, data.supports, data.path)
    rates = [shard.learning_rate(rate) for rate in learning_rates]

    def inner_loss(parameters: Parameters, support: Support[Batch]) -> Tensor:
        batch, _, old_log_probs = support
        log_probs = policy.log_prob(act(policy, parameters, batch.observations), batch.actions)
        return surrogate_loss(log_probs, old_log_probs, batch.advantages)

    *before, adapted = adaptation_path(inner_loss, theta, supports, rates)
    query = data.query
    distribution = act(policy, adapted, query.observations)
    log_probs = policy.log_prob(distribution, query.actions)
    clipped = clipped_surrogate_loss(log_probs, data.old_log_probs, query.advantages, clip_ratio)
    kl = policy.kl(data.old_distribution, distribution).mean()
    penalties = [
        policy.kl(old, act(policy, parameters, batch.observations)).mean()
        for parameters, (batch, old, _) in zip(before, supports, strict=True)
    ]
    kl_pre = torch.stack(penalties).mean() if penalties else torch.zeros_like(kl)
    return clipped + kl_penalty * kl_pre, kl, kl_pre


def clipped_surrogate_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip_ratio: float
) -> Tensor:
    """Give −mean min(r A, clip(r, 1 − ε, 1 + ε) A) (Schulman et al. 2017, eq. 7)."""
    ratio = torch.exp(log_probs - old_log_probs)
    clipped = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    return -torch.minimum(ratio * advantages, clipped * advantages).mean()


@torch.no_grad()
def _with_old(
    policy: Policy, supports: Sequence[B], path: Sequence[Parameters]
) -> list[Support[B]]:
    """Add to each support batch what the policy that collected it thought of it."""
    with_old = []
    for batch, collected_with in zip(supports, path, strict=False):
        old = act(policy, collected_with, batch.observations)
        with_old.append((batch, old, policy.log_prob(old, batch.actions)))
    return with_old


def _stacked_gradients(
    shard: Shard,
    theta: Vector,
    learning_rates: Sequence[Rate],
    clip_ratio: float,
    kl_penalty: float,
) -> list[tuple[Vector, float, float, float]]:
    """Give what `promp_gradient` does, all tasks in one call.

    The sum of the tasks' losses is differentiated; each task has a θ of its own.
    """
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    contributions: list[tuple[Vector, float, float, float]] = []
    for stack in stacked_experience(shard):
        leaves = as_leaves(repeated(shard.parameters(theta), len(stack)))
        losses, *divergences = _stacked_outer_loss(
            shard.policy, stack, leaves, rates, clip_ratio, kl_penalty
        )
        slope = torch.autograd.grad(losses.sum(), tuple(leaves.values()), materialize_grads=True)
        gradient = dict(zip(leaves, slope, strict=True))
        contributions += of_each_task([gradient], losses, *divergences)
    return contributions


def _stacked_losses(
    shard: Shard,
    theta: Vector,
    learning_rates: Sequence[Rate],
    clip_ratio: float,
    kl_penalty: float,
) -> list[tuple[float, float, float]]:
    """Give what `promp_losses` does, all tasks in one call."""
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    found: list[tuple[float, float, float]] = []
    for stack in stacked_experience(shard):
        start = repeated(shard.parameters(theta), len(stack))
        parts = _stacked_outer_loss(shard.policy, stack, start, rates, clip_ratio, kl_penalty)
        found += [(loss, kl, kl_pre) for loss, kl, kl_pre in torch.stack(parts, 1).tolist()]
    return found


def _stacked_outer_loss(
    policy: Policy,
    stack: StackedExperience,
    thetas: Parameters,
    rates: Sequence[LearningRate],
    clip_ratio: float,
    kl_penalty: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give each task's outer loss at its θ, and its KL divergences after and before adaptation."""
    supports = _with_old(policy, stack.supports, stack.path)

    def inner_loss(parameters: Parameters, support: Support[StackedBatch]) -> Tensor:
        batch, _, old_log_probs = support
        distribution = act(policy, parameters, batch.observations)
        return -(ratios(policy, distribution, batch, old_log_probs) * batch.advantages).sum()

    *before, adapted = adaptation_path(inner_loss, thetas, supports, rates)
    query = stack.query
    distribution = act(policy, adapted, query.observations)
    ratio = ratios(policy, distribution, query, stack.old_log_probs)
    held = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    clipped = -torch.minimum(ratio * query.advantages, held * query.advantages).sum(1)
    kl = query.means(policy.kl(stack.old_distribution, distribution))
    penalties = [
        batch.means(policy.kl(old, act(policy, parameters, batch.observations)))
        for parameters, (batch, old, _) in zip(before, supports, strict=True)
    ]
    kl_pre = torch.stack(penalties).mean(0) if penalties else torch.zeros_like(kl)
    return clipped + kl_penalty * kl_pre, kl, kl_pre
