"""One trial of a search for hyperparameters: its runs, one for each seed, as far as they go."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl.agent.protocol import Record, TrainingState
from metarl.api.training_session import run_training
from metarl.experiments.interface import Experiment
from metarl.foundation.errors import TrainingError
from metarl.runs.interruptions import Interruptions
from metarl.runs.metrics import read_metrics
from metarl.runs.run_folder import CONFIG_FILE
from metarl.runs.supervision import supervise
from metarl.runs.tuning_curve import PERCENT, TrialCurve
from metarl.runs.tuning_plan import Trial, TuningPlan, run_folder_of

if TYPE_CHECKING:
    from metarl.runs.study import Study

_WARM_UP = 25
"""Percent of a run before which no trial is pruned."""


class TrialPruned(Exception):
    """The trial does worse than most, and is ended early."""


class TrialRunner:
    """What the trials of one call have in common."""

    def __init__(
        self,
        folder: Path,
        plan: TuningPlan,
        study: "Study",
        config_of: Callable[[Trial, int], Any],
        workers: int | str | None,
        again: str,
        interruptions: Interruptions,
        told: Callable[[Trial, int], Any],
    ) -> None:
        """Take them.

        Args:
            folder: of the search.
            plan: of the search.
            study: gets the learning curves.
            config_of: gives the configuration of a trial's run, by its seed.
            workers: of each run, as for `metarl.train`.
            again: what goes on with the search, for messages.
            interruptions: of a program that handles signals.
            told: is told after each record which step of the curve is reached.

        """
        self._folder, self._plan, self._study = folder, plan, study
        self._config_of, self._workers, self._again = config_of, workers, again
        self._interruptions, self._told = interruptions, told

    def run(self, trial: Trial) -> float:
        """Train a trial's runs, from where they were left; give its score.

        Raises:
            TrialPruned: it does worse than most.
            MetarlError: with what went wrong; what was reached is saved.
            Interrupted, KeyboardInterrupt: likewise.

        """
        curve = TrialCurve(self._plan.config, self._plan.score_window)
        for seed in self._plan.seeds:
            run_dir = run_folder_of(self._folder, trial.number, seed)
            follower = _Follower(trial, curve, run_dir, self._take)
            try:
                run_training(
                    self._config_of(trial, seed),
                    run_dir,
                    display=follower,
                    workers=self._workers,
                    resume=(run_dir / CONFIG_FILE).exists(),
                    tensorboard=False,
                    command=f"metarl tune: trial {trial.number}",
                    again=self._again,
                    interruptions=self._interruptions,
                )
                follower.catch_up()  # of a run that was trained to its end before
            except TrialPruned as pruned:
                supervise("metarl tune", run_dir, 0.0, 0).report(str(pruned))
                raise
        if math.isnan(curve.score):
            raise TrainingError(
                f"the metrics of the last records hold no {self._plan.measure} that is finite, so "
                "there is no score"
            )
        return curve.score

    def _take(self, trial: Trial, curve: TrialCurve, record: Record) -> None:
        """Keep what a record adds to the curve; end the trial if it does worse than most."""
        new = curve.add(record)
        if not new:
            return
        self._study.report(new)
        step = max(new)
        self._told(trial, step)
        percent = (step - 1) % PERCENT + 1
        at_the_end = step == PERCENT * len(self._plan.seeds)
        if not self._plan.prune or percent < _WARM_UP or at_the_end:
            return
        if self._study.is_worse_than_most(curve.values_of_run):
            raise TrialPruned(
                f"trial {trial.number} is pruned after {percent} % of this run: "
                f"{curve.values_of_run[step]:.6g} is worse than the median of the others there"
            )


class _Follower:
    """Hands the records of a run on, those of earlier sessions at first."""

    def __init__(
        self,
        trial: Trial,
        curve: TrialCurve,
        run_dir: Path,
        take: Callable[[Trial, TrialCurve, Record], None],
    ) -> None:
        self._trial, self._curve, self._run_dir, self._take = trial, curve, run_dir, take
        self._reached = 0
        curve.begin_run()

    def tell(self, text: str) -> None:
        """Say nothing."""

    def begin(self, experiment: Experiment, state: TrainingState) -> None:
        """Take what is recorded up to the checkpoint that the run goes on from."""
        self.catch_up()

    def catch_up(self) -> None:
        """Take the records that are on disk and have not been taken yet."""
        for record in read_metrics(self._run_dir):
            if record["iteration"] > self._reached:
                self.update(record)

    def update(self, record: Record) -> None:
        """Take a record."""
        self._reached = record["iteration"]
        self._take(self._trial, self._curve, record)

    def end(self) -> None:
        """Do nothing."""
