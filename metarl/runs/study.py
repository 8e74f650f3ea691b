"""The trials of a search for hyperparameters, in a study of Optuna's in the search's folder.

The study is an SQLite file: SQLite rolls back what a killed process has left half-written and
writes nothing in part on a full disk; and it holds no pickles. What the next trial tries depends
on the search's seed, the trial's number and what the trials before it have come to, and on nothing
that a process keeps; so a search that was stopped goes on with the values it would have had.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metarl.config.search_space import Choices, Space, Variation, as_text
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.foundation.messages import say
from metarl.foundation.seeding import Purpose, integer_seed
from metarl.runs.tuning_plan import Standing, Trial, TuningPlan

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial, TrialState, create_trial
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as error:
    raise ConfigError(
        'metarl tune needs the package Optuna: pip install "metarl-suite[tune]"'
    ) from error

STUDY_FILE = "study.db"
_NAME = "metarl"
_REASON = "reason"
_DIRECTIONS = {"maximise": StudyDirection.MAXIMIZE, "minimise": StudyDirection.MINIMIZE}
_STATES: dict[TrialState, Standing] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "begun",
    TrialState.WAITING: "begun",
}
_FEWEST_FOR_IMPORTANCE = 10
"""Complete trials; of fewer, importance says nothing."""


class Study:
    """The trials, on disk; one process at a time has it."""

    def __init__(self, folder: Path, plan: TuningPlan) -> None:
        """Open the study of a folder, or begin it.

        Raises:
            RunFolderError: the file cannot be read or written.

        """
        self._file = folder / STUDY_FILE
        self._plan = plan
        if self._file.is_symlink():
            raise RunFolderError(f"cannot open {self._file}: it is a symbolic link")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {name: _distribution(it) for name, it in plan.space.items()}
        url = URL.create("sqlite", database=str(self._file)).render_as_string()
        with self._disk("open"):
            self._study = optuna.create_study(
                storage=optuna.storages.RDBStorage(url),
                study_name=_NAME,
                direction=_DIRECTIONS[plan.direction],
                load_if_exists=True,
            )
        self._pruner = optuna.pruners.MedianPruner()
        self._working_on: optuna.trial.Trial | None = None
        self._reported: set[int] = set()
        """The steps of its curve that are on disk."""
        self._waiting: dict[int, float] = {}
        """Those that could not be written yet, and their values."""

    def trials(self) -> list[Trial]:
        """Give all trials, in order."""
        with self._disk("read"):
            return [self._read(each) for each in self._study.get_trials(deepcopy=False)]

    def begin(self, most: int) -> Trial | None:
        """Give the trial to work on: the one that is begun, or a new one.

        Args:
            most: trials there are to be in all. None is given if there are so many.

        """
        with self._disk("write"):
            if (begun := self._begun()) is None:
                if len(self._study.get_trials(deepcopy=False)) >= most:
                    return None
                self._propose()
                begun = self._begun()
            if begun is None or begun.number >= most:
                return None
            self._working_on = optuna.trial.Trial(self._study, begun._trial_id)
        self._reported, self._waiting = set(begun.intermediate_values), {}
        return self._read(begun)

    def _begun(self) -> FrozenTrial | None:
        found = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return found[0] if found else None

    def _propose(self) -> None:
        """Add a trial, whole at once.

        The values come from a study in memory that holds the trials so far.
        """
        before = self._study.get_trials(deepcopy=False)
        sampler = optuna.samplers.TPESampler(
            seed=integer_seed(self._plan.config.seed, Purpose.TUNING, len(before))
        )
        draft = optuna.create_study(direction=_DIRECTIONS[self._plan.direction], sampler=sampler)
        draft.add_trials(before)
        params = draft.ask(self._distributions).params
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions)
        )

    def report(self, values: Mapping[int, float]) -> None:
        """Keep values of the learning curve of the trial that is begun, by step.

        On a full disk they wait.
        """
        new = {step: value for step, value in values.items() if math.isfinite(value)}
        waited = bool(self._waiting)
        self._waiting |= {it: new[it] for it in new if it not in self._reported}
        try:
            self._flush()
        except RunFolderError as error:
            if not waited:
                say(f"metarl tune: {error}; training goes on, and what is to be written waits")

    def _flush(self) -> None:
        assert self._working_on is not None
        for step, value in list(self._waiting.items()):
            with self._disk("write"):
                self._working_on.report(value, step)
            del self._waiting[step]
            self._reported.add(step)

    def is_worse_than_most(self, values: Mapping[int, float]) -> bool:
        """Say whether a trial is below the median of the complete ones (above, of losses).

        Args:
            values: of its curve, by step, up to the one to compare at.

        """
        finite = {step: value for step, value in values.items() if math.isfinite(value)}
        compared = create_trial(state=TrialState.RUNNING, intermediate_values=finite)
        with self._disk("read"):
            return bool(finite and self._pruner.prune(self._study, compared))

    def complete(self, score: float) -> None:
        """Say that the trial that is begun has come to its end."""
        self._end(TrialState.COMPLETE, "", score)

    def prune(self, reason: str) -> None:
        """Say that it has been ended early."""
        self._end(TrialState.PRUNED, reason)

    def fail(self, reason: str) -> None:
        """Say that it has failed."""
        self._end(TrialState.FAIL, reason)

    def _end(self, state: TrialState, reason: str, score: float | None = None) -> None:
        self._flush()
        assert self._working_on is not None
        with self._disk("write"):
            if reason:
                self._working_on.set_user_attr(_REASON, reason)
            self._study.tell(self._working_on, score, state=state)

    def importances(self) -> dict[str, float]:
        """Say which share each field has in what separates good trials (PED-ANOVA).

        Watanabe, Bansal, Hutter 2023. Nothing where too few trials are complete.
        """
        with self._disk("read"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the evaluator was experimental in Optuna 4
            complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if len(complete) < _FEWEST_FOR_IMPORTANCE or len(self._plan.space) < 2:
                return {}
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}

    def _read(self, trial: FrozenTrial) -> Trial:
        score = trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None
        return Trial(
            trial.number,
            _STATES[trial.state],
            _fields(trial.params, self._plan.space),
            score,
            trial.user_attrs.get(_REASON, ""),
        )

    @contextlib.contextmanager
    def _disk(self, what: str) -> Iterator[None]:
        """Say in one line what is wrong with the file."""
        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            cause = error.__cause__ or error
            reason = str(getattr(cause, "orig", None) or cause).partition("\n")[0]
            raise RunFolderError(f"cannot {what} {self._file}: {reason}") from error
        except RuntimeError as error:  # of another version of Optuna
            raise RunFolderError(f"cannot {what} {self._file}: {error}") from error


def _distribution(variation: Variation) -> BaseDistribution:
    if isinstance(variation, Choices):
        return CategoricalDistribution([as_text(value) for value in variation.values])
    low, high = variation.low, variation.high
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=variation.log)
    return FloatDistribution(low, high, log=variation.log)


def _fields(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Give the values of a trial as the fields hold them."""
    found = {}
    for name, variation in space.items():
        value = params[name]
        if isinstance(variation, Choices):
            value = {as_text(each): each for each in variation.values}[value]
        found[name] = value
    return found
