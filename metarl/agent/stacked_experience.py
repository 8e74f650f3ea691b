"""The experience of several tasks of a shard side by side, to be computed in one call.

For devices on which launching a computation takes longer than the computation of one task. Rows of
zeros fill up the tasks that took fewer steps; they weigh nothing. What all tasks gave leaves the
device in one piece.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metarl.learning.adaptation import Parameters
from metarl.learning.policies import Distribution
from metarl.learning.trajectories import Batch, Experience
from metarl.workers.shards import Shard

_ROWS_AT_ONCE = 2**20
"""So many rows of a hidden layer's activations, 400 MB of a hundred units, are held at once."""


@dataclass(frozen=True)
class StackedBatch:
    """Some tasks' steps in one phase; the first axis is the task's."""

    observations: Float[Tensor, "task row obs"]
    actions: Tensor
    advantages: Float[Tensor, "task row"]
    """Divided by the number of the task's steps; 0 in rows that fill up."""
    shares: Float[Tensor, "task row"]
    """What a row counts: one by the number of the task's steps, or 0."""

    def means(self, values: Float[Tensor, "task row"]) -> Float[Tensor, " task"]:
        """Give each task's mean over its own steps."""
        of_steps = torch.where(self.shares > 0, values, torch.zeros_like(values))
        return (of_steps * self.shares).sum(1)


@dataclass(frozen=True)
class StackedExperience:
    """The whole experience of some tasks."""

    path: list[Parameters]
    """Before each inner step, and last θ'; the first axis is the task's."""
    supports: list[StackedBatch]
    query: StackedBatch
    old_distribution: Distribution
    """Of the policies that collected the query, at its observations."""
    old_log_probs: Float[Tensor, "task row"]
    """Of the query's actions."""

    def __len__(self) -> int:
        return len(self.query.shares)


def tasks_at_once(longest: int) -> int:
    """Say how many tasks are computed in one call, where one has so many steps in a phase."""
    return max(1, _ROWS_AT_ONCE // longest)


def parts(shard: Shard, tasks: int) -> Iterator[slice]:
    """Cut tasks into parts whose activations fit side by side."""
    at_once = tasks_at_once(shard.slots_per_task * shard.config.horizon)
    return (slice(first, first + at_once) for first in range(0, tasks, at_once))


def stacked_experience(shard: Shard) -> list[StackedExperience]:
    """Put the shard's experience side by side, in parts; it is kept until the shard collects anew.

    All tasks of the shard are there, in their order.
    """
    if not shard.stacks:
        cuts = parts(shard, len(shard.experience))
        shard.stacks = [_experience(shard.experience[part]) for part in cuts]
    return shard.stacks


def stack_batches(batches: Sequence[Batch], rows: int = 0) -> StackedBatch:
    """Put the tasks' batches side by side, filled up to the longest, or to so many rows."""
    return StackedBatch(
        _filled([batch.observations for batch in batches], rows),
        _filled([batch.actions for batch in batches], rows),
        _filled([batch.advantages / len(batch.advantages) for batch in batches], rows),
        _filled(
            [torch.full_like(batch.advantages, 1 / len(batch.advantages)) for batch in batches],
            rows,
        ),
    )


def stack_paths(experience: Sequence[Experience]) -> list[Parameters]:
    """Put the tasks' parameters side by side, before each inner step and after the last."""
    return [
        stack_thetas(thetas) for thetas in zip(*(data.path for data in experience), strict=True)
    ]


def stack_thetas(thetas: Sequence[Parameters]) -> Parameters:
    """Put the tasks' parameters side by side, detached."""
    return {name: torch.stack([theta[name] for theta in thetas]).detach() for name in thetas[0]}


def repeated(theta: Parameters, tasks: int) -> Parameters:
    """Give the same parameters for each of so many tasks; they are in memory once."""
    return {name: value.expand(tasks, *value.shape) for name, value in theta.items()}


def task_rows(stack: Parameters) -> Float[Tensor, "task parameter"]:
    """Join each task's parameters into one row."""
    return torch.cat([value.flatten(1) for value in stack.values()], 1)


def of_each_task(
    vectors: Sequence[Parameters], *numbers: Float[Tensor, " task"]
) -> list[tuple[Any, ...]]:
    """Bring what the tasks gave to the CPU in one piece.

    Args:
        vectors: of each task, in the space of the parameters; several are joined into one.
        numbers: of each task.

    Returns:
        For each task its vector, then its numbers.

    """
    columns = [*map(task_rows, vectors), *(number.unsqueeze(1) for number in numbers)]
    found = torch.cat(columns, 1).detach().cpu().numpy()
    length = found.shape[1] - len(numbers)
    return [(row[:length], *map(float, row[length:])) for row in found]


def _experience(experience: Sequence[Experience]) -> StackedExperience:
    """Put the experience of some tasks side by side."""
    by_step = zip(*(data.supports for data in experience), strict=True)
    old = zip(*(data.old_distribution for data in experience), strict=True)
    return StackedExperience(
        stack_paths(experience),
        [stack_batches(supports) for supports in by_step],
        stack_batches([data.query for data in experience]),
        tuple(map(_filled, old)),
        _filled([data.old_log_probs for data in experience]),
    )


def _filled(columns: Sequence[Tensor], rows: int = 0) -> Tensor:
    """Stack columns, filled up with zeros to the longest, or to so many rows."""
    stack = pad_sequence(list(columns), batch_first=True)
    if stack.shape[1] >= rows:
        return stack
    missing = stack.new_zeros(len(stack), rows - stack.shape[1], *stack.shape[2:])
    return torch.cat([stack, missing], 1)
