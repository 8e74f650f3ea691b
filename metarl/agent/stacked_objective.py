"""The inner steps and the outer objective of all tasks of a shard in a few calls.

Each function gives what `metarl.agent.meta_objective` computes a task at a time, up to rounding;
`metarl.agent.stacked_experience` says when that is faster. Sums over tasks are differentiated: each
task has parameters of its own, so the gradient by a task's parameters is its own.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.agent.stacked_experience import (
    StackedBatch,
    StackedExperience,
    of_each_task,
    parts,
    repeated,
    stack_batches,
    stack_paths,
    stack_thetas,
    stacked_experience,
    task_rows,
)
from metarl.agent.task_stacks import rows_of_a_task, sampled
from metarl.foundation.cuda_graphs import GraphedFunction
from metarl.learning.adaptation import (
    LearningRate,
    Parameters,
    adapt,
    as_leaves,
    inner_step,
    linearise,
    linearise_with_rate,
    unflatten,
)
from metarl.learning.objectives import act, fisher_product
from metarl.learning.policies import Distribution, Policy
from metarl.learning.stacking import unstack
from metarl.learning.trajectories import Batch
from metarl.workers.shards import Shard, Vector

Contribution = tuple[Vector, float, float]
"""A task's gradient, outer loss and KL divergence."""


def stacked_inner_step(
    shard: Shard, thetas: Sequence[Parameters], supports: Sequence[Batch], rate: LearningRate
) -> list[Parameters]:
    """Take an inner step from each task's θ on its support batch."""
    adapted: list[Parameters] = []
    for part in parts(shard, len(thetas)):
        stack = stack_thetas(thetas[part])
        moved = inner_step(summed_loss(shard.policy), stack, stack_batches(supports[part]), rate)
        adapted += unstack(moved, len(thetas[part]))
    return adapted


def stacked_gradients(
    shard: Shard, rates: Sequence[LearningRate], first_order: bool
) -> list[Contribution]:
    """Give each task's Jᵀ ∇L(θ'), outer loss and KL divergence."""
    contributions: list[Contribution] = []
    for stack in stacked_experience(shard):
        slope, losses, divergences = _outer_slope(shard.policy, stack)
        jacobian = linearise(
            summed_loss(shard.policy), stack.path, stack.supports, rates, first_order=first_order
        )
        gradient = jacobian.transposed_product(slope)
        contributions += of_each_task([gradient], losses, divergences)
    return contributions


def stacked_joint_gradients(
    shard: Shard, rate: Parameters, first_order: bool
) -> list[Contribution]:
    """Give each task's (J, J_α)ᵀ ∇L(θ'), outer loss and KL divergence, for a learned α."""
    contributions: list[Contribution] = []
    for stack in stacked_experience(shard):
        slope, losses, divergences = _outer_slope(shard.policy, stack)
        jacobian = linearise_with_rate(
            summed_loss(shard.policy),
            stack.path[:-1],
            stack.supports,
            rate,
            first_order=first_order,
        )
        gradients = jacobian.transposed_product(slope)
        contributions += of_each_task(gradients, losses, divergences)
    return contributions


def stacked_surrogates(
    shard: Shard, theta: Parameters, rates: Sequence[LearningRate]
) -> list[tuple[float, float]]:
    """Adapt θ anew on each task's support data; give the outer loss and the KL divergence there."""
    outcomes: list[tuple[float, float]] = []
    for stack in stacked_experience(shard):
        start = repeated(theta, len(stack))
        adapted = adapt(summed_loss(shard.policy), start, stack.supports, rates)
        outcomes += torch.stack(outer_losses(shard.policy, stack, adapted), 1).tolist()
    return [(loss, kl) for loss, kl in outcomes]


class StackedProducts:
    """v ↦ Jᵀ F J v of each task, all tasks in one call, which on a CUDA device is one graph.

    The graph is of everything from θ and the data to the products, so that it serves as long as the
    sizes stay the same.

    Args:
        shard: whose tasks.
        rates: α of each inner step, numbers; None: α is learned and the same in each step, and the
            products are v ↦ (J, J_α)ᵀ F (J, J_α) v.
        first_order: J = I.

    """

    def __init__(
        self, shard: Shard, rates: Sequence[LearningRate] | None, first_order: bool
    ) -> None:
        self._policy, self._rates, self._first_order = shard.policy, rates, first_order
        self._template = shard.template
        self._calls: list[GraphedFunction] = []
        self._data: list[list[Tensor]] = []

    def take(self, shard: Shard, fraction: float, learned: Parameters | None = None) -> None:
        """Take the shard's experience, a fraction of its steps, and α if that is learned."""
        rows = rows_of_a_task(fraction, shard.slots_per_task * shard.config.horizon)
        rate = list((learned or {}).values())
        self._data = []
        for part in parts(shard, len(shard.experience)):
            positions = range(len(shard.experience))[part]
            drawn = [sampled(shard, position, fraction) for position in positions]
            path = stack_paths(shard.experience[part])
            batches = [stack_batches(batches, rows) for batches in zip(*drawn, strict=True)]
            self._data.append([*rate, *_flat(path, batches)])
        more = len(self._data) - len(self._calls)
        self._calls += [GraphedFunction(self._product) for _ in range(more)]

    def __call__(self, vector: Float[Tensor, " direction"]) -> list[Vector]:
        """Give each task's product; with a learned α the vector is of θ, then of α."""
        products: list[Vector] = []
        for call, data in zip(self._calls, self._data, strict=False):
            products += list(call(vector, *data).cpu().numpy())
        return products

    def _product(self, vector: Float[Tensor, " direction"], *data: Tensor) -> Tensor:
        names, loss = list(self._template), summed_loss(self._policy)
        learned = dict(zip(names, data, strict=False))
        path, (*supports, query) = _nested(data[len(names) if self._rates is None else 0 :], names)
        fisher = fisher_product(
            self._policy,
            lambda thetas: act(self._policy, thetas, query.observations),
            path[-1],
            query.shares,
        )
        size = sum(value.numel() for value in self._template.values())
        directions = [
            repeated(unflatten(part, self._template), len(query.shares))
            for part in torch.split(vector, size)
        ]
        first_order = self._first_order
        if self._rates is None:
            joint = linearise_with_rate(loss, path[:-1], supports, learned, first_order=first_order)
            pulled = joint.transposed_product(fisher(joint.product(*directions)))
            return torch.cat([task_rows(part) for part in pulled], 1)
        jacobian = linearise(loss, path, supports, self._rates, first_order=first_order)
        return task_rows(jacobian.transposed_product(fisher(jacobian.product(*directions))))


def _flat(path: Sequence[Parameters], batches: Sequence[StackedBatch]) -> list[Tensor]:
    """Give the tensors that a curvature product depends on, in one list."""
    tensors = [value for theta in path for value in theta.values()]
    for batch in batches:
        tensors += [batch.observations, batch.actions, batch.advantages, batch.shares]
    return tensors


def _nested(
    tensors: Sequence[Tensor], names: Sequence[str]
) -> tuple[list[Parameters], list[StackedBatch]]:
    """Undo `_flat`; with K inner steps there are K + 1 sets of parameters and as many batches."""
    count = len(tensors) // (len(names) + 4)
    each = iter(tensors)
    path = [{name: next(each) for name in names} for _ in range(count)]
    batches = [StackedBatch(next(each), next(each), next(each), next(each)) for _ in range(count)]
    return path, batches


def summed_loss(policy: Policy) -> Callable[[Parameters, StackedBatch], Tensor]:
    """Give the sum over tasks of their inner losses; see `metarl.learning.objectives`."""
    return partial(_summed_loss, policy)


def _summed_loss(policy: Policy, thetas: Parameters, batch: StackedBatch) -> Float[Tensor, ""]:
    log_probs = policy.log_prob(act(policy, thetas, batch.observations), batch.actions)
    return -(log_probs * batch.advantages).sum()


def ratios(
    policy: Policy,
    distribution: Distribution,
    batch: StackedBatch,
    old_log_probs: Float[Tensor, "task row"],
) -> Float[Tensor, "task row"]:
    """Give π(a|s) / π_old(a|s), and 1 in rows that fill up, where a large one would become NaN."""
    log_ratios = policy.log_prob(distribution, batch.actions) - old_log_probs
    return torch.exp(torch.where(batch.shares > 0, log_ratios, torch.zeros_like(log_ratios)))


def outer_losses(
    policy: Policy, stack: StackedExperience, adapted: Parameters
) -> tuple[Float[Tensor, " task"], Float[Tensor, " task"]]:
    """Give each task's outer loss and KL divergence at θ'."""
    query = stack.query
    distribution = act(policy, adapted, query.observations)
    weighted = ratios(policy, distribution, query, stack.old_log_probs) * query.advantages
    return -weighted.sum(1), query.means(policy.kl(stack.old_distribution, distribution))


def _outer_slope(
    policy: Policy, stack: StackedExperience
) -> tuple[Parameters, Float[Tensor, " task"], Float[Tensor, " task"]]:
    """Give each task's ∇L(θ'), outer loss and KL divergence at the θ' that collected the query."""
    adapted = as_leaves(stack.path[-1])
    losses, divergences = outer_losses(policy, stack, adapted)
    slope = torch.autograd.grad(losses.sum(), tuple(adapted.values()), materialize_grads=True)
    return dict(zip(adapted, slope, strict=True)), losses.detach(), divergences.detach()
