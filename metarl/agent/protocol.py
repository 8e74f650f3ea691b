"""What an agent is: how it meets a task, how it acts on one, and how it is improved.

Agents come in families, which differ in what changes during a task:

==============  ==========================================  =====================
family          what changes during a task                  one unit of adaptation
==============  ==========================================  =====================
gradient        the parameters, θ → θ'                      a gradient step on a batch of episodes
memory          a hidden state, carried over episodes       an episode
inference       a posterior over what the task is           an episode
==============  ==========================================  =====================

A `Family` says how its agents meet a task and act on it; an `Agent` adds how the family is trained:
an outer step over data that stays in the workers. Training, evaluation, rendering and export know
only what stands here.

An agent is a frozen dataclass of settings, a class with the members of `Agent`, and a
`metarl.config.plugins.AgentSpec` that names both, registered under the entry-point group
``metarl.agents``. It never knows where its functions run: it maps top-level functions over the
shards (see `metarl.workers.shards`) and sums what comes back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped

from metarl.agent.device_memory import Sizes
from metarl.config.reinforcement import Config
from metarl.foundation.errors import TaskError
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import PolicySpec
from metarl.learning.trajectories import TaskStatistics
from metarl.workers.shards import Shard, Vector, Workers

Metrics = Mapping[str, float | int | bool | str | None]
Record = dict[str, Any]
"""One iteration's metrics, by name."""

Memory = tuple[np.ndarray, ...]
"""What an actor carries from step to step, a row for each episode; () for a policy without any."""


@dataclass(frozen=True)
class AgentState:
    """All that an agent carries from one iteration to the next: arrays, as a checkpoint holds them.

    What an agent has become on a task is such a state as well: `Family.adapted` gives one after
    each unit of adaptation.
    """

    theta: Vector
    """The parameters that act; the meta-parameters."""
    optimiser: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What the outer optimiser remembers, by name; it stays in the parent process."""
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What else is learned or known, by name, such as step sizes or a hidden state."""
    experience: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What was met and is learned from again, by name; it stays in the parent process, and a
    checkpoint has a file of its own for it."""

    @property
    def travelling(self) -> "AgentState":
        """What workers are sent: all but the optimiser's memory and the experience."""
        return replace(self, optimiser={}, experience={})


def require_usable(new: AgentState, old: AgentState) -> None:
    """Refuse a state that no checkpoint could give back.

    Args:
        new: what an outer step has made.
        old: what it began with.

    Raises:
        TaskError: θ has another shape or type, or numbers are not finite.

    """
    if new.theta.shape != old.theta.shape or new.theta.dtype != old.theta.dtype:
        raise TaskError(
            f"the agent's outer step has made θ of shape {new.theta.shape} and type "
            f"{new.theta.dtype} from one of shape {old.theta.shape} and type {old.theta.dtype}"
        )
    for name, array in {"θ": new.theta, **new.optimiser, **new.others}.items():
        if not np.isfinite(array).all():
            raise TaskError(
                f"the agent's outer step has made numbers in {name} that are not finite; "
                "it should give back the state that it began with"
            )


def plain_metrics(metrics: Mapping[str, Any]) -> Record:
    """Give metrics as Python's own values, where an agent gives numpy's.

    Raises:
        TaskError: one of them is no single value.

    """
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in metrics.items()
    }
    for name, value in plain.items():
        if not isinstance(value, int | float | str | None):
            raise TaskError(
                f"the agent's metric {name!r} is of type {type(value).__name__}; it must be one "
                "number, a text, True, False or None"
            )
    return plain


@dataclass(frozen=True)
class TrainingState:
    """Where training stands after a whole number of iterations."""

    agent: AgentState
    iteration: int
    """Iterations completed."""
    env_steps: int
    """Environment steps taken so far."""


@runtime_checkable
class Actor(Protocol):
    """Acts on one task; what it carries from step to step is in a memory that its caller holds."""

    def begin(self, rows: int) -> Memory:
        """Give the memory before the first step, for so many episodes side by side."""

    def act(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        generator: np.random.Generator | None = None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], Memory]:
        """Choose an action in each episode.

        Args:
            observations: what is seen.
            memory: from `begin`, or from the step before.
            generator: to sample with; None: the most likely actions.

        Returns:
            Actions in the policy's units, and the memory afterwards.

        """

    def observe(
        self,
        memory: Memory,
        rewards: Float[np.ndarray, " row"],
        ended: Shaped[np.ndarray, " row"],
    ) -> Memory:
        """Take in what the actions brought: each row's reward, and whether its episode ended."""

    @property
    def plain_policy(self) -> Parameters | None:
        """The parameters of a plain policy that acts alike; None: it takes more than that."""


def _as_it_is(spec: PolicySpec, config: Config) -> PolicySpec:
    return spec


@dataclass(frozen=True)
class Family:
    """How the agents of one family meet a task and act on it.

    Args:
        name: of the family.
        unit: of adaptation, in the singular, such as "gradient step".
        initial_parameters: gives the parameters before training, by name, for spaces, layers and
            a configuration; θ is the vector of them.
        meet: runs in a shard: collects on the shard's tasks before adaptation and after each unit,
            and gives statistics of each task. How many units there are is the configuration's
            `adaptation_steps`, or `test_adaptation_steps` where the key begins with Split.TEST.
            Where `Shard.adapts_alone` says so, nothing is collected after the last unit. It begins
            with `Shard.begin`, and is marked by `metarl.workers.shards.starts_anew`.
        adapted: gives for each task that the shard has met the state after 0, 1, … K units, from
            what `meet` has left in the shard and the state it was given.
        actor: gives what acts by a state.
        collects_in_shards: False: in training the agent steps environments of its own, in this
            process, and no worker is started for it.
        acts_by_samples: an episode acts by one sample of what the task may be, so that it takes
            several to see what the agent has become.
        bytes_to_meet: estimates the most that `meet` takes on a device, in bytes, in all workers
            together; None: nobody knows, and no evaluation is refused for want of a card's memory.
        policy: makes of what spaces and layers give the policy that acts in the shards.
        carried_bytes: the most that the agent's experience may take; a checkpoint has room for it.
        tasks_together: in training, tasks that lie in one shard because the agent computes on them
            as one; more workers than there are such groups are not started.

    """

    name: str
    unit: str
    initial_parameters: Callable[[PolicySpec, Config], Parameters]
    meet: Callable[..., list[TaskStatistics]]
    adapted: Callable[[Shard, AgentState], list[list[AgentState]]]
    actor: Callable[[PolicySpec, Config, AgentState], Actor]
    collects_in_shards: bool = True
    tasks_together: int = 1
    carried_bytes: int = 0
    acts_by_samples: bool = False
    bytes_to_meet: Callable[[Sizes], int] | None = None
    policy: Callable[[PolicySpec, Config], PolicySpec] = _as_it_is


@runtime_checkable
class Agent(Protocol):
    """A family, and how it is improved.

    One that says what that takes on a device is a `metarl.agent.device_memory.SizedAgent` as well.
    """

    family: Family

    def __init__(self, settings: Any, config: Config) -> None:
        """Take the agent's settings and the run's configuration."""

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take an outer step on the experience in the shards.

        Called after the family's `meet` has been mapped over the workers. Gives the new state and
        what the metrics are to say of the step.
        """
