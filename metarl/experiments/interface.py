"""What training, evaluation and the verbs know of an experiment, whatever it is about.

There are two kinds, and what differs between them stands here: `environment_experiment` is
reinforcement learning on task-distributed environments, `problem_experiment` is regression and
classification. `build_experiment` tells them apart by their configuration.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from metarl.agent.protocol import Agent, AgentState, Record, TrainingState
from metarl.experiments.curves import AdaptationCurve, SeedStatistics
from metarl.learning.adaptation import Parameters
from metarl.workers.process_pool import Supervision
from metarl.workers.shards import Workers

Progress = Callable[[int, int], None]
"""Told how many of how many held-out tasks are done."""


@dataclass(frozen=True)
class EvaluationCase:
    """Held-out tasks of one kind, that policies are compared on."""

    label: str
    """What tells it from the other cases of the same sheet; empty: there is only one."""
    tasks: Any
    """The tasks, or what they are drawn by."""


@dataclass(frozen=True)
class EvaluationSheet:
    """The cases of one table, figure and file."""

    name: str
    """Empty: the tasks are distributed as in training."""
    title: str
    """What is measured, on which tasks."""
    cases: tuple[EvaluationCase, ...]
    published: Mapping[str, Mapping[str, Mapping[int, float]]]
    """What the source gives: by case, by agent, the mean after so many units of adaptation."""


@dataclass(frozen=True)
class EvaluatedAgent:
    """One agent on one case: the curve of each run, and of all of them together."""

    agent: str
    case: str
    """The case's label."""
    run_dirs: tuple[str | None, ...]
    """None: a policy as it was initialised."""
    training_seeds: tuple[int, ...]
    iterations: tuple[int, ...]
    """How long each run was trained."""
    learning_rates: tuple[float, ...]
    """α of each step; empty: none is taken, or it is learned for each parameter."""
    curves: tuple[AdaptationCurve, ...]
    joint: AdaptationCurve
    seeds: SeedStatistics | None = None
    """What several runs say of each other."""


@runtime_checkable
class Experiment(Protocol):
    """One experiment, with all that it takes to train and to evaluate it."""

    @property
    def config(self) -> Any:
        """Its configuration, a `metarl.config.base.ExperimentConfig`."""

    @property
    def agent(self) -> Agent:
        """Who learns."""

    @property
    def initial(self) -> Parameters:
        """What is learned, by name, before training."""

    @property
    def about(self) -> Mapping[str, str]:
        """What a checkpoint says that it is of."""

    @property
    def packages(self) -> list[str]:
        """The installed packages whose versions the numbers depend on, beside the usual ones."""

    @property
    def measure(self) -> str:
        """What is measured on held-out tasks, in words."""

    def first_state(self) -> TrainingState:
        """Give the state before the first iteration."""

    def require_memory(self, workers: int | str) -> None:
        """Refuse what cannot fit into memory, with an estimate.

        Raises:
            ConfigError: it cannot.

        """

    def start_workers(self, count: int | str, supervision: Supervision | None = None) -> Workers:
        """Start the pool that trains."""

    def start_test_workers(
        self, count: int | str, supervision: Supervision | None = None
    ) -> Workers:
        """Start a pool that evaluates."""

    def sample_tasks(self, iteration: int) -> tuple[Sequence[Any], tuple[int, ...]]:
        """Draw the tasks of a meta-batch; give them and the key of their random streams."""

    def summarise(self, tasks: Sequence[Any], met: Sequence[Any]) -> Record:
        """Say in metrics how the agent did on the tasks that it has met.

        Raises:
            TaskError: the environments of all tasks failed.

        """

    def describe(self, record: Record, env_steps: int) -> str:
        """Say the numbers of a record in a line, for who watches; `env_steps` took so many."""

    def evaluation_sheets(
        self, wanted: str = "", given: Sequence[Any] | None = None
    ) -> list[EvaluationSheet]:
        """Give what an evaluation measures: on one of several ranges of tasks, or on given ones."""

    def evaluate(
        self,
        workers: Workers,
        state: AgentState,
        case: EvaluationCase,
        progress: Progress | None = None,
    ) -> AdaptationCurve:
        """Adapt to every task of a case."""

    def learning_rates_at_test(self, state: AgentState, case: EvaluationCase) -> tuple[float, ...]:
        """Give α of each step of an evaluation, where it is one number."""

    def evaluation_record(
        self, sheet: EvaluationSheet, found: Sequence[EvaluatedAgent]
    ) -> dict[str, Any]:
        """Give an evaluation as JSON holds it."""
