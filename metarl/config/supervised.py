"""The configuration of a run on a supervised problem; light, as `metarl.config.reinforcement`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from metarl.config.base import ExperimentConfig
from metarl.config.fields import NotAFlag, read_fields, require
from metarl.config.reinforcement import Config, current_env_id
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig(ExperimentConfig):
    """Regression or classification: problem, protocol and hyperparameters."""

    problem: NotAFlag[str]
    """The problem, as `metarl list` names it; or "module:Class" of one that is not installed."""
    problem_settings: NotAFlag[dict[str, Any]] = field(default_factory=dict)
    """The problem's own settings."""
    agent: Literal["maml", "cavia", "pretrained", "oracle", "random"] = "maml"
    """maml learns to adapt; cavia likewise, and adapts the context alone; pretrained learns all
    tasks together and adapts only at test; oracle is told the task and never adapts; random learns
    nothing."""
    tasks_per_batch: int = 25
    """Tasks in a meta-batch."""
    shots: int = 10
    """Examples of a task that adaptation sees in training; of each class, for a classification."""
    queries: int = 10
    """Examples of a task that the adapted model is judged by in training; likewise."""
    inner_learning_rate: float = 0.01
    """Step size α of the inner loop."""
    learn_step_sizes: bool = False
    """Learn α as well, for each parameter (Meta-SGD, Li et al. 2017); it starts as the number."""
    outer_learning_rate: float = 1e-3
    """Step size of Adam, the outer optimiser."""
    drop_after: int = 0
    """Iterations after which Adam's step size is a tenth of that; 0: it stays."""
    max_gradient_norm: float = 0.0
    """A longer meta-gradient is shortened to this; 0: none is."""
    network: Literal["fully-connected", "convolutional"] = "fully-connected"
    """Fully connected layers, or 3×3 convolutions of stride 2 on images."""
    hidden_sizes: tuple[int, ...] = (40, 40)
    """Widths of the hidden layers, or the filters of each convolution."""
    context_parameters: int = 0
    """Numbers that the network sees beside every input of a task, 0 at first: beside the inputs of
    fully connected layers; of convolutions they scale and shift the features of the third, or last.
    """
    batch_norm: bool = False
    """Normalise by the batch's own statistics, at test as well (transductive)."""
    test_tasks: int = 600
    """Held-out tasks of an evaluation."""
    test_shots: tuple[int, ...] = ()
    """Examples that adaptation sees in an evaluation, each number in turn; empty: as in training.
    """
    test_queries: int = 100
    """Examples of a held-out task that the adapted model is judged by; of each class, likewise."""
    test_adaptation_steps: int = 10
    """Inner gradient steps in evaluation; may be more than in training."""
    test_learning_rates: tuple[float, ...] = ()
    """Step sizes α in evaluation, one a step, the last repeated; empty: as in training. A learned α
    is taken in the same proportions."""
    published: NotAFlag[dict[str, Any]] = field(default_factory=dict)
    """What the source gives: by shots a table, by agent, of adaptation steps and measures."""
    record_interval: int = 100
    """Iterations that one record of the metrics stands for."""
    checkpoint_interval: int = 1000
    """Iterations between two checkpoints."""

    settings_field: ClassVar[str] = "problem_settings"
    same_tasks: ClassVar[tuple[str, ...]] = ("problem", "problem_settings")
    may_change_on_resume: ClassVar[frozenset[str]] = frozenset(
        {"iterations", "checkpoint_interval"}
    )
    test_options: ClassVar[Mapping[str, str]] = {
        "tasks": "test_tasks",
        "adaptation_steps": "test_adaptation_steps",
        "shots": "test_shots",
        "queries": "test_queries",
    }

    def __post_init__(self) -> None:
        for name, at_least in _MINIMUM.items():
            require(self, name, getattr(self, name) >= at_least, f"must be at least {at_least}")
        for name in ("inner_learning_rate", "outer_learning_rate"):
            value = getattr(self, name)
            require(self, name, 0 < value < math.inf, "must be positive and finite")
        norm_is_good = 0 <= self.max_gradient_norm < math.inf
        require(self, "max_gradient_norm", norm_is_good, "must be 0 or positive, and finite")
        for name in ("hidden_sizes", "test_shots", "test_learning_rates"):
            good = all(0 < value < math.inf for value in getattr(self, name))
            require(self, name, good, "must all be positive and finite")
        for name in ("iterations", "checkpoint_interval"):
            whole = getattr(self, name) % self.record_interval == 0
            reason = f"must be a multiple of record_interval = {self.record_interval}"
            require(self, name, whole, reason)
        if self.network == "convolutional" and not self.hidden_sizes:
            raise ConfigError("hidden_sizes = () leaves a convolutional network no convolution")
        adapts = self.agent in ("maml", "cavia")
        steps_are_good = self.adaptation_steps > 0 or not adapts
        reason = f"leaves agent {self.agent} no inner loop"
        require(self, "adaptation_steps", steps_are_good, reason)
        if self.agent == "cavia":
            context_is_there = self.context_parameters > 0
            reason = "leaves agent cavia nothing to adapt; it needs 1 at least"
            require(self, "context_parameters", context_is_there, reason)
            reason = "is not for agent cavia: its context's size learns to make up for α"
            require(self, "learn_step_sizes", not self.learn_step_sizes, reason)
        try:
            for shots in self.published:
                self.published_measures(int(shots))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            reason = "must give by shots, and by agent, steps and as many measures"
            raise ConfigError(f"published = {self.published!r} {reason}") from error

    @property
    def iterations_per_record(self) -> int:
        """Iterations that one record of the metrics stands for."""
        return self.record_interval

    @property
    def shots_at_test(self) -> tuple[int, ...]:
        """Each number of shots that an evaluation adapts to."""
        return self.test_shots or (self.shots,)

    def learning_rates_at_test(self, steps: int) -> tuple[float, ...]:
        """Give α for each of `steps` inner steps of an evaluation."""
        rates = self.test_learning_rates or (self.inner_learning_rate,)
        return tuple(rates[min(step, len(rates) - 1)] for step in range(steps))

    def published_measures(self, shots: int) -> dict[str, dict[int, float]]:
        """Give the source's numbers for so many shots: by agent, and by adaptation steps."""
        return {
            agent: {
                int(step): float(measure)
                for step, measure in zip(numbers["steps"], numbers["measures"], strict=True)
            }
            for agent, numbers in self.published.get(str(shots), {}).items()
        }


_MINIMUM = {
    "record_interval": 1,
    "iterations": 1,
    "seed": 0,
    "tasks_per_batch": 1,
    "shots": 1,
    "queries": 1,
    "adaptation_steps": 0,
    "context_parameters": 0,
    "drop_after": 0,
    "test_tasks": 2,
    "test_queries": 1,
    "test_adaptation_steps": 0,
    "checkpoint_interval": 1,
}


def read_either(table: Mapping[str, Any], origin: str) -> Config | SupervisedConfig:
    """Build the configuration that a table is of: one that names a problem, or an environment.

    Args:
        table: values by field name.
        origin: where the table comes from, for messages.

    Raises:
        ConfigError: as for `metarl.config.fields.read_fields`.

    """
    supervised = isinstance(table, Mapping) and "problem" in table
    if isinstance(table, Mapping) and isinstance(table.get("env_id"), str):
        table = {**table, "env_id": current_env_id(table["env_id"])}
    config: Config | SupervisedConfig
    config = read_fields(SupervisedConfig if supervised else Config, table, origin)
    return config
