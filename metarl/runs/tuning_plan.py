"""What a search for hyperparameters does, as `plan.json` in its folder keeps it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metarl.config.base import WORDS, ExperimentConfig
from metarl.config.search_space import Choices, Space, Span, Variation
from metarl.config.supervised import SupervisedConfig, read_either
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.foundation.files import read_json, write_whole
from metarl.foundation.messages import say
from metarl.foundation.versions import versions

PLAN_FILE = "plan.json"
TRIALS_FOLDER = "trials"
_FORMAT = 1
_PROPOSES = "optuna"
_MEASURES = {"maximise": "post_adaptation_return", "minimise": "post_adaptation_loss"}
_BUDGET = {"iterations", "env_steps"}
_RULES = ("seeds", "prune", "score_window")


@dataclass(frozen=True)
class TuningPlan:
    """What is varied, what all trials have in common, and how they are judged."""

    config: ExperimentConfig
    """Of every trial, but for what is varied; its seed is also the search's own."""
    space: Space
    """What is varied."""
    seeds: tuple[int, ...]
    """Of the runs of each trial."""
    prune: bool = True
    """Whether a trial that does worse than most is ended early."""
    score_window: int = 10
    """Percent of the training, at its end, that the score is the mean of."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ConfigError("seeds = () must not be empty")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"seeds = {self.seeds!r} must be different numbers, 0 or more")
        if not 0 <= self.score_window <= 100:
            raise ConfigError(f"score_window = {self.score_window!r} must lie between 0 and 100")

    @property
    def direction(self) -> Literal["maximise", "minimise"]:
        """Whether a high score or a low one is good."""
        return "minimise" if isinstance(self.config, SupervisedConfig) else "maximise"

    @property
    def measure(self) -> str:
        """The name in the metrics of what is scored."""
        return _MEASURES[self.direction]

    @property
    def budget(self) -> dict[str, Any]:
        """What each run is trained for, by name."""
        flat = self.config.flat()
        name = "env_steps" if flat.get("env_steps") else "iterations"
        return {name: flat[name]}

    def is_better(self, score: float, other: float) -> bool:
        """Compare two scores."""
        return score > other if self.direction == "maximise" else score < other

    def to_table(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return {
            "format": _FORMAT,
            "versions": versions(_PROPOSES),
            "direction": self.direction,
            "measure": self.measure,
            "vary": {name: variation.to_table() for name, variation in self.space.items()},
            "seeds": list(self.seeds),
            "prune": self.prune,
            "score_window": self.score_window,
            "config": dataclasses.asdict(self.config),
        }


Standing = Literal["complete", "pruned", "failed", "begun"]


@dataclass(frozen=True)
class Trial:
    """One set of values, and what it has come to."""

    number: int
    """From 0 on."""
    standing: Standing
    """Pruned: ended early, since it did worse than most. Begun: to be gone on with."""
    fields: Mapping[str, Any]
    """The values of what is varied, by name."""
    score: float | None
    """Of a trial that is pruned what its curve had come to; of one that failed None."""
    reason: str
    """Why it is not complete, in words."""


def run_folder_of(folder: Path, number: int, seed: int) -> Path:
    """Give the run folder of one run of one trial."""
    return folder / TRIALS_FOLDER / f"trial-{number:04d}" / f"seed-{seed}"


def keep_plan(folder: Path, plan: TuningPlan) -> None:
    """Write the plan or, where there is one, see to it that it is the same.

    Raises:
        ConfigError: the folder holds another search; what differs is named.
        RunFolderError: the plan cannot be read or written.

    """
    file = folder / PLAN_FILE
    if not (file.exists() or file.is_symlink()):
        write_whole(file, (json.dumps(plan.to_table(), indent=2) + "\n").encode())
        return
    recorded, before = _read_plan(file)
    for difference in _differences(recorded, plan):
        raise ConfigError(
            f"{folder} holds another search: {difference}; the same command goes on with it, or "
            "choose another --output"
        )
    now = versions(_PROPOSES)[_PROPOSES]
    if before != now:
        say(
            f"metarl tune: {folder} was begun with {_PROPOSES} {before}; {now} may propose other "
            "values"
        )


def _read_plan(file: Path) -> tuple[TuningPlan, str]:
    """Give the plan, and the version of what proposed its first values."""
    table = read_json(file)
    try:
        if table["format"] != _FORMAT:
            raise RunFolderError(f"{file} is of another version of metarl: {table['format']!r}")
        plan = TuningPlan(
            read_either(table["config"], str(file)),
            {name: _read_variation(each) for name, each in table["vary"].items()},
            tuple(table["seeds"]),
            table["prune"],
            table["score_window"],
        )
        return plan, str(table["versions"][_PROPOSES])
    except (AttributeError, KeyError, TypeError, ConfigError) as error:
        raise RunFolderError(f"{file} cannot be read: {error!r}") from error


def _read_variation(table: dict[str, Any]) -> Variation:
    if "choices" in table:
        return Choices(tuple(table["choices"]))
    return Span(table["low"], table["high"], table["log"])


def _differences(recorded: TuningPlan, plan: TuningPlan) -> list[str]:
    """Say what is different now and may not be."""
    before: dict[str, Any] = {name: str(each) for name, each in recorded.space.items()}
    now: dict[str, Any] = {name: str(each) for name, each in plan.space.items()}
    found = _changes("{} was varied over {} and is now varied over {}", before, now)
    before, now = ({name: getattr(it, name) for name in _RULES} for it in (recorded, plan))
    found += _changes("{} was {} and is now {}", before, now)
    as_recorded = read_either(json.loads(plan.config.to_json()), "plan")
    free = (plan.config.may_change_on_resume - _BUDGET) | WORDS | set(plan.space)
    before, now = (
        {name: value for name, value in config.flat().items() if name not in free}
        for config in (recorded.config, as_recorded)
    )
    return found + _changes("{} was {} and is now {}", before, now)


def _changes(form: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        form.format(name, before.get(name, "nothing"), now.get(name, "nothing"))
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
