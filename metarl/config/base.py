"""What the configurations of all experiments have in common. Light: no torch."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from metarl.config.fields import Dtype, NotAFlag, converted
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """One experiment: what is learned, by which protocol, with which hyperparameters."""

    preset: NotAFlag[str]
    """The preset this configuration started from; empty: none."""
    description: NotAFlag[str]
    """What is learned, in one line."""
    source: NotAFlag[str]
    """Where task, protocol and hyperparameters come from."""
    iterations: int
    """Meta-iterations in total; a resumed run goes on to this number."""
    agent: str
    """Who learns."""
    seed: int = 1
    """The one integer that all random streams come from."""
    tasks_per_batch: int
    """Tasks in a meta-batch."""
    adaptation_steps: int = 1
    """Units of adaptation in training: inner gradient steps, or, for an agent with a memory, the
    episodes of a trial before its last."""
    first_order: bool = False
    """Leave second derivatives out of the meta-gradient (first-order MAML)."""
    hidden_sizes: tuple[int, ...]
    """Widths of the hidden layers."""
    test_tasks: int
    """Held-out tasks of an evaluation."""
    test_adaptation_steps: int
    """Units of adaptation in evaluation; may be more than in training."""
    published: NotAFlag[dict[str, Any]] = dataclasses.field(default_factory=dict)
    """What the source gives, for figures."""
    checkpoint_interval: int
    """Iterations between two checkpoints."""
    dtype: Dtype = "float32"
    """Floating-point type of what is learned."""
    device: str = "cpu"
    """Torch device of what is learned."""

    settings_field: ClassVar[str]
    """The field that holds the settings of agent or problem, a table of their own."""
    same_tasks: ClassVar[tuple[str, ...]]
    """Runs that are equal in these fields are trained and tested on the same tasks."""
    may_change_on_resume: ClassVar[frozenset[str]]
    """Fields that do not change what a run computes."""
    test_options: ClassVar[Mapping[str, str]]
    """Options of an evaluation, and the fields that they change."""

    @property
    def name(self) -> str:
        """The preset's name or, where the run started from none, the environment's."""
        return self.preset

    @property
    def title(self) -> str:
        """What tables and figures are titled by."""
        return self.name

    @property
    def iterations_per_record(self) -> int:
        """Iterations that one record of the metrics stands for."""
        return 1

    def is_trained(self, iteration: int, env_steps: int) -> bool:
        """Say whether so many iterations and environment steps are the whole training."""
        return iteration >= self.iterations

    def percent_trained(self, iteration: int, env_steps: int) -> float:
        """Give how much of the whole training so many iterations and environment steps are."""
        return min(100.0, 100 * iteration / self.iterations)

    def expected_iterations(self, iteration: int, env_steps: int, latest: int) -> int:
        """Give the iterations of the whole training, as far as they can be known.

        Args:
            iteration: those done.
            env_steps: environment steps done.
            latest: environment steps since the last record.

        """
        return self.iterations

    @property
    def most_rejections(self) -> int:
        """Outer steps rejected in a row after which a run ends with a diagnosis; 0: never."""
        return 0

    @property
    def never_adapts(self) -> bool:
        """Whether the agent knows its task, and takes no step at test."""
        return False

    @property
    def trained_on(self) -> str:
        """What the run was trained on, for messages."""
        return f"preset {self.preset!r}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of agent or problem."""
        table: dict[str, Any] = getattr(self, self.settings_field)
        return table

    def flat(self) -> dict[str, Any]:
        """Give all values by name, the settings of agent or problem among them."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**fields.pop(self.settings_field), **fields}

    def to_json(self) -> str:
        """Give the configuration as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


WORDS = frozenset({"description", "source", "published"})
"""Fields of a run that only say something of it."""

C = TypeVar("C", bound=ExperimentConfig)


def with_settings(config: C, settings: Mapping[str, Any]) -> C:
    """Give the configuration with other settings of agent or problem."""
    changes: dict[str, Any] = {config.settings_field: dict(settings)}
    return dataclasses.replace(config, **changes)


def tested(config: C, seed: int, options: Mapping[str, Any]) -> C:
    """Give the configuration of an evaluation.

    Args:
        config: of the run.
        seed: of the held-out tasks.
        options: by the names of `test_options`; None: the preset's.

    Raises:
        ConfigError: an option has no meaning for such a run, or an impossible value.

    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in config.test_options:
            raise ConfigError(
                f"{name} means nothing for a run of {config.trained_on}; what can be set there: "
                f"{', '.join(config.test_options)}"
            )
    fields = {"seed": ("seed", seed)}
    fields |= {config.test_options[name]: (name, value) for name, value in given.items()}
    changes = {
        field: converted(type(config), field, value, said)
        for field, (said, value) in fields.items()
    }
    return dataclasses.replace(config, **changes)


def tested_like(config: C, other: ExperimentConfig) -> C:
    """Give the configuration with another's evaluation protocol; who never adapts takes no step."""
    changes = {name: getattr(other, name) for name in config.test_options.values()}
    if config.never_adapts:
        changes["test_adaptation_steps"] = 0
    return dataclasses.replace(config, seed=other.seed, **changes)


def refuse_changes(recorded: ExperimentConfig, wanted: ExperimentConfig) -> None:
    """Refuse to go on with a run by another configuration.

    Raises:
        ConfigError: a value differs that may not.

    """
    for change in forbidden_changes(recorded, wanted):
        raise ConfigError(
            f"a resumed run keeps its configuration, but {change}; start a new run in another "
            "--run-dir instead"
        )


def forbidden_changes(recorded: ExperimentConfig, wanted: ExperimentConfig) -> list[str]:
    """Say of each value that may not change in a run, and would, what it was and is now."""
    before, now = recorded.flat(), wanted.flat()
    return [
        f"{name} was {value!r} and is now {now.get(name)!r}"
        for name, value in before.items()
        if value != now.get(name) and name not in recorded.may_change_on_resume
    ]
