"""`metarl.tune`: search for good values of a run's fields, by Optuna."""

import dataclasses
import os
import shlex
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl.api.starting_point import StartingPoint, is_trained, starting_point, with_fields
from metarl.api.tuning_trial import TrialPruned, TrialRunner
from metarl.config.preset_text import preset_text
from metarl.config.search_space import as_text, flags_of, read_space
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError, MetarlError, RunFolderError
from metarl.foundation.files import make_folder
from metarl.foundation.messages import say
from metarl.reports.tuning_page import (
    PRESET_FILE,
    Best,
    best_of,
    shown_score,
    shown_value,
    write_tuning,
)
from metarl.runs.interruptions import Interrupted, Interruptions
from metarl.runs.run_lock import locked
from metarl.runs.tuning_curve import PERCENT
from metarl.runs.tuning_plan import Trial, TuningPlan, keep_plan
from metarl.workers.cores import checked_workers, usable_cores

if TYPE_CHECKING:
    from metarl.runs.study import Study

_STEP_SIZE, _TEST_STEP_SIZES = "inner_learning_rate", "test_learning_rates"

Progress = Callable[[str, int, int], Any]
"""Told what is being done, and how many percents of runs of how many are."""


@dataclass(frozen=True)
class Tuning:
    """What a search has found."""

    folder: Path
    """What is written lies here: README.md, results.json, best.toml, figures and the runs."""
    plan: Any
    """What is varied, and how trials are judged: a `metarl.runs.tuning_plan.TuningPlan`."""
    trials: tuple[Trial, ...]
    """All trials so far, in order."""
    best: Trial | None
    """The complete one with the best score; None: none is complete."""
    command: str
    """`metarl train …` with the best values; empty: there are none."""
    record: Mapping[str, Any]
    """All numbers, as `results.json` holds them."""


def tune(
    preset: str = "",
    *,
    vary: Mapping[str, Any],
    trials: int = 30,
    seeds: Sequence[int] = (),
    output: str | os.PathLike[str] | None = None,
    workers: int | str | None = None,
    prune: bool = True,
    score_window: int = 10,
    agent: str | None = None,
    env_id: str | None = None,
    progress: Progress | None = None,
    **fields: Any,
) -> Tuning:
    """Search for good values of some fields of a preset; give what is found.

    Every trial is a run, or one for each seed, as `metarl.train` makes it. Its score is the return
    after adaptation (the loss, of a supervised problem) at the end of its training, on training
    tasks. Trials follow each other, and the same call goes on where one was stopped.

    A script that trains with worker processes needs the line ``if __name__ == "__main__":`` around
    what it does; a notebook does not. Optuna is needed: ``pip install "metarl-suite[tune]"``.

    Args:
        preset: as for `metarl.train`.
        vary: what is varied, by the field's name: "0.01..1", "0.01..1:log", "relu,tanh", or a list
            of choices.
        trials: how many there are to be in all, those of earlier calls among them.
        seeds: a trial has a run for each; empty: the configuration's seed alone.
        output: the folder to write into; None: runs/tune-PRESET.
        workers: worker processes of each run, as for `metarl.train`.
        prune: end a trial early that does worse than the median of the others at the same point.
        score_window: percent of the training, at its end, that the score is the mean of; 0: the
            last record alone.
        agent: who learns, of `metarl.agents()`; None: as the preset says.
        env_id: the environment, where there is no preset.
        progress: told how far the search has come.
        fields: fields and settings that differ from the preset's for all trials, by name. `seed` is
            also the search's own.

    Raises:
        ConfigError: a field may not be varied so, or the folder holds another search.
        MetarlError: with what went wrong; what was reached is saved.
        KeyboardInterrupt: likewise.

    """
    start = starting_point(preset, env_id=env_id, agent=agent)
    if env_id is not None:
        fields["env_id"] = env_id
    config = with_fields(start, fields, "metarl.tune")
    settings = type(start.settings)(**config.settings)
    return run_tuning(
        dataclasses.replace(start, config=config, settings=settings),
        vary,
        given=set(fields),
        trials=trials,
        seeds=seeds,
        output=None if output is None else Path(output),
        workers=workers,
        prune=prune,
        score_window=score_window,
        progress=progress,
        again="the same call of metarl.tune",
    )


def run_tuning(
    start: StartingPoint,
    vary: Mapping[str, Any],
    *,
    given: set[str],
    trials: int,
    seeds: Sequence[int],
    output: Path | None,
    workers: int | str | None,
    prune: bool,
    score_window: int,
    progress: Progress | None = None,
    again: str = "",
    interruptions: Interruptions | None = None,
) -> Tuning:
    """Search from a starting point that is there. Arguments as for `tune`.

    Args:
        start: with the configuration and the settings that all trials have in common.
        vary: as for `tune`, and so those that follow.
        given: the names of the fields that were set for all trials.
        trials: likewise.
        seeds: likewise.
        output: likewise.
        workers: likewise.
        prune: likewise.
        score_window: likewise.
        progress: likewise.
        again: what goes on with the search, for messages.
        interruptions: of a program that handles signals.

    """
    from metarl.runs.study import Study  # which needs Optuna

    interruptions = interruptions or Interruptions()
    if trials < 1:
        raise ConfigError(f"trials = {trials} must be at least 1")
    for name in sorted(given & set(vary)):
        raise ConfigError(f"{name} is varied, and set for all trials as well; leave one of them")
    config = start.config
    space = read_space(vary, config, start.settings)
    plan = TuningPlan(config, space, tuple(seeds) or (config.seed,), prune, score_window)
    with interruptions.allowed():
        checked_workers(usable_cores() if workers is None else workers, config.tasks_per_batch)
        _require_tunable(start, plan)
    folder = output or start.run_dir.with_name(f"tune-{start.run_dir.name}")
    make_folder(folder)
    with locked(folder, _warn, "--output"):
        keep_plan(folder, plan)
        for guess in start.guesses:  # trials are judged by training, whose step size is α itself
            if line := guess.describe(config, given | set(space)):
                _warn(line)
        study = Study(folder, plan)
        runner = TrialRunner(
            folder,
            plan,
            study,
            lambda trial, seed: _config_of(start, {**trial.fields, "seed": seed}, given),
            workers,
            again,
            interruptions,
            _teller(plan, study, trials, progress),
        )
        try:
            _run_trials(study, runner, plan, trials, interruptions)
        except (Interrupted, KeyboardInterrupt) as interruption:
            _warn("stopped; what was reached is saved, and the same command goes on")
            if isinstance(interruption, Interrupted):
                interruption.told = True
            raise
        with interruptions.allowed():
            return _results(folder, start, plan, study, given)


def _require_tunable(start: StartingPoint, plan: TuningPlan) -> None:
    """Refuse before anything is trained what no trial could do.

    Raises:
        ConfigError: the agent is not trained, or cannot take a value at an end of what is varied.

    """
    config = start.config
    if not is_trained(config):
        raise ConfigError(f"agent {config.agent} is not trained, so there is nothing to tune")
    build_experiment(config)
    for name, variation in plan.space.items():
        for value in variation.ends:
            origin = f"vary {name} = {variation}"
            changed = with_fields(start, {name: value}, origin)
            try:
                build_experiment(changed)
            except ConfigError as error:
                raise ConfigError(f"{origin}: {name} = {as_text(value)}: {error}") from error


def _config_of(start: StartingPoint, fields: Mapping[str, Any], given: set[str]) -> Any:
    """Give the configuration with the values of a trial.

    Step sizes of evaluations that the preset gives keep their proportion to the step size of
    training; a trial would else be evaluated with those of another one.
    """
    usual = start.config
    changes = dict(fields)
    if _STEP_SIZE in fields and usual.test_learning_rates and _TEST_STEP_SIZES not in given:
        proportions = [rate / usual.inner_learning_rate for rate in usual.test_learning_rates]
        changes[_TEST_STEP_SIZES] = tuple(it * fields[_STEP_SIZE] for it in proportions)
    return with_fields(start, changes, "metarl.tune")


def _teller(
    plan: TuningPlan, study: "Study", trials: int, progress: Progress | None
) -> Callable[[Trial, int], None]:
    """Give what tells of progress, after each record."""

    def tell(trial: Trial, step: int) -> None:
        if progress is not None:
            of_a_trial = PERCENT * len(plan.seeds)
            what = f"trial {trial.number}: {in_words(trial)}"
            progress(what, trial.number * of_a_trial + step, trials * of_a_trial)

    return tell


def _run_trials(
    study: "Study",
    runner: TrialRunner,
    plan: TuningPlan,
    most: int,
    interruptions: Interruptions,
) -> None:
    """Run trials until there are so many; one that fails does not end the search."""
    while (trial := study.begin(most)) is not None:
        interruptions.raise_if_any()
        said = f"trial {trial.number} ({in_words(trial)})"
        try:
            study.complete(runner.run(trial))
        except TrialPruned as pruned:
            study.prune(str(pruned))
            continue
        except RunFolderError:  # a full disk, say: the trial is gone on with later
            raise
        except Exception as error:
            if not isinstance(error, MetarlError):
                traceback.print_exc()
            reason = str(error) if isinstance(error, MetarlError) else repr(error)
            study.fail(reason)
            _warn(f"{said} failed: {reason}")
            continue
        trials = study.trials()
        best = best_of(plan, trials)
        assert best is not None
        beside = f": {shown_score(best)} of trial {best.number}" * (best.number != trial.number)
        _warn(f"{said}: score {shown_score(trials[trial.number])}, the best so far{beside}")


def in_words(trial: Trial) -> str:
    """Say the values of a trial."""
    return ", ".join(f"{name} {shown_value(value)}" for name, value in trial.fields.items())


def _results(
    folder: Path, start: StartingPoint, plan: TuningPlan, study: "Study", given: set[str]
) -> Tuning:
    trials = study.trials()
    trial, best = best_of(plan, trials), None
    if trial is not None:
        config = _config_of(start, trial.fields, given)
        best = Best(trial, _command(start, config, folder), preset_text(config))
    name = start.config.name
    record = write_tuning(folder, name, plan, trials, study.importances(), best)
    return Tuning(folder, plan, tuple(trials), trial, best.command if best else "", record)


def _command(start: StartingPoint, config: Any, folder: Path) -> str:
    """Give `metarl train …` with a configuration's values."""
    env_id = None if start.preset else config.env_id
    usual = starting_point(start.preset, env_id=env_id, agent=config.agent)
    before, now = usual.config.flat(), config.flat()
    changed = {name: value for name, value in now.items() if value != before[name]}
    named = [start.preset] if start.preset else ["--env-id", config.env_id]
    if starting_point(start.preset, env_id=env_id).config.agent != config.agent:
        named += ["--agent", config.agent]
    flags = flags_of(changed, config, start.settings)
    if flags is None:  # a table, which no flag sets
        return shlex.join(["metarl", "train", str(folder / PRESET_FILE)])
    return shlex.join(["metarl", "train", *named, *flags])


def _warn(text: str) -> None:
    say(f"metarl tune: {text}")
