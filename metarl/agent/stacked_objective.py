"""The inner steps and the outer objective of all tasks of a shard in a few calls.

For devices on which launching a computation takes longer than the computation of one task. Each
function gives what `metarl.agent.meta_objective` computes a task at a time, up to rounding; what
all tasks gave leaves the device in one piece. Rows of zeros fill up the tasks that took fewer
steps; they weigh nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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
from metarl.learning.trajectories import Batch, Experience
from metarl.workers.shards import Shard, Vector

_ROWS_AT_ONCE = 2**20
"""So many rows of a hidden layer's activations, 400 MB of a hundred units, are held at once."""

Contribution = tuple[Vector, float, float]
"""A task's gradient, outer loss and KL divergence."""


@dataclass(frozen=True)
class StackedBatch:
    """Some tasks' steps in one phase; the first axis is the task's."""

    observations: Float[Tensor, "task row obs"]
    actions: Tensor
    advantages: Float[Tensor, "task row"]
    """Divided by the number of the task's steps; 0 in rows that fill up."""


@dataclass(frozen=True)
class StackedExperience:
    """The whole experience of some tasks."""

    path: list[Parameters]
    """Before each inner step, and last θ'."""
    supports: list[StackedBatch]
    query: StackedBatch
    shares: Float[Tensor, "task row"]
    """What a row of the query counts: one by the number of the task's steps, or 0."""
    old_distribution: Distribution
    old_log_probs: Float[Tensor, "task row"]

    def __len__(self) -> int:
        return len(self.shares)


def tasks_at_once(longest: int) -> int:
    """Say how many tasks are computed in one call, where one has so many steps in a phase."""
    return max(1, _ROWS_AT_ONCE // longest)


def stacked_inner_step(
    shard: Shard, thetas: Sequence[Parameters], supports: Sequence[Batch], rate: LearningRate
) -> list[Parameters]:
    """Take an inner step from each task's θ on its support batch."""
    adapted: list[Parameters] = []
    for part in _parts(shard, len(thetas)):
        stack = _stack(thetas[part])
        moved = inner_step(_loss(shard.policy), stack, _batch(supports[part]), rate)
        adapted += unstack(moved, len(thetas[part]))
    return adapted


def stacked_experience(shard: Shard) -> list[StackedExperience]:
    """Put the shard's experience side by side; it is kept until the shard collects anew."""
    if not shard.stacks:
        parts = _parts(shard, len(shard.experience))
        shard.stacks = [_experience(shard.experience[part]) for part in parts]
    return shard.stacks


def stacked_gradients(
    shard: Shard, rates: Sequence[LearningRate], first_order: bool
) -> list[Contribution]:
    """Give each task's Jᵀ ∇L(θ'), outer loss and KL divergence."""
    contributions: list[Contribution] = []
    for stack in stacked_experience(shard):
        slope, losses, divergences = _outer_slope(shard.policy, stack)
        jacobian = linearise(
            _loss(shard.policy), stack.path, stack.supports, rates, first_order=first_order
        )
        gradients = [jacobian.transposed_product(slope)]
        contributions += _contributions(gradients, losses, divergences)
    return contributions


def stacked_joint_gradients(
    shard: Shard, rate: Parameters, first_order: bool
) -> list[Contribution]:
    """Give each task's (J, J_α)ᵀ ∇L(θ'), outer loss and KL divergence, for a learned α."""
    contributions: list[Contribution] = []
    for stack in stacked_experience(shard):
        slope, losses, divergences = _outer_slope(shard.policy, stack)
        jacobian = linearise_with_rate(
            _loss(shard.policy), stack.path[:-1], stack.supports, rate, first_order=first_order
        )
        gradients = jacobian.transposed_product(slope)
        contributions += _contributions(gradients, losses, divergences)
    return contributions


def stacked_surrogates(
    shard: Shard, theta: Parameters, rates: Sequence[LearningRate]
) -> list[tuple[float, float]]:
    """Adapt θ anew on each task's support data; give the outer loss and the KL divergence there."""
    outcomes: list[tuple[float, float]] = []
    for stack in stacked_experience(shard):
        start = _repeated(theta, len(stack))
        adapted = adapt(_loss(shard.policy), start, stack.supports, rates)
        outcomes += torch.stack(_outer(shard.policy, stack, adapted), 1).tolist()
    return [(loss, kl) for loss, kl in outcomes]


class StackedProducts:
    """v ↦ Jᵀ F J v of each task, all tasks in one call, which on a CUDA device is one graph.

    The graph is of everything from θ and the data to the products, so that it serves as long as the
    sizes stay the same.

    Args:
        shard: whose tasks.
        rates: α of each inner step; numbers.
        first_order: J = I.

    """

    def __init__(self, shard: Shard, rates: Sequence[LearningRate], first_order: bool) -> None:
        self._policy, self._rates, self._first_order = shard.policy, rates, first_order
        self._template = shard.template
        self._calls: list[GraphedFunction] = []
        self._data: list[list[Tensor]] = []

    def take(self, shard: Shard, fraction: float) -> None:
        """Take the shard's experience, a fraction of its steps."""
        rows = rows_of_a_task(fraction, shard.slots_per_task * shard.config.horizon)
        self._data = []
        for part in _parts(shard, len(shard.experience)):
            positions = range(len(shard.experience))[part]
            drawn = [sampled(shard, position, fraction) for position in positions]
            path = _path(shard.experience[part])
            batches = [_batch(batches, rows) for batches in zip(*drawn, strict=True)]
            shares = _shares([query for *_, query in drawn], rows)
            self._data.append(_flat(path, batches, shares))
        more = len(self._data) - len(self._calls)
        self._calls += [GraphedFunction(self._product) for _ in range(more)]

    def __call__(self, vector: Float[Tensor, " parameter"]) -> list[Vector]:
        """Give each task's product."""
        products: list[Vector] = []
        for call, data in zip(self._calls, self._data, strict=False):
            products += list(call(vector, *data).cpu().numpy())
        return products

    def _product(self, vector: Float[Tensor, " parameter"], *data: Tensor) -> Tensor:
        path, (*supports, query), shares = _nested(data, list(self._template))
        direction = _repeated(unflatten(vector, self._template), len(shares))
        jacobian = linearise(
            _loss(self._policy), path, supports, self._rates, first_order=self._first_order
        )
        fisher = fisher_product(
            self._policy,
            lambda thetas: act(self._policy, thetas, query.observations),
            path[-1],
            shares,
        )
        pulled = jacobian.transposed_product(fisher(jacobian.product(direction)))
        return _rows(pulled)


def _flat(
    path: Sequence[Parameters], batches: Sequence[StackedBatch], shares: Float[Tensor, "task row"]
) -> list[Tensor]:
    """Give the tensors that a curvature product depends on, in one list."""
    tensors = [value for theta in path for value in theta.values()]
    for batch in batches:
        tensors += [batch.observations, batch.actions, batch.advantages]
    return [*tensors, shares]


def _nested(
    tensors: Sequence[Tensor], names: Sequence[str]
) -> tuple[list[Parameters], list[StackedBatch], Float[Tensor, "task row"]]:
    """Undo `_flat`; with K inner steps there are K + 1 sets of parameters and as many batches."""
    count = len(tensors) // (len(names) + 3)
    each = iter(tensors)
    path = [{name: next(each) for name in names} for _ in range(count)]
    batches = [StackedBatch(next(each), next(each), next(each)) for _ in range(count)]
    return path, batches, next(each)


def _parts(shard: Shard, tasks: int) -> Iterator[slice]:
    """Cut tasks into parts whose activations fit side by side."""
    at_once = tasks_at_once(shard.slots_per_task * shard.config.horizon)
    return (slice(first, first + at_once) for first in range(0, tasks, at_once))


def _loss(policy: Policy) -> Callable[[Parameters, StackedBatch], Tensor]:
    """Give the sum over tasks of their inner losses; see `metarl.learning.objectives`."""
    return partial(_summed_loss, policy)


def _summed_loss(policy: Policy, thetas: Parameters, batch: StackedBatch) -> Float[Tensor, ""]:
    log_probs = policy.log_prob(act(policy, thetas, batch.observations), batch.actions)
    return -(log_probs * batch.advantages).sum()


def _outer(
    policy: Policy, stack: StackedExperience, adapted: Parameters
) -> tuple[Float[Tensor, " task"], Float[Tensor, " task"]]:
    """Give each task's outer loss and KL divergence at θ'."""
    distribution = act(policy, adapted, stack.query.observations)
    taken = stack.shares > 0
    log_ratios = policy.log_prob(distribution, stack.query.actions) - stack.old_log_probs
    ratios = torch.exp(torch.where(taken, log_ratios, torch.zeros_like(log_ratios)))
    divergences = policy.kl(stack.old_distribution, distribution)
    of_taken = torch.where(taken, divergences, torch.zeros_like(divergences))
    return -(ratios * stack.query.advantages).sum(1), (of_taken * stack.shares).sum(1)


def _outer_slope(
    policy: Policy, stack: StackedExperience
) -> tuple[Parameters, Float[Tensor, " task"], Float[Tensor, " task"]]:
    """Give each task's ∇L(θ'), outer loss and KL divergence at the θ' that collected the query."""
    adapted = as_leaves(stack.path[-1])
    losses, divergences = _outer(policy, stack, adapted)
    slope = torch.autograd.grad(losses.sum(), tuple(adapted.values()), materialize_grads=True)
    return dict(zip(adapted, slope, strict=True)), losses.detach(), divergences.detach()


def _contributions(
    gradients: Sequence[Parameters],
    losses: Float[Tensor, " task"],
    divergences: Float[Tensor, " task"],
) -> list[Contribution]:
    """Bring all that the tasks gave to the CPU in one piece."""
    columns = [*map(_rows, gradients), losses.unsqueeze(1), divergences.unsqueeze(1)]
    found = torch.cat(columns, 1).cpu().numpy()
    return [(row[:-2], float(row[-2]), float(row[-1])) for row in found]


def _experience(experience: Sequence[Experience]) -> StackedExperience:
    """Put the experience of some tasks side by side."""
    by_step = zip(*(data.supports for data in experience), strict=True)
    query = [data.query for data in experience]
    old = zip(*(data.old_distribution for data in experience), strict=True)
    return StackedExperience(
        _path(experience),
        [_batch(supports) for supports in by_step],
        _batch(query),
        _shares(query),
        tuple(map(_filled, old)),
        _filled([data.old_log_probs for data in experience]),
    )


def _path(experience: Sequence[Experience]) -> list[Parameters]:
    return [_stack(thetas) for thetas in zip(*(data.path for data in experience), strict=True)]


def _shares(batches: Sequence[Batch], rows: int = 0) -> Float[Tensor, "task row"]:
    shares = [torch.full_like(batch.advantages, 1 / len(batch.advantages)) for batch in batches]
    return _filled(shares, rows)


def _batch(batches: Sequence[Batch], rows: int = 0) -> StackedBatch:
    return StackedBatch(
        _filled([batch.observations for batch in batches], rows),
        _filled([batch.actions for batch in batches], rows),
        _filled([batch.advantages / len(batch.advantages) for batch in batches], rows),
    )


def _filled(columns: Sequence[Tensor], rows: int = 0) -> Tensor:
    """Stack columns, filled up with zeros to the longest, or to so many rows."""
    stack = pad_sequence(list(columns), batch_first=True)
    if stack.shape[1] >= rows:
        return stack
    missing = stack.new_zeros(len(stack), rows - stack.shape[1], *stack.shape[2:])
    return torch.cat([stack, missing], 1)


def _stack(thetas: Sequence[Parameters]) -> Parameters:
    return {name: torch.stack([theta[name] for theta in thetas]).detach() for name in thetas[0]}


def _repeated(theta: Parameters, tasks: int) -> Parameters:
    return {name: value.expand(tasks, *value.shape) for name, value in theta.items()}


def _rows(stack: Parameters) -> Float[Tensor, "task parameter"]:
    """Join each task's parameters into one row."""
    return torch.cat([value.flatten(1) for value in stack.values()], 1)
