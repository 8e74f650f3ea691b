"""E-MAML with a trust-region outer step (Stadie et al. 2018, arXiv 1803.01118, section 3.2).

MAML's gradient takes the support episodes as given. Which they are depends on θ as well, and E-MAML
gives them credit for what adaptation makes of them: with τ̄ the support episodes, τ the query
episodes and R(τ) their return,

    ∇ E R(τ) = E [ R(τ) ∇ log π_θ'(τ) + R(τ) ∇ log π_θ(τ̄) ]

The first term is MAML's. Log-probabilities are means over steps, as in the trust region's
surrogate, so the loss of a task is

    L(θ') − R̃ Σ_k mean over the steps of support k of π_{θ_k}(a|s) / π_old(a|s)

with R̃ the task's mean return after adaptation, brought to mean 0 and standard deviation 1 over the
meta-batch: a baseline that the equation leaves room for, as in the code of Rothfuss et al. 2019.
The trust region is MAML's.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT
from metarl.agent.gradient_memory import trust_region_need
from metarl.agent.meta_objective import curvature_product, meta_gradient, outer_loss
from metarl.agent.outer_steps import trust_region_outer_step
from metarl.agent.protocol import AgentState, Metrics
from metarl.config.reinforcement import Config
from metarl.config.settings import TrustRegionSettings
from metarl.learning.adaptation import Parameters, adaptation_path, as_leaves, linearise
from metarl.learning.objectives import act, reinforce_loss
from metarl.learning.trajectories import Batch
from metarl.workers.shards import Rate, Shard, Vector, Workers, to_vector

SMALLEST_SPREAD = 1e-8


class EMamlTrpo:
    """The outer step of E-MAML-TRPO."""

    family = GRADIENT

    def __init__(self, settings: TrustRegionSettings, config: Config) -> None:
        self._settings = settings
        self._learning_rates = config.learning_rates
        self._first_order = config.first_order

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration; TRPO remembers nothing but θ."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return trust_region_need(sizes, self._settings, first_order=self._first_order)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one trust-region step on the experience in the shards."""
        settings, rates = self._settings, self._learning_rates
        credits = standardised(workers.map(return_after_adaptation))
        theta, metrics = trust_region_outer_step(
            state.theta,
            settings,
            workers.map(
                exploring_gradient,
                rates,
                self._first_order,
                settings.curvature_fraction,
                credits,
            ),
            product=lambda vector: workers.map(curvature_product, vector),
            evaluate=lambda candidate: workers.map(exploring_surrogate, candidate, rates, credits),
        )
        return AgentState(theta), metrics


def standardised(returns: Sequence[float]) -> tuple[float, ...]:
    """Bring the tasks' returns to mean 0 and standard deviation 1: R̃; equal ones become 0."""
    values = np.asarray(returns, dtype=np.float64)
    return tuple(((values - values.mean()) / (values.std() + SMALLEST_SPREAD)).tolist())


def return_after_adaptation(shard: Shard) -> list[float]:
    """Give each task's mean return after adaptation."""
    return [task.mean_returns[-1] for task in shard.statistics]


def exploring_gradient(
    shard: Shard,
    learning_rates: Sequence[Rate],
    first_order: bool,
    curvature_fraction: float,
    credits: Sequence[float],
) -> list[tuple[Vector, float, float]]:
    """Give each task's gradient of the loss above, the loss and the KL divergence.

    Args:
        shard: has collected experience.
        learning_rates: α for each inner step.
        first_order: J = I.
        curvature_fraction: of the steps, for `curvature_product`.
        credits: R̃ of all tasks of the meta-batch.

    """
    of_maml = meta_gradient(shard, learning_rates, first_order, curvature_fraction)
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    loss = reinforce_loss(shard.policy)
    contributions = []
    for position, (data, contribution) in enumerate(zip(shard.experience, of_maml, strict=True)):
        vector, outer, kl = contribution
        credit = credits[shard.task_indices[position]]
        with shard.blame(position):
            for step, support in enumerate(data.supports):
                theta = as_leaves(data.path[step])
                exploration = credit * _ratio_mean(shard, theta, data.path[step], support)
                slope = torch.autograd.grad(
                    exploration, tuple(theta.values()), materialize_grads=True
                )
                earlier = linearise(
                    loss,
                    data.path[:step],
                    data.supports[:step],
                    rates[:step],
                    first_order=first_order,
                )
                pulled = earlier.transposed_product(dict(zip(theta, slope, strict=True)))
                vector = vector - to_vector(pulled)
                outer -= exploration.item()
        contributions.append((vector, outer, kl))
    return contributions


def exploring_surrogate(
    shard: Shard, theta: Vector, learning_rates: Sequence[Rate], credits: Sequence[float]
) -> list[tuple[float, float]]:
    """Adapt θ anew on each task's support data; give the loss above and the KL divergence there."""
    loss = reinforce_loss(shard.policy)
    at = shard.parameters(theta)
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    outcomes = []
    for position, data in enumerate(shard.experience):
        credit = credits[shard.task_indices[position]]
        with shard.blame(position):
            *before, adapted = adaptation_path(loss, at, data.supports, rates)
            outer, kl = outer_loss(shard, data, adapted)
            value = outer.item()
            for theta_k, old, support in zip(before, data.path, data.supports, strict=False):
                value -= credit * float(_ratio_mean(shard, theta_k, old, support))
            outcomes.append((value, float(kl)))
    return outcomes


def _ratio_mean(
    shard: Shard, theta: Parameters, collected_with: Parameters, support: Batch
) -> Tensor:
    """Give the mean over steps of π_θ(a|s) / π_old(a|s)."""
    policy = shard.policy
    log_probs, old_log_probs = (
        policy.log_prob(act(policy, parameters, support.observations), support.actions)
        for parameters in (theta, collected_with)
    )
    return torch.exp(log_probs - old_log_probs).mean()
