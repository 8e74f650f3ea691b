"""Adaptation curves on held-out tasks, of one run and of several seeds of one experiment."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from metarl.foundation.seeding import Purpose, stream

BOOTSTRAP_SAMPLES = 10_000
GRADIENT_STEP = "gradient step"
"""The unit of adaptation of the gradient family."""
EPISODE = "episode"
"""The unit of agents that adapt from episode to episode."""
MOST_SHOWN = 6
"""Units of adaptation in a table."""


@dataclass(frozen=True)
class AdaptationCurve:
    """What is measured before adaptation and after each unit of it, on the same tasks.

    In reinforcement learning that is the mean undiscounted return of a task's episodes, in
    regression the mean squared error, in classification the accuracy.
    """

    per_task: Float[np.ndarray, "task step"]
    """Of each task after 0, 1, … K units of adaptation."""
    mean: Float[np.ndarray, " step"]
    """Mean over tasks."""
    ci95: Float[np.ndarray, "step 2"]
    """95 % confidence interval of the mean over tasks, low and high."""
    gain: float
    """Mean after the last unit minus before the first; 0 without adaptation."""
    gain_ci95: Float[np.ndarray, "2"]
    """95 % confidence interval of the gain over tasks, each task paired with itself."""
    env_steps: int
    """Environment steps the evaluation took."""
    success: "SuccessCurve | None" = None
    """Where the environment says of success."""
    phase_env_steps: tuple[float, ...] = ()
    """Environment steps in a task before adaptation and after each unit, means over tasks."""
    experience: tuple[float, ...] = ()
    """Environment steps in a task that were used before each point, means over tasks: 0 at first.
    At equal experience agents of different units are compared."""
    unit: str = GRADIENT_STEP
    """Of adaptation, in the singular."""
    trial: "TrialReturn | None" = None
    """Where the unit is an episode: what all of them pay together."""

    @property
    def unit_word(self) -> str:
        """The unit in one word: step, or episode."""
        return self.unit.rpartition(" ")[2]

    @property
    def per_task_return(self) -> Float[np.ndarray, "task step"]:
        """The same as `per_task`, where returns are measured."""
        return self.per_task

    @property
    def mean_return(self) -> Float[np.ndarray, " step"]:
        """The same as `mean`, where returns are measured."""
        return self.mean


@dataclass(frozen=True)
class TrialReturn:
    """What a whole trial pays: the sum over its episodes, as Duan et al. 2016 report it."""

    mean: float
    """Mean over tasks."""
    ci95: Float[np.ndarray, "2"]
    """95 % confidence interval of the mean over tasks, low and high."""


@dataclass(frozen=True)
class SuccessCurve:
    """Success rates before adaptation and after each step; an episode succeeds when a step does."""

    per_task: Float[np.ndarray, "task step"]
    """Share of each task's episodes that succeeded after 0, 1, … K steps."""
    mean: Float[np.ndarray, " step"]
    """Mean over tasks."""
    ci95: Float[np.ndarray, "step 2"]
    """95 % confidence interval of the mean over tasks, low and high."""


@dataclass(frozen=True)
class SeedStatistics:
    """What several runs of one experiment say of it, on the same held-out tasks."""

    mean_ci95: Float[np.ndarray, "step 2"]
    """95 % confidence interval of the mean over seeds."""
    iqm: Float[np.ndarray, " step"]
    """Interquartile mean over all pairs of seed and task."""
    iqm_ci95: Float[np.ndarray, "step 2"]
    """95 % confidence interval of the interquartile mean over seeds."""


def shown_units(last: int) -> list[int]:
    """Give the units of adaptation that a table shows: all of a few, else the first and the last.

    Args:
        last: the number of the last unit.

    """
    if last < MOST_SHOWN:
        return list(range(last + 1))
    return [*range(MOST_SHOWN - 2), (last + 1) // 2, last]


def summarise(
    per_task: Float[np.ndarray, "task step"],
    env_steps: int,
    seed: int,
    per_task_success: Float[np.ndarray, "task step"] | None = None,
    phase_env_steps: tuple[float, ...] = (),
    unit: str = GRADIENT_STEP,
    trials: int = 1,
) -> AdaptationCurve:
    """Give mean, gain and their intervals over tasks.

    Args:
        per_task: what was measured of each task, before adaptation and after each unit.
        env_steps: that the evaluation took.
        seed: seeds the bootstrap.
        per_task_success: where the environment says of success.
        phase_env_steps: of a task before adaptation and after each unit, means over tasks.
        unit: of adaptation.
        trials: of a task side by side, where the unit is an episode: each has its own experience.

    """
    per_task_gain = per_task[:, -1:] - per_task[:, :1]
    # The gain is resampled with the same tasks as the numbers it is the difference of.
    columns = np.hstack([per_task, per_task_gain])
    intervals = bootstrap_interval(columns, stream(seed, Purpose.BOOTSTRAP))
    return AdaptationCurve(
        per_task=per_task,
        mean=per_task.mean(0),
        ci95=intervals[:-1],
        gain=float(per_task_gain.mean()),
        gain_ci95=intervals[-1],
        env_steps=env_steps,
        success=None if per_task_success is None else _success_curve(per_task_success, seed),
        phase_env_steps=phase_env_steps,
        experience=_experience(phase_env_steps, trials if unit == EPISODE else 1),
        unit=unit,
        trial=_trial_return(per_task, seed) if unit == EPISODE else None,
    )


def _experience(phase_env_steps: Sequence[float], trials: int) -> tuple[float, ...]:
    if not phase_env_steps:
        return ()
    used = np.cumsum([0.0, *phase_env_steps[:-1]]) / trials
    return tuple(used.tolist())


def in_different_units(curves: Iterable[AdaptationCurve]) -> bool:
    """Say whether agents adapt in different units, and can be compared by their experience."""
    curves = list(curves)
    return len({curve.unit for curve in curves}) > 1 and all(curve.experience for curve in curves)


def _trial_return(per_task: Float[np.ndarray, "task step"], seed: int) -> TrialReturn:
    totals = per_task.sum(1, keepdims=True)
    (interval,) = bootstrap_interval(totals, stream(seed, Purpose.BOOTSTRAP))
    return TrialReturn(float(totals.mean()), interval)


def _success_curve(per_task: Float[np.ndarray, "task step"], seed: int) -> SuccessCurve:
    interval = bootstrap_interval(per_task, stream(seed, Purpose.BOOTSTRAP))
    return SuccessCurve(per_task, per_task.mean(0), interval)


def join_seeds(curves: Sequence[AdaptationCurve], seed: int) -> AdaptationCurve:
    """Give one experiment's curve: each task's return is its mean over the seeds, as experience is.

    Args:
        curves: of each seed, on the same tasks and for the same number of steps.
        seed: seeds the bootstrap over tasks.

    """
    per_task = np.mean([curve.per_task for curve in curves], axis=0)
    successes = [curve.success.per_task for curve in curves if curve.success is not None]
    joint = summarise(
        per_task,
        sum(curve.env_steps for curve in curves),
        seed,
        np.mean(successes, axis=0) if len(successes) == len(curves) else None,
        _mean_over_seeds([curve.phase_env_steps for curve in curves]),
        curves[0].unit,
    )
    experience = _mean_over_seeds([curve.experience for curve in curves])
    return replace(joint, experience=experience)


def _mean_over_seeds(numbers: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(np.mean(numbers, axis=0).tolist())


def over_seeds(curves: Sequence[AdaptationCurve], seed: int) -> SeedStatistics:
    """Give means and interquartile means with intervals over seeds (Agarwal et al. 2021).

    Each sample of the bootstrap draws as many runs as there are, with replacement, and never draws
    tasks, so the intervals say what other seeds would have given on these tasks. A run is drawn
    whole: it meets all tasks, and what chance gave it shows in all of them.

    Args:
        curves: of each of two or more seeds, on the same tasks and for the same number of steps.
        seed: seeds the bootstrap.

    """
    # scipy's statistics, which are behind it, take half a second that no training needs.
    from metarl.learning.score_statistics import (
        interquartile_mean,
        interquartile_means_of_draws,
        interval,
        means_of_draws,
    )

    generator = stream(seed, Purpose.BOOTSTRAP)
    returns = np.array([curve.per_task for curve in curves])
    of_steps = [returns[:, :, step] for step in range(returns.shape[2])]
    means = means_of_draws(returns.mean(1), BOOTSTRAP_SAMPLES, generator)
    middles = [interquartile_means_of_draws(it, BOOTSTRAP_SAMPLES, generator) for it in of_steps]
    # The interquartile mean over seeds and tasks together.
    return SeedStatistics(
        mean_ci95=interval(means),
        iqm=np.array([interquartile_mean(it) for it in of_steps]),
        iqm_ci95=interval(np.stack(middles, axis=1)),
    )


def bootstrap_interval(
    per_task: Float[np.ndarray, "task step"], generator: np.random.Generator
) -> Float[np.ndarray, "step 2"]:
    """Give the 95 % percentile-bootstrap interval of the mean over tasks (Efron 1979).

    Each sample draws as many tasks as there are, with replacement, whole curves at a time. One task
    says nothing of others: its interval is NaN.
    """
    count = len(per_task)
    chosen = generator.integers(count, size=(BOOTSTRAP_SAMPLES, count))
    means = np.stack([per_task[draw].mean(0) for draw in chosen])
    interval: np.ndarray = np.percentile(means, [2.5, 97.5], axis=0).T
    return interval if count > 1 else np.full_like(interval, np.nan)


def interval_to_json(interval: Float[np.ndarray, "*any 2"]) -> Any:
    """Give intervals as JSON has them, with null where there are none."""
    ends = interval.astype(object)
    ends[np.isnan(interval)] = None
    return ends.tolist()


def interval_in_words(ends: Float[np.ndarray, "2"], form: str) -> str:
    """Give an interval in brackets; empty: there is none.

    Args:
        ends: low and high.
        form: how each is written, as for `format`.

    """
    low, high = ends
    return "" if np.isnan(low) else f"[{low:{form}}, {high:{form}}]"


def bootstrap_bytes(tasks: int) -> int:
    """Say how much memory the intervals over so many tasks take: the draws, and what they give."""
    return BOOTSTRAP_SAMPLES * tasks * 8
