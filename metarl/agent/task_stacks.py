"""The experience of several tasks side by side, for repeated products with their curvature.

Conjugate gradient multiplies ten times with the same matrices. One call for many tasks takes half
the time of a call for each; `metarl.learning.stacking` says why a task's numbers stay the same in
any company. The products may use a sample of the steps: that changes the metric in which an outer
step is taken, never its gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from metarl.foundation.seeding import Purpose
from metarl.learning.adaptation import Parameters
from metarl.learning.objectives import act, fisher_product, reinforce_loss
from metarl.learning.stacking import (
    BLOCK,
    aligned,
    never_alone,
    one_by_one,
    stack_parameters,
    stack_rows,
    whole_blocks,
)
from metarl.learning.trajectories import Batch, Experience
from metarl.workers.shards import Shard

_ROWS_AT_ONCE = 4096
"""So many rows of a hidden layer's activations stay in a core's cache."""

StackedBatch = tuple[Tensor, ...]
"""Observations, actions and advantages, each with the task's axis first."""


@dataclass(frozen=True)
class TaskStack:
    """Some tasks of a shard: their inner loop and the Fisher information of their policies."""

    tasks: int
    stacked: int
    """One more, where a task had to be stacked twice."""
    loss: Callable[[Parameters, StackedBatch], Tensor]
    """The sum over the stacked tasks of their inner losses."""
    path: list[Parameters]
    """Before each inner step, and last θ'; the first axis is the task's."""
    supports: list[StackedBatch]
    """Of each inner step."""
    fisher: Callable[[Parameters], Parameters]
    """v ↦ F v at θ', each task's own; v is to be aligned."""

    def aligned(self, vectors: Parameters) -> Parameters:
        """Put each task's vector where it must begin, so that its products keep their bits."""
        return aligned(vectors, self.stacked)


def stack_tasks(shard: Shard, fraction: float) -> list[TaskStack]:
    """Stack the shard's experience, as many tasks at once as suit the processor's cache.

    Args:
        shard: has collected experience.
        fraction: of the steps, of support and of query data; drawn evenly over time, and 32 at
            least.

    """
    # From the longest episodes there can be: a task's rows must not depend on other tasks' lengths.
    rows = rows_of_a_task(fraction, shard.episodes_per_task * shard.config.horizon)
    at_once = 1 if shard.policy.one_task_at_a_time else max(1, _ROWS_AT_ONCE // rows)
    stacks = []
    for start in range(0, len(shard.experience), at_once):
        positions = list(range(start, min(start + at_once, len(shard.experience))))
        # All stacks hold one task, or none does.
        stacked = never_alone(positions) if at_once > 1 else positions
        stacks.append(_stack(shard, len(positions), stacked, rows, fraction))
    return stacks


def rows_of_a_task(fraction: float, longest: int) -> int:
    """Say how many rows a task has in a stack, where its episodes have so many steps at most."""
    return whole_blocks(_kept(fraction, longest))


def _stack(
    shard: Shard, tasks: int, positions: Sequence[int], rows: int, fraction: float
) -> TaskStack:
    policy, loss = shard.policy, reinforce_loss(shard.policy)
    experience = [shard.experience[position] for position in positions]
    drawn = [sampled(shard, position, fraction) for position in positions]
    *supports, queries = zip(*drawn, strict=True)
    each = one_by_one if policy.one_task_at_a_time else vmap
    each_loss = each(lambda theta, *parts: loss(theta, Batch(*parts)))
    observations = stack_rows([query.observations for query in queries], rows)
    weights = [torch.full_like(query.advantages, 1 / len(query.advantages)) for query in queries]
    path = _stacked_path(experience)
    fisher = fisher_product(
        policy,
        lambda thetas: each(partial(act, policy))(thetas, observations),
        path[-1],
        stack_rows(weights, rows),
    )
    return TaskStack(
        tasks=tasks,
        stacked=len(positions),
        loss=lambda thetas, batch: each_loss(thetas, *batch).sum(),
        path=path,
        supports=[_stack_batches(batches, rows) for batches in supports],
        fisher=fisher,
    )


def _stacked_path(experience: Sequence[Experience]) -> list[Parameters]:
    steps = zip(*(data.path for data in experience), strict=True)
    return [stack_parameters(thetas) for thetas in steps]


def sampled(shard: Shard, position: int, fraction: float) -> list[Batch]:
    """Draw a fraction of a task's steps, from each support batch and, last, from the query."""
    data = shard.experience[position]
    generator = shard.generator(Purpose.CURVATURE, position)
    return [_sample(batch, fraction, generator) for batch in (*data.supports, data.query)]


def _sample(batch: Batch, fraction: float, generator: np.random.Generator) -> Batch:
    """Draw a fraction of the steps: cut them into as many equal runs, draw one from each."""
    steps = len(batch.observations)
    edges = np.linspace(0, steps, _kept(fraction, steps) + 1).astype(int)
    drawn = generator.integers(edges[:-1], edges[1:])
    chosen = torch.from_numpy(drawn).to(batch.observations.device)
    return Batch(batch.observations[chosen], batch.actions[chosen], batch.advantages[chosen])


def _kept(fraction: float, steps: int) -> int:
    """Say how many steps a fraction of them is; a block, which costs no more, or all of fewer."""
    return min(steps, max(BLOCK, round(fraction * steps)))


def _stack_batches(batches: Sequence[Batch], rows: int) -> StackedBatch:
    """Stack batches, filled up with steps of advantage 0; their mean loss stays that of the taken.

    The mean over all rows is the mean over the taken ones times their share, which the advantages
    make good.
    """
    return (
        stack_rows([batch.observations for batch in batches], rows),
        stack_rows([batch.actions for batch in batches], rows),
        stack_rows([batch.advantages * (rows / len(batch.advantages)) for batch in batches], rows),
    )
