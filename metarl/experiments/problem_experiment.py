"""Regression and classification, as experiments: their tasks are data sets, drawn and not met."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch

from metarl.agent.protocol import AgentState, Family, Metrics, Record, TrainingState
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.curves import AdaptationCurve, interval_to_json
from metarl.experiments.interface import (
    EvaluatedAgent,
    EvaluationCase,
    EvaluationSheet,
    Progress,
)
from metarl.experiments.problem_evaluation import (
    MEASURES,
    Fits,
    describe_shots,
    evaluate,
    fits,
    parameters_at_test,
)
from metarl.experiments.problem_learner import Learner, initial_state, outer_steps
from metarl.foundation.errors import ConfigError
from metarl.foundation.memory import require_room
from metarl.foundation.stopwatch import PhaseSeconds
from metarl.foundation.threads import one_thread
from metarl.foundation.wording import counted
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import CONTEXT
from metarl.tasks.problems import training_episodes
from metarl.workers.process_pool import Supervision
from metarl.workers.shards import Workers

R = TypeVar("R")


class DataShard:
    """What `metarl.workers.shards.Shard` is to environments: here, the learner and its numbers."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.iterations: Sequence[int] = ()
        """Of the meta-batches that the next outer steps are taken on."""


class ThisProcess:
    """The pool of a supervised problem: one thread of this process does all the work."""

    count = 1

    def __init__(self, learner: Learner) -> None:
        self._shard = DataShard(learner)
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def map(self, function: Callable[..., list[R]], *args: Any) -> list[R]:
        """Run `function(shard, *args)`."""
        return function(self._shard, *args)

    def take_profile(self) -> PhaseSeconds:
        """Give nothing: there are no phases."""
        return {}

    def close(self) -> None:
        """Give torch its threads back."""
        torch.set_num_threads(self._threads)


def draw(
    shard: DataShard, state: AgentState, iterations: Sequence[int], key: tuple[int, ...]
) -> list[Any]:
    """Note which meta-batches come next; their data are drawn when they are learned from."""
    shard.iterations = iterations
    return []


def learn(shard: DataShard, state: AgentState) -> list[tuple[AgentState, Metrics]]:
    """Take an outer step on each meta-batch that comes next."""
    return [outer_steps(shard.learner, state, shard.iterations)]


def _nothing_acts(*_: Any) -> NoReturn:
    raise ConfigError("a run on a supervised problem has no policy: there is nothing that acts")


DATA = Family(
    name="gradient",
    unit="gradient step",
    initial_parameters=_nothing_acts,
    meet=draw,
    adapted=_nothing_acts,
    actor=_nothing_acts,
)


class ProblemAgent:
    """Learns a supervised problem by Adam, through the inner loop or, as the baselines, without."""

    family = DATA

    def __init__(self, learner: Learner, config: SupervisedConfig) -> None:
        self._learner = learner
        self._config = config

    def initial_state(self, theta: Any) -> AgentState:
        """Give the state before the first iteration."""
        return initial_state(self._learner)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take the outer steps that one record of the metrics stands for."""
        ((learned, metrics),) = workers.map(learn, state)
        return (state if self._config.agent == "random" else learned), metrics


@dataclass(frozen=True)
class ProblemExperiment:
    """A problem, and a model that learns it."""

    learner: Learner

    @property
    def config(self) -> SupervisedConfig:
        """The configuration."""
        return self.learner.config

    @property
    def agent(self) -> ProblemAgent:
        """Who learns."""
        return ProblemAgent(self.learner, self.config)

    @property
    def initial(self) -> Parameters:
        """The model's parameters before training."""
        return self.learner.initial

    @property
    def about(self) -> dict[str, str]:
        """What a checkpoint says that it is of."""
        return {"agent": self.config.agent, "problem": self.config.problem}

    @property
    def packages(self) -> list[str]:
        """None beside the usual ones."""
        return []

    @property
    def measure(self) -> str:
        """Mean squared error or accuracy."""
        return MEASURES[self.learner.problem.loss]

    def first_state(self) -> TrainingState:
        """Give the state before the first iteration.

        Raises:
            ConfigError: the problem has not the data for it.

        """
        config = self.config
        # Data that are not there are told before the run folder is made.
        with one_thread():
            training_episodes(self.learner.problem, config.seed, 0, 1, config.shots, config.queries)
        return TrainingState(initial_state(self.learner), 0, 0)

    def require_memory(self, workers: int | str) -> None:
        """Refuse a meta-batch whose data cannot fit.

        Raises:
            ConfigError: with an estimate, and what to change.

        """
        config, problem = self.config, self.learner.problem
        classes = problem.outputs if problem.loss == "cross-entropy" else 1
        examples = config.tasks_per_batch * (config.shots + config.queries) * classes
        require_room(
            # As numpy has them, and as torch does.
            examples * (math.prod(problem.input_shape) + 1) * 2 * 8,
            f"the data of tasks_per_batch = {config.tasks_per_batch} × (shots = {config.shots} + "
            f"queries = {config.queries})" + f" × {classes} classes" * (classes > 1),
            "take fewer tasks or examples",
        )

    def start_workers(self, count: int | str, supervision: Supervision | None = None) -> Workers:
        """Start what trains: this process, whatever `count` is."""
        return ThisProcess(self.learner)

    start_test_workers = start_workers

    def sample_tasks(self, iteration: int) -> tuple[Sequence[int], tuple[int, ...]]:
        """Give the numbers of the meta-batches up to an iteration that makes a record."""
        first = iteration - self.config.record_interval + 1
        return range(first, iteration + 1), (iteration,)

    def summarise(self, tasks: Sequence[Any], met: Sequence[Any]) -> Record:
        """Say nothing: the outer steps measure how the model does."""
        return {}

    def describe(self, record: Record, env_steps: int) -> str:
        """Say losses and speed in a line."""
        return (
            f"loss {record['pre_adaptation_loss']:.4f} → {record['post_adaptation_loss']:.4f}   "
            f"{1e3 * record['iteration_seconds']:.1f} ms an iteration"
        )

    def evaluation_sheets(
        self, wanted: str = "", given: Sequence[Any] | None = None
    ) -> list[EvaluationSheet]:
        """Give one sheet with a case for each number of shots.

        Raises:
            ConfigError: a range of tasks is wanted, which problems do not have.

        """
        config = self.config
        if given is not None:
            raise ConfigError(f"tasks of {config.trained_on} are data sets, and not to be listed")
        if wanted:
            raise ConfigError(f"there is no task range {wanted!r}: {config.trained_on} has none")
        cases = tuple(
            EvaluationCase(describe_shots(count), count) for count in config.shots_at_test
        )
        published = {
            describe_shots(count): config.published_measures(count)
            for count in config.shots_at_test
        }
        which = counted(config.test_tasks, "held-out task")
        title = f"{config.preset}: {self.measure} on {which}"
        return [EvaluationSheet("", title, cases, published)]

    def evaluate(
        self,
        workers: Workers,
        state: AgentState,
        case: EvaluationCase,
        progress: Progress | None = None,
    ) -> AdaptationCurve:
        """Adapt to the support sets of held-out tasks and measure on their query sets."""
        return evaluate(self.learner, state, case.tasks, self.config.seed)

    def learning_rates_at_test(self, state: AgentState, case: EvaluationCase) -> tuple[float, ...]:
        """Give α of each step of an evaluation, where it is one number."""
        _, rates = parameters_at_test(self.learner, state, case.tasks, self.config.seed)
        told = [rate.get(CONTEXT) if isinstance(rate, Mapping) else rate for rate in rates]
        return tuple(rate for rate in told if isinstance(rate, float))

    def evaluation_record(
        self, sheet: EvaluationSheet, found: Sequence[EvaluatedAgent]
    ) -> dict[str, Any]:
        """Give an evaluation as JSON holds it."""
        shots = {case.label: case.tasks for case in sheet.cases}
        return {
            "preset": self.config.preset,
            "problem": self.config.problem,
            "problem_settings": dataclasses.asdict(self.learner.problem),  # type: ignore[call-overload]
            "measure": self.measure,
            "seed": self.config.seed,
            "tasks": self.config.test_tasks,
            "queries": self.config.test_queries,
            "curves": [_as_json(one, shots[one.case]) for one in found],
        }

    def fits(self, state: AgentState, steps: Sequence[int], tasks: int, queries: int) -> Fits:
        """Give a model's outputs on a few held-out tasks, for a figure."""
        config = self.config
        shots = config.shots_at_test[0]
        return fits(self.learner, state, shots, steps, tasks, queries, config.seed)


def _as_json(found: EvaluatedAgent, shots: int) -> dict[str, Any]:
    joint = found.joint
    described = {
        "agent": found.agent,
        "shots": shots,
        "iteration": max(found.iterations),
        "learning_rates": list(found.learning_rates),
        "adaptation_steps": list(range(len(joint.mean))),
        "mean": joint.mean.tolist(),
        "ci95": interval_to_json(joint.ci95),
        "median": np.median(joint.per_task, axis=0).tolist(),
    }
    if found.seeds is not None:
        described["over_seeds"] = {"mean_ci95": found.seeds.mean_ci95.tolist()}
        described["training_seeds"] = list(found.training_seeds)
    return described
