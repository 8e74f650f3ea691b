"""Adaptation curves on held-out tasks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from metarl.seeding import Purpose, Split, stream
from metarl.shards import Vector, Workers, collect_and_adapt
from metarl.tasks import Task

BOOTSTRAP_SAMPLES = 10_000


@dataclass(frozen=True)
class AdaptationCurve:
    """Mean returns before adaptation and after each step."""

    per_task_return: Float[np.ndarray, "task step"]
    """Mean undiscounted return of each task's episodes after 0, 1, … K steps."""
    mean_return: Float[np.ndarray, " step"]
    """Mean over tasks."""
    ci95: Float[np.ndarray, "step 2"]
    """95 % confidence interval of the mean over tasks, low and high."""
    env_steps: int
    """Environment steps the evaluation took."""


def evaluate(
    workers: Workers,
    theta: Vector,
    tasks: list[Task],
    learning_rates: tuple[float, ...],
    seed: int,
) -> AdaptationCurve:
    """Adapt to each task, with fresh episodes before every step and after the last.

    Args:
        workers: a pool over exactly these tasks.
        theta: the meta-parameters.
        tasks: held-out tasks.
        learning_rates: α for each step; their number is the number of steps.
        seed: seeds the bootstrap.

    """
    statistics = workers.map(collect_and_adapt, theta, tasks, (Split.TEST, 0), learning_rates)
    per_task = np.array([task.mean_returns for task in statistics])
    return AdaptationCurve(
        per_task_return=per_task,
        mean_return=per_task.mean(0),
        ci95=bootstrap_interval(per_task, stream(seed, Purpose.BOOTSTRAP)),
        env_steps=sum(task.env_steps for task in statistics),
    )


def bootstrap_interval(
    per_task: Float[np.ndarray, "task step"], generator: np.random.Generator
) -> Float[np.ndarray, "step 2"]:
    """Give the 95 % percentile-bootstrap interval of the mean over tasks (Efron 1979).

    Each sample draws as many tasks as there are, with replacement, whole curves at a time.
    """
    count = len(per_task)
    chosen = generator.integers(count, size=(BOOTSTRAP_SAMPLES, count))
    means = np.stack([per_task[draw].mean(0) for draw in chosen])
    interval: np.ndarray = np.percentile(means, [2.5, 97.5], axis=0).T
    return interval
