"""Tasks side by side in one tensor, so that each task's numbers do not depend on its company.

The last bits of a matrix product depend on where in memory its operands begin, and those of an
activation on where in the processor's vectors an element falls. Here every task's parameters and
every task's rows begin at a multiple of 64 bytes and fill whole vectors, and one task is stacked
twice, since a stack of one is multiplied by another routine. Functions that
`torch.func.vmap` makes of such stacks give a task the same bits whatever other tasks are stacked
with it, if each layer's weights fill whole blocks of 16 bytes (seen in torch 2.13 on one thread,
for products, gradients and Hessian products). Other policies are computed a task at a time.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from torch import Tensor

from metarl.learning.adaptation import Parameters

T = TypeVar("T")

BLOCK = 32
"""Elements, or rows of any width, that fill whole 64-byte lines and whole vectors."""


def whole_blocks(count: int) -> int:
    """Round up to a multiple of the block."""
    return -(-count // BLOCK) * BLOCK


def never_alone(tasks: Sequence[T]) -> list[T]:
    """Give the tasks to stack: one task stands twice, and the second result is to be dropped."""
    return [*tasks, *tasks] if len(tasks) == 1 else list(tasks)


def stack_parameters(parameters: Sequence[Parameters]) -> Parameters:
    """Stack the tasks' parameters, name by name; the first axis is the task's."""
    return {name: _stack([theta[name] for theta in parameters]) for name in parameters[0]}


def stack_rows(
    rows: Sequence[Shaped[Tensor, "_ *rest"]], count: int
) -> Shaped[Tensor, "task count *rest"]:
    """Stack the tasks' rows, each filled up with zeros to `count` rows, a number of whole blocks.

    Raises:
        ValueError: `count` is not a number of whole blocks, or a task has more rows.

    """
    if count != whole_blocks(count) or count < max(map(len, rows)):
        raise ValueError(
            f"{count} rows must be a multiple of {BLOCK} and at least {max(map(len, rows))}"
        )
    stack = rows[0].new_zeros(len(rows), count, *rows[0].shape[1:])
    for place, own in zip(stack, rows, strict=True):
        place[: len(own)] = own
    return stack


def aligned(stack: Parameters, tasks: int) -> Parameters:
    """Copy a stack that a function gave to where each task begins as it must."""
    return stack_parameters(unstack(stack, tasks))


def repeat(parameters: Parameters, tasks: int) -> Parameters:
    """Stack the same parameters for each of several tasks."""
    return stack_parameters([parameters] * tasks)


def unstack(parameters: Parameters, tasks: int) -> list[Parameters]:
    """Give each task's parameters, as views."""
    return [{name: value[task] for name, value in parameters.items()} for task in range(tasks)]


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of stacks that calls `function` for each task alone, in place of `vmap`.

    It takes tensors and dictionaries of them, and gives a tensor or a tuple of them.
    """

    def of_stacks(*stacks: Tensor | Parameters) -> Tensor | tuple[Tensor, ...]:
        tasks = len(next(iter(stacks[0].values())) if isinstance(stacks[0], dict) else stacks[0])
        results = [
            function(
                *(
                    {name: value[task] for name, value in stack.items()}
                    if isinstance(stack, dict)
                    else stack[task]
                    for stack in stacks
                )
            )
            for task in range(tasks)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results)
        return tuple(torch.stack(parts) for parts in zip(*results, strict=True))

    return of_stacks


def _stack(values: Sequence[Tensor]) -> Shaped[Tensor, "task ..."]:
    like = values[0].detach()
    stride = whole_blocks(like.numel())
    memory = like.new_zeros(len(values) * stride)
    stack = memory.as_strided((len(values), *like.shape), (stride, *like.contiguous().stride()))
    for place, value in zip(stack, values, strict=True):
        place.copy_(value.detach())
    return stack
