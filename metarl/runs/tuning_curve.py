"""The learning curve of a trial of a search: what it is pruned by, and scored by in the end.

A trial has a run for each seed, one after the other. Its curve has a step for each percent of each
run's training: step 100 s + p is percent p (1 to 100) of the run of seed number s (from 0 on). The
value there is the mean over the runs up to that one, each at the same percent; so the values of two
trials at a step are always of the same seeds, trained for the same part of the budget.
"""

import math

import numpy as np

from metarl.config.base import ExperimentConfig
from metarl.runs.metrics import Record

PERCENT = 100


def measured(record: Record) -> float | None:
    """Give the return after adaptation of a record, or the loss of a supervised problem.

    Of an agent that does not adapt while it trains it is that without adaptation; None: there is
    none, or it is not finite.
    """
    for phase in ("post", "pre"):
        for metric in ("return", "loss"):
            name = f"{phase}_adaptation_{metric}"
            if name in record:
                value = record[name]
                return float(value) if value is not None and math.isfinite(value) else None
    return None


class TrialCurve:
    """The curve as it grows."""

    def __init__(self, config: ExperimentConfig, window: int) -> None:
        """Take what decides on how far a run is.

        Args:
            config: of the runs.
            window: percent of the training that a value is the mean over; at least one record.

        """
        self._config = config
        self._window = window
        self._runs: list[dict[int, float]] = []
        """Of each run the mean over the window, by percent."""
        self._records: list[tuple[float, float]] = []
        """How far the newest run was at its records, in percent, and what they measured."""

    def begin_run(self) -> None:
        """Be told that the next records are another run's."""
        self._runs.append({})
        self._records = []

    def add(self, record: Record) -> dict[int, float]:
        """Take a record; give the values of the steps that it reaches, by step."""
        exactly = self._config.percent_trained(record["iteration"], record.get("env_steps", 0))
        value = measured(record)
        if value is not None:
            self._records.append((exactly, value))
        own, percent = self._runs[-1], math.floor(exactly)
        reached = max(own, default=0)
        if percent <= reached:
            return {}
        mean = self._mean(percent)
        # Iterations of one budget may be longer than those of another; then percents are skipped.
        by_env_steps = self._config.flat().get("env_steps", 0) > 0
        new = range(reached + 1 if by_env_steps else percent, percent + 1)
        own.update(dict.fromkeys(new, mean))
        return {self._step(each): self._over_runs(each) for each in new}

    def _mean(self, percent: int) -> float:
        """Give the mean over the window that ends at a percent."""
        inside = [value for at, value in self._records if at > percent - self._window]
        inside = inside or [value for _, value in self._records[-1:]]
        return float(np.mean(inside)) if inside else math.nan

    def _step(self, percent: int) -> int:
        return PERCENT * (len(self._runs) - 1) + percent

    def _over_runs(self, percent: int) -> float:
        return float(np.mean([run.get(percent, math.nan) for run in self._runs]))

    @property
    def values_of_run(self) -> dict[int, float]:
        """The values of the newest run's steps."""
        return {self._step(percent): self._over_runs(percent) for percent in self._runs[-1]}

    @property
    def score(self) -> float:
        """The mean over the runs at their end; not a number: one was not trained to its end."""
        return self._over_runs(PERCENT)
