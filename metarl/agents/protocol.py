"""What an agent is: the outer step, over data that stays in the workers.

An agent is a frozen dataclass of settings, a class with the members below, and a
`metarl.plugins.AgentSpec` that names both, registered under the entry-point group
``metarl.agents``. It never knows where its functions run: it maps top-level functions over the
shards (see `metarl.workers.shards`) and sums what comes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from metarl.config.reinforcement import Config
from metarl.workers.shards import Rate, Vector, Workers

Metrics = Mapping[str, float | int | bool | str | None]


@dataclass(frozen=True)
class AgentState:
    """All that an agent carries from one iteration to the next, and a checkpoint holds."""

    theta: Vector
    """The meta-parameters."""
    optimiser: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What else the outer optimiser remembers, by name."""
    step_sizes: Vector | None = None
    """α of the inner loop for each parameter, where the agent learns it."""

    def learning_rates(self, rates: Sequence[float], trained_with: float) -> tuple[Rate, ...]:
        """Give α for each inner step: the numbers, or the learned α in the same proportions.

        Args:
            rates: what the configuration says, for each step.
            trained_with: the number that the learned α stands in place of.

        """
        if self.step_sizes is None:
            return tuple(rates)
        return tuple(self.step_sizes * self.step_sizes.dtype.type(r / trained_with) for r in rates)


@runtime_checkable
class Agent(Protocol):
    """An outer step."""

    def __init__(self, settings: Any, config: Config) -> None:
        """Take the agent's settings and the run's configuration."""

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""

    def outer_step(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Update the meta-parameters from the experience in the shards.

        Called after `collect_and_adapt` has been mapped over the workers. Gives the new state and
        what the metrics are to say of the step.
        """
