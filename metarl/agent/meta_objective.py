"""MAML's outer objective over the tasks of a shard: its value, gradient and curvature.

The outer objective is the mean over tasks of the adapted policies' surrogate loss; their KL
divergence from the policies that collected the query data bounds a step. With J = ∂θ'/∂θ the
Jacobian of the inner loop (see `metarl.learning.adaptation`) and F the Fisher information of the
adapted policy on its query data,

    meta-gradient        g   = mean over tasks of Jᵀ ∇L(θ')
    curvature product    A v = mean over tasks of Jᵀ F J v

At the current θ the KL divergence is 0 and so is its gradient at θ'; the terms with derivatives of
J vanish, and Jᵀ F J is the exact Hessian of the KL divergence through the adaptation.

The functions with a shard as their first argument are mapped over workers by the outer step of an
agent; each gives one result for each task.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metarl.agent.stacked_objective import (
    StackedProducts,
    stacked_gradients,
    stacked_surrogates,
)
from metarl.agent.task_stacks import stack_tasks
from metarl.learning.adaptation import Parameters, adapt, as_leaves, flatten, linearise
from metarl.learning.objectives import act, reinforce_loss, surrogate_loss
from metarl.learning.stacking import repeat, unstack
from metarl.learning.trajectories import Experience
from metarl.workers.shards import Rate, Shard, Vector, to_vector


def outer_loss(shard: Shard, data: Experience, adapted: Parameters) -> tuple[Tensor, Tensor]:
    """Give a task's outer loss and KL divergence at θ', from one pass."""
    distribution = act(shard.policy, adapted, data.query.observations)
    log_probs = shard.policy.log_prob(distribution, data.query.actions)
    loss = surrogate_loss(log_probs, data.old_log_probs, data.query.advantages)
    return loss, shard.policy.kl(data.old_distribution, distribution).mean()


def outer_slope(shard: Shard, data: Experience) -> tuple[Parameters, float, float]:
    """Give a task's ∇L(θ'), outer loss and KL divergence at the θ' that collected the query."""
    adapted = as_leaves(data.path[-1])
    outer, kl = outer_loss(shard, data, adapted)
    slope = torch.autograd.grad(outer, tuple(adapted.values()), materialize_grads=True)
    return dict(zip(adapted, slope, strict=True)), outer.item(), kl.item()


def plain_gradient(shard: Shard) -> list[tuple[Vector, float, float]]:
    """Give each task's ∇L(θ'), outer loss and KL divergence; `meta_gradient` says when."""
    if shard.tasks_in_one_call:
        return stacked_gradients(shard, (), True)
    contributions = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            slope, outer, kl = outer_slope(shard, data)
            contributions.append((to_vector(slope), outer, kl))
    return contributions


def meta_gradient(
    shard: Shard, learning_rates: Sequence[Rate], first_order: bool, curvature_fraction: float
) -> list[tuple[Vector, float, float]]:
    """Give each task's Jᵀ ∇L(θ'), outer loss and KL divergence; keep J and F in the shard.

    All at the θ that collected the experience, where the KL divergence is 0, or something is wrong.

    Args:
        shard: has collected experience.
        learning_rates: α for each inner step.
        first_order: J = I.
        curvature_fraction: of the steps, for `curvature_product`.

    """
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    if shard.tasks_in_one_call:
        products = _products(shard, learning_rates, first_order)
        products.take(shard, curvature_fraction)
        shard.scratch = [products]
        return stacked_gradients(shard, rates, first_order)
    loss = reinforce_loss(shard.policy)
    contributions = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            slope, outer, kl = outer_slope(shard, data)
            jacobian = linearise(loss, data.path, data.supports, rates, first_order=first_order)
            contributions.append((to_vector(jacobian.transposed_product(slope)), outer, kl))
    shard.scratch = [
        (
            stack,
            linearise(
                stack.loss,
                stack.path,
                stack.supports,
                rates,
                first_order=first_order,
                place=stack.aligned,
            ),
        )
        for stack in stack_tasks(shard, curvature_fraction)
    ]
    return contributions


def _products(shard: Shard, learning_rates: Sequence[Rate], first_order: bool) -> StackedProducts:
    """Give those of the last iteration, with what was captured of them, where nothing differs."""
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    if any(isinstance(rate, np.ndarray) for rate in learning_rates):  # learned: others each time
        return StackedProducts(shard, rates, first_order)
    name = f"curvature products {learning_rates} {first_order}"
    if name not in shard.kept:
        shard.kept[name] = StackedProducts(shard, rates, first_order)
    products: StackedProducts = shard.kept[name]
    return products


def curvature_product(shard: Shard, vector: Vector) -> list[Vector]:
    """Give each task's Jᵀ F J v; `meta_gradient` must have been mapped before."""
    if shard.tasks_in_one_call:
        products: StackedProducts = shard.scratch[0]
        return products(flatten(shard.parameters(vector)))
    direction = shard.parameters(vector)
    found: list[Vector] = []
    for stack, jacobian in shard.scratch:
        moved = jacobian.product(repeat(direction, stack.stacked))
        pulled = jacobian.transposed_product(stack.fisher(stack.aligned(moved)))
        found += map(to_vector, unstack(pulled, stack.tasks))
    return found


def surrogate(
    shard: Shard, theta: Vector, learning_rates: Sequence[Rate]
) -> list[tuple[float, float]]:
    """Adapt θ anew on each task's support data; give the outer loss and the KL divergence there."""
    at = shard.parameters(theta)
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    if shard.tasks_in_one_call:
        return stacked_surrogates(shard, at, rates)
    loss = reinforce_loss(shard.policy)
    outcomes = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            adapted = adapt(loss, at, data.supports, rates)
            outer, kl = outer_loss(shard, data, adapted)
            outcomes.append((float(outer), float(kl)))
    return outcomes
