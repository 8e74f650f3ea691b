"""Statistics of scores over runs and tasks (Agarwal et al. 2021, arXiv 2108.13264).

Scores are arrays [run task]: every run was trained with a seed of its own, and all met the same
held-out tasks. Where they are of several comparisons, a statistic is the mean of each one's.

Intervals are of a bootstrap that is stratified by comparison and draws whole runs. Agarwal et al.
draw the runs of each task by themselves, since there each was trained on one task; here a run meets
all tasks, and what chance gave it shows in all of them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

_TRIMMED_FROM_EACH_END = 0.25
_DRAWS_AT_ONCE = 500


def normalised(returns: Float[np.ndarray, "*any"], zero: float, one: float) -> np.ndarray:
    """Give returns as scores: `zero` becomes 0 and `one` becomes 1."""
    scores: np.ndarray = (returns - zero) / (one - zero)
    return scores


def position_at(experience: Sequence[float], allowed: int | None) -> int:
    """Give the last point of an adaptation curve that is reached by so much experience.

    Args:
        experience: used before each point, growing from 0.
        allowed: the most that may be used, in the same unit; None: all.

    """
    if allowed is None or not experience:
        return -1
    return max(at for at, used in enumerate(experience) if used <= allowed or at == 0)


def interquartile_mean(scores: Float[np.ndarray, "run task"]) -> float:
    """Give the mean of the middle half of all pairs of run and task."""
    return float(stats.trim_mean(scores, _TRIMMED_FROM_EACH_END, axis=None))


def shares_above(
    scores: Float[np.ndarray, "run task"], thresholds: Float[np.ndarray, " threshold"]
) -> Float[np.ndarray, "run threshold"]:
    """Give the share of each run's tasks whose score is above each threshold τ.

    The mean over runs is the performance profile F(τ), the score distribution of Agarwal et al.
    2021, equation 1.
    """
    shares: np.ndarray = (scores[:, :, None] > thresholds).mean(1)
    return shares


def wins(
    first: Float[np.ndarray, "run_x task"], second: Float[np.ndarray, "run_y task"]
) -> Float[np.ndarray, "run_x run_y"]:
    """Give for each pair of runs the share of tasks that the first does better; equal counts half.

    The mean over pairs is the probability of improvement P(X > Y): that a run of X does better
    than one of Y on a task, both drawn at random (Agarwal et al. 2021, section 4.3).
    """
    above = (first[:, None] > second[None]).mean(-1)
    equal = (first[:, None] == second[None]).mean(-1)
    share: np.ndarray = above + equal / 2
    return share


def drawn_runs(runs: int, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Draw as many runs as there are, with replacement; give their numbers [sample run]."""
    return generator.integers(runs, size=(samples, runs))


def _weights(
    runs: int, samples: int, generator: np.random.Generator
) -> Float[np.ndarray, "sample run"]:
    """Give the share of each run in each bootstrap sample."""
    drawn = drawn_runs(runs, samples, generator)
    share: np.ndarray = (drawn[:, :, None] == np.arange(runs)).mean(1)
    return share


def means_of_draws(
    per_run: Float[np.ndarray, "run *any"], samples: int, generator: np.random.Generator
) -> Float[np.ndarray, "sample *any"]:
    """Give the mean over runs of each bootstrap sample."""
    means: np.ndarray = np.tensordot(_weights(len(per_run), samples, generator), per_run, 1)
    return means


def interquartile_means_of_draws(
    scores: Float[np.ndarray, "run task"], samples: int, generator: np.random.Generator
) -> Float[np.ndarray, " sample"]:
    """Give the interquartile mean of each bootstrap sample."""
    drawn = drawn_runs(len(scores), samples, generator)
    return np.concatenate(
        [
            stats.trim_mean(scores[part].reshape(len(part), -1), _TRIMMED_FROM_EACH_END, axis=1)
            for part in np.split(drawn, range(_DRAWS_AT_ONCE, samples, _DRAWS_AT_ONCE))
        ]
    )


def improvements_of_draws(
    won: Float[np.ndarray, "run_x run_y"], samples: int, generator: np.random.Generator
) -> Float[np.ndarray, " sample"]:
    """Give the probability of improvement of each bootstrap sample, from what `wins` gives."""
    first, second = (_weights(count, samples, generator) for count in won.shape)
    found: np.ndarray = np.einsum("si,ij,sj->s", first, won, second)
    return found


def interval(samples: Float[np.ndarray, "sample *any"]) -> Float[np.ndarray, "*any 2"]:
    """Give the 95 % percentile interval of bootstrap samples, low and high."""
    ends: np.ndarray = np.moveaxis(np.percentile(samples, [2.5, 97.5], axis=0), 0, -1)
    return ends


def on_common_steps(
    curves: Sequence[tuple[Sequence[int], Sequence[float]]],
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "curve point"]]:
    """Give learning curves at the same steps, by straight lines between their points.

    Args:
        curves: each curve's steps, which grow, and its values.

    Returns:
        Every step of any curve that lies within all of them, and each curve's values there.

    """
    first = max(steps[0] for steps, _ in curves)
    last = min(steps[-1] for steps, _ in curves)
    every = np.unique(np.concatenate([np.asarray(steps, np.float64) for steps, _ in curves]))
    common = every[(every >= first) & (every <= last)]
    return common, np.array([np.interp(common, steps, values) for steps, values in curves])
