"""The configuration of reinforcement learning: what a preset fixes and what flags change."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

from metarl.config.base import ExperimentConfig
from metarl.config.fields import NotAFlag, require
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """Reinforcement learning: environment, protocol and hyperparameters."""

    env_id: str
    """The environment, as package:namespace/Name-v0."""
    horizon: int
    """Longest episode, in environment steps."""
    env_steps: int = 0
    """Environment steps of the whole training: it ends with the iteration that reaches them, and
    `iterations` counts for nothing. 0: `iterations` counts."""
    env_kwargs: NotAFlag[dict[str, Any]] = field(default_factory=dict)
    """Keyword arguments of the environment's constructor."""
    physics: Literal["mujoco", "warp"] = "mujoco"
    """What simulates bodies: MuJoCo on the CPU; or mujoco_warp, in single precision, on `device`.
    """
    gpus_per_worker: float = 0.0
    """GPUs that each worker of a Ray cluster has for itself: 1, or a part, such as 0.5, of one that
    several workers share. 0: 1 where `device` is a GPU, else none."""
    train_range: NotAFlag[dict[str, Any]] = field(default_factory=dict)
    """Where the tasks of training lie: `low` and `high`, an element for each of a task's; or `set`,
    the name of a set of tasks that the environment has. Empty: the environment's own distribution.
    """
    training_tasks: int = 0
    """So many tasks are drawn for training, once, and meta-batches go through them again and again,
    in a new order each time; 0: every meta-batch has new ones."""
    test_ranges: NotAFlag[dict[str, Any]] = field(default_factory=dict)
    """Other ranges of held-out tasks, each with a name, and `low` and `high` or `set`; `metarl
    evaluate --task-range NAME` adapts to them."""
    observe_task: bool = False
    """Append the task to the observation, as the oracle needs; such a policy never adapts."""
    initial_policy: str = ""
    """A stable-baselines3 model (.zip) whose policy training starts from."""
    agent: str = "maml-trpo"
    """The agent that makes the outer step."""
    agent_settings: NotAFlag[dict[str, Any]] = field(default_factory=dict)
    """The agent's own settings."""
    tasks_per_batch: int = 40
    """Tasks in a meta-batch."""
    episodes_per_task: int = 20
    """Episodes per task and adaptation phase, side by side; or trials of an agent with a memory."""
    inner_learning_rate: float = 0.1
    """Step size α of the inner loop in training."""
    on_env_error: Literal["stop", "retry", "skip-task"] = "stop"
    """When an environment fails or gives numbers that are not finite: stop the run; try the task
    again, three times in all; or go on without the task, which the metrics then count (an
    evaluation stops)."""
    discount: float = 0.99
    """Discount factor γ."""
    gae_lambda: float = 1.0
    """λ of generalised advantage estimation."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Nonlinearity between the policy's layers."""
    initial_std: float = 1.0
    """Initial standard deviation of a Gaussian policy, in units of the policy's action."""
    minimum_std: float = 1e-6
    """Lower bound of the standard deviation of a Gaussian policy."""
    action_scale: float = 1.0
    """The policy's action that means the environment's bound; [-scale, scale] is mapped to it."""
    image_scale: float = 0.0
    """What the elements of image observations are divided by; 0: the largest that the observation
    space allows, if it has a bound."""
    test_tasks: int = 40
    """Held-out tasks of an evaluation."""
    test_episodes_per_task: int = 20
    """Episodes per held-out task and adaptation phase."""
    test_query_episodes: int = 0
    """Episodes per held-out task after the last inner step, which the results after adaptation come
    from; 0: as many as in the other phases."""
    test_adaptation_steps: int = 3
    """Units of adaptation in evaluation: inner gradient steps, or episodes of a trial."""
    test_learning_rates: tuple[float, ...] = ()
    """Step sizes α in evaluation, one a step, the last repeated; empty: the inner learning rate,
    then half of it (Finn et al. 2017); cavia keeps it."""
    published: NotAFlag[dict[str, Any]] = field(default_factory=dict)
    """Mean returns that the source gives after 0, 1, … adaptation steps, by agent; for figures."""
    checkpoint_interval: int = 10
    """Iterations between two checkpoints."""
    max_rejections: int = 20
    """Outer steps rejected in a row after which a run ends with a diagnosis; 0: it never does."""

    settings_field: ClassVar[str] = "agent_settings"
    same_tasks: ClassVar[tuple[str, ...]] = (
        "env_id",
        "env_kwargs",
        "horizon",
        "train_range",
        "test_ranges",
    )
    may_change_on_resume: ClassVar[frozenset[str]] = frozenset(
        {
            "iterations",
            "env_steps",
            "checkpoint_interval",
            "max_rejections",
            "on_env_error",
            "gpus_per_worker",
        }
    )
    test_options: ClassVar[Mapping[str, str]] = {
        "tasks": "test_tasks",
        "adaptation_steps": "test_adaptation_steps",
        "episodes_per_task": "test_episodes_per_task",
        "query_episodes": "test_query_episodes",
    }

    def __post_init__(self) -> None:
        for name, at_least in _MINIMUM.items():
            require(self, name, getattr(self, name) >= at_least, f"must be at least {at_least}")
            at_most = _MAXIMUM.get(name, _LARGEST)
            require(self, name, getattr(self, name) <= at_most, f"must be at most {at_most}")
        for name in ("inner_learning_rate", "initial_std", "minimum_std", "action_scale"):
            value = getattr(self, name)
            require(self, name, 0 < value < math.inf, "must be positive and finite")
        reason = f"is below minimum_std = {self.minimum_std}, where no gradient could move it"
        require(self, "initial_std", self.initial_std >= self.minimum_std, reason)
        image_scale_is_good = 0 <= self.image_scale < math.inf
        require(self, "image_scale", image_scale_is_good, "must be 0 or positive, and finite")
        for name in ("discount", "gae_lambda", "gpus_per_worker"):
            require(self, name, 0 <= getattr(self, name) <= 1, "must lie between 0 and 1")
        for name, values in (
            ("hidden_sizes", self.hidden_sizes),
            ("test_learning_rates", self.test_learning_rates),
        ):
            good = all(0 < value < math.inf for value in values)
            require(self, name, good, "must all be positive and finite")
        weights = sum(before * after for before, after in pairwise((1, *self.hidden_sizes)))
        too_many = f"makes more than {_MOST_WEIGHTS} weights"
        require(self, "hidden_sizes", weights <= _MOST_WEIGHTS, too_many)

        whole = self.training_tasks == 0 or self.training_tasks >= self.tasks_per_batch
        reason = f"are fewer than tasks_per_batch = {self.tasks_per_batch}"
        require(self, "training_tasks", whole, reason)
        for name, task_range in {"train_range": self.train_range, **self.test_ranges}.items():
            if task_range or name != "train_range":
                _check_range(name, task_range)
        for agent, returns in self.published.items():
            numbers = isinstance(returns, list) and all(
                isinstance(number, int | float) for number in returns
            )
            if not numbers:
                raise ConfigError(f"published {agent} = {returns!r} must be a list of numbers")

    @property
    def name(self) -> str:
        """The preset's name or, where the run started from none, the environment's."""
        return self.preset or environment_name(self.env_id)

    @property
    def title(self) -> str:
        """The name or, where the run has another environment than the preset, the environment's."""
        elsewhere = self.description == self.description_elsewhere
        return environment_name(self.env_id) if elsewhere else self.name

    @property
    def description_elsewhere(self) -> str:
        """The description of a run on another environment than the preset's."""
        return f"{environment_name(self.env_id)}, by the values of preset {self.preset}"

    def is_trained(self, iteration: int, env_steps: int) -> bool:
        """Say whether so many iterations and environment steps are the whole training."""
        if self.env_steps:
            return env_steps >= self.env_steps
        return super().is_trained(iteration, env_steps)

    def percent_trained(self, iteration: int, env_steps: int) -> float:
        """Give how much of the whole training so many iterations and environment steps are."""
        if self.env_steps:
            return min(100.0, 100 * env_steps / self.env_steps)
        return super().percent_trained(iteration, env_steps)

    def expected_iterations(self, iteration: int, env_steps: int, latest: int) -> int:
        """Give the iterations of the whole training, if all take as many env steps as the last."""
        if not self.env_steps:
            return super().expected_iterations(iteration, env_steps, latest)
        return iteration + max(0, -(-(self.env_steps - env_steps) // max(1, latest)))

    @property
    def most_rejections(self) -> int:
        """Outer steps rejected in a row after which a run ends with a diagnosis."""
        return self.max_rejections

    @property
    def never_adapts(self) -> bool:
        """Whether the agent observes its task, as an oracle does."""
        return self.observe_task

    @property
    def trained_on(self) -> str:
        """What the run was trained on, for messages."""
        return f"preset {self.preset!r}" if self.preset else f"{self.env_id} without a preset"

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """α for each inner step of training."""
        return (self.inner_learning_rate,) * self.adaptation_steps

    def learning_rates_at_test(self, steps: int) -> tuple[float, ...]:
        """Give α for each of `steps` inner steps of an evaluation."""
        halved = (self.inner_learning_rate, self.inner_learning_rate / 2)
        rates = self.test_learning_rates or halved
        return tuple(rates[min(step, len(rates) - 1)] for step in range(steps))


def current_env_id(env_id: str) -> str:
    """Give the id of today for one that files of version 0.1 name."""
    module, colon, name = env_id.partition(":")
    return f"{_MOVED.get(module, module)}{colon}{name}"


def environment_name(env_id: str) -> str:
    """Give the last part of an environment's id: of package:namespace/Name-v0, Name-v0."""
    return env_id.rpartition(":")[2].rpartition("/")[2]


_MOVED = {"metarl.wrapped": "metarl.tasks"}
"""Modules that register environments, and where they are now."""
_MINIMUM = {
    "horizon": 1,
    "iterations": 1,
    "env_steps": 0,
    "seed": 0,
    "tasks_per_batch": 1,
    "training_tasks": 0,
    "episodes_per_task": 1,
    "adaptation_steps": 0,
    "test_tasks": 1,
    "test_episodes_per_task": 1,
    "test_query_episodes": 0,
    "test_adaptation_steps": 0,
    "checkpoint_interval": 1,
    "max_rejections": 0,
}
_LARGEST = 2**31 - 1
_MAXIMUM = {"seed": 2**63 - 1, "env_steps": 2**53 - 1}
_MOST_WEIGHTS = 2**28


def _check_range(name: str, task_range: Any) -> None:
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"task range {name!r} must have a name of letters, digits, - and _")
    if isinstance(task_range, dict) and set(task_range) == {"set"}:
        if not isinstance(task_range["set"], str):
            raise ConfigError(f"task range {name} = {task_range!r}: set must be a name")
        return
    numbers = (
        isinstance(task_range, dict)
        and set(task_range) == {"low", "high"}
        and all(isinstance(ends, list | tuple) for ends in task_range.values())
        and len(task_range["low"]) == len(task_range["high"])
        and all(isinstance(end, int | float) for ends in task_range.values() for end in ends)
    )
    if not numbers or any(
        not low < high for low, high in zip(task_range["low"], task_range["high"], strict=True)
    ):
        raise ConfigError(
            f"task range {name} = {task_range!r} must have low and high, two lists of equally many "
            "numbers, low below high; or set, the name of a set of the environment's"
        )
