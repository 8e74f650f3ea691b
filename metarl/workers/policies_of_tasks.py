"""One policy with the parameters of several tasks, acting in all their episodes at once."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from metarl.learning.adaptation import Parameters
from metarl.learning.objectives import act
from metarl.learning.policies import Distribution, Policy, with_parameters
from metarl.learning.stacking import never_alone, one_by_one, stack_parameters, whole_blocks


class PoliciesOfTasks:
    """The policy with each task's parameters, acting for the episodes of all tasks in one call.

    The tasks are stacked as `metarl.learning.stacking` says: a task's actions do not depend on the
    others. A policy that wants one task at a time gets each alone, without filling rows.

    Args:
        policy: the policy's module.
        parameters: of each task.
        slots: of all tasks together.
        size: of an observation.

    """

    def __init__(
        self, policy: Policy, parameters: Sequence[Parameters], slots: int, size: int
    ) -> None:
        like = next(iter(parameters[0].values()))
        alone = policy.one_task_at_a_time
        stacked = parameters if alone else never_alone(parameters)
        self._stack = stack_parameters(stacked)
        self._policy = policy
        self._act: Callable[[Tensor], Distribution] = (
            partial(one_by_one(partial(act, policy)), self._stack)
            if alone
            else with_parameters(policy, self._stack)
        )
        self._tasks = len(parameters)
        self._episodes = slots // len(parameters)
        rows = self._episodes if alone else whole_blocks(self._episodes)
        self._observations = like.new_zeros(len(stacked), rows, size)

    @torch.no_grad()
    def load(self, parameters: Sequence[Parameters]) -> None:
        """Take other parameters of the tasks, into the same memory."""
        for name, stack in self._stack.items():
            values = torch.stack([theta[name] for theta in parameters])
            stack.copy_(values.expand_as(stack))  # a task alone stands there twice

    @torch.no_grad()
    def __call__(
        self, observation: Float[Tensor, "slot obs"], noise: Float[Tensor, "slot *act"]
    ) -> Shaped[Tensor, "slot *act"]:
        """Choose an action in every slot."""
        own = observation.view(self._tasks, self._episodes, -1)
        self._observations[: self._tasks, : self._episodes] = own
        distribution = self._act(self._observations)
        taken = tuple(part[: self._tasks, : self._episodes] for part in distribution)
        noise = noise.view(self._tasks, self._episodes, *noise.shape[1:])
        return self._policy.sample(taken, noise).flatten(0, 1)
