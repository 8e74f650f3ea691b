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

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT
from metarl.agent.gradient_memory import trust_region_need
from metarl.agent.meta_objective import curvature_product, meta_gradient, outer_loss
from metarl.agent.outer_steps import trust_region_outer_step
from metarl.agent.protocol import AgentState, Metrics
from metarl.agent.stacked_experience import (
    StackedBatch,
    StackedExperience,
    of_each_task,
    repeated,
    stacked_experience,
)
from metarl.agent.stacked_objective import outer_losses, ratios, summed_loss
from metarl.config.reinforcement import Config
from metarl.config.settings import TrustRegionSettings
from metarl.learning.adaptation import (
    LearningRate,
    Parameters,
    adaptation_path,
    as_leaves,
    linearise,
)
from metarl.learning.objectives import act, reinforce_loss
from metarl.learning.policies import Policy
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
        indices, returns = zip(*workers.map(return_after_adaptation), strict=True)
        credits = dict(zip(indices, standardised(returns), strict=True))
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


def return_after_adaptation(shard: Shard) -> list[tuple[int, float]]:
    """Give each task's index in the meta-batch and its mean return after adaptation."""
    returns = (task.mean_returns[-1] for task in shard.statistics)
    return list(zip(shard.task_indices, returns, strict=True))


def exploring_gradient(
    shard: Shard,
    learning_rates: Sequence[Rate],
    first_order: bool,
    curvature_fraction: float,
    credits: Mapping[int, float],
) -> list[tuple[Vector, float, float]]:
    """Give each task's gradient of the loss above, the loss and the KL divergence.

    Args:
        shard: has collected experience.
        learning_rates: α for each inner step.
        first_order: J = I.
        curvature_fraction: of the steps, for `curvature_product`.
        credits: R̃ of the tasks that were met, by their index in the meta-batch.

    """
    of_maml = meta_gradient(shard, learning_rates, first_order, curvature_fraction)
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    if shard.tasks_in_one_call:
        return [
            (vector - slope, outer - value, kl)
            for (vector, outer, kl), (slope, value) in zip(
                of_maml, _stacked_explorations(shard, rates, first_order, credits), strict=True
            )
        ]
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
    shard: Shard, theta: Vector, learning_rates: Sequence[Rate], credits: Mapping[int, float]
) -> list[tuple[float, float]]:
    """Adapt θ anew on each task's support data; give the loss above and the KL divergence there."""
    at = shard.parameters(theta)
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    if shard.tasks_in_one_call:
        return _stacked_surrogates(shard, at, rates, credits)
    loss = reinforce_loss(shard.policy)
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


def _stacked_explorations(
    shard: Shard, rates: Sequence[LearningRate], first_order: bool, credits: Mapping[int, float]
) -> list[tuple[Vector, float]]:
    """Give each task's R̃ Σ_k mean ratio and its gradient, all tasks in one call."""
    policy, loss = shard.policy, summed_loss(shard.policy)
    explorations: list[tuple[Vector, float]] = []
    for stack, credit in _with_credits(shard, credits):
        total = {name: torch.zeros_like(value) for name, value in stack.path[0].items()}
        values = torch.zeros_like(credit)
        for step, support in enumerate(stack.supports):
            thetas = as_leaves(stack.path[step])
            of_step = credit * _ratio_means(policy, thetas, stack.path[step], support)
            slope = torch.autograd.grad(
                of_step.sum(), tuple(thetas.values()), materialize_grads=True
            )
            earlier = linearise(
                loss,
                stack.path[:step],
                stack.supports[:step],
                rates[:step],
                first_order=first_order,
            )
            pulled = earlier.transposed_product(dict(zip(thetas, slope, strict=True)))
            total = {name: value + pulled[name] for name, value in total.items()}
            values = values + of_step.detach()
        explorations += of_each_task([total], values)
    return explorations


def _stacked_surrogates(
    shard: Shard, at: Parameters, rates: Sequence[LearningRate], credits: Mapping[int, float]
) -> list[tuple[float, float]]:
    """Give each task's loss and KL divergence at θ, all tasks in one call."""
    policy, loss = shard.policy, summed_loss(shard.policy)
    outcomes: list[tuple[float, float]] = []
    for stack, credit in _with_credits(shard, credits):
        start = repeated(at, len(stack))
        *before, adapted = adaptation_path(loss, start, stack.supports, rates)
        values, divergences = outer_losses(policy, stack, adapted)
        for thetas, old, support in zip(before, stack.path, stack.supports, strict=False):
            values = values - credit * _ratio_means(policy, thetas, old, support)
        outcomes += torch.stack([values, divergences], 1).tolist()
    return [(value, kl) for value, kl in outcomes]


def _with_credits(
    shard: Shard, credits: Mapping[int, float]
) -> Iterator[tuple[StackedExperience, Float[Tensor, " task"]]]:
    """Give the shard's experience in its parts, with R̃ of their tasks."""
    own = iter([credits[index] for index in shard.task_indices])
    for stack in stacked_experience(shard):
        yield stack, stack.old_log_probs.new_tensor(list(islice(own, len(stack))))


def _ratio_means(
    policy: Policy, thetas: Parameters, collected_with: Parameters, support: StackedBatch
) -> Tensor:
    """Give each task's mean over steps of π_θ(a|s) / π_old(a|s)."""
    old = policy.log_prob(act(policy, collected_with, support.observations), support.actions)
    distribution = act(policy, thetas, support.observations)
    return support.means(ratios(policy, distribution, support, old))
