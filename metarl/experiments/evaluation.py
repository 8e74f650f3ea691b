"""Adaptation curves on held-out tasks, of one run and of several seeds of one experiment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float
from scipy import stats

from metarl.agents.collection import collect_and_adapt
from metarl.agents.protocol import AgentState
from metarl.config.reinforcement import Config
from metarl.foundation.seeding import Purpose, Split, stream
from metarl.learning.adaptation import Parameters
from metarl.learning.objectives import act
from metarl.tasks.distribution import Task
from metarl.workers.shards import Rate, Shard, Vector, Workers

BOOTSTRAP_SAMPLES = 10_000
TRIMMED_FROM_EACH_END = 0.25


@dataclass(frozen=True)
class AdaptationCurve:
    """Mean returns before adaptation and after each step."""

    per_task_return: Float[np.ndarray, "task step"]
    """Mean undiscounted return of each task's episodes after 0, 1, … K steps."""
    mean_return: Float[np.ndarray, " step"]
    """Mean over tasks."""
    ci95: Float[np.ndarray, "step 2"]
    """95 % confidence interval of the mean over tasks, low and high."""
    gain: float
    """Mean return after the last step minus before the first; 0 without a step."""
    gain_ci95: Float[np.ndarray, "2"]
    """95 % confidence interval of the gain over tasks, each task paired with itself."""
    env_steps: int
    """Environment steps the evaluation took."""
    success: "SuccessCurve | None" = None
    """Where the environment says of success."""


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


def rates_at_test(state: AgentState, config: Config) -> tuple[Rate, ...]:
    """Give α for each step of an evaluation; a learned α in the proportions of the numbers."""
    rates = config.learning_rates_at_test(config.test_adaptation_steps)
    return state.learning_rates(rates, config.inner_learning_rate)


def evaluate(
    workers: Workers,
    theta: Vector,
    tasks: list[Task],
    learning_rates: Sequence[Rate],
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
    successes = [task.mean_successes for task in statistics]
    return summarise(
        np.array([task.mean_returns for task in statistics]),
        sum(task.env_steps for task in statistics),
        seed,
        None if None in successes else np.array(successes),
    )


def describe_range(range_name: str, task_range: Mapping[str, Any], tasks: int) -> str:
    """Say which tasks an evaluation met.

    Args:
        range_name: the range's name; empty for the range of training.
        task_range: its ends, or its set of tasks.
        tasks: how many.

    """
    if "set" in task_range:
        return f"{tasks} tasks of set {task_range['set']}"
    return f"{tasks} held-out tasks" + (f" of range {range_name}" if range_name else "")


def adapted_parameters(
    shard: Shard, theta: Vector, tasks: Sequence[Task], learning_rates: Sequence[Rate]
) -> list[list[Parameters]]:
    """Adapt to held-out tasks with fresh episodes before each step, as evaluation does.

    Args:
        shard: one over exactly these tasks.
        theta: the meta-parameters.
        tasks: held-out tasks.
        learning_rates: α for each of K inner steps.

    Returns:
        For each task the parameters after 0, 1, … K steps.

    """
    collect_and_adapt(shard, theta, tasks, (Split.TEST, 0), learning_rates)
    return [list(experience.path) for experience in shard.experience]


def play(
    shard: Shard, environment: gym.Env[Any, Any], parameters: Parameters, task: Task, seed: int
) -> Iterator[tuple[np.ndarray, float]]:
    """Play one episode by the most likely actions.

    Args:
        shard: gives the policy and the map of its actions.
        environment: from `metarl.tasks.policy_environment.observed_environment`.
        parameters: to act with.
        task: the task.
        seed: of the reset.

    Yields:
        The observation and the reward that came with it; 0 after the reset.

    """
    like = next(iter(parameters.values()))
    observation, _ = environment.reset(seed=seed, options={"task": task})
    yield observation, 0.0
    ended = False
    while not ended:
        rows = torch.tensor(np.asarray(observation)[None], dtype=like.dtype, device=like.device)
        action = shard.policy.mode(act(shard.policy, parameters, rows)).cpu().numpy()
        observation, reward, terminated, truncated, _ = environment.step(
            shard.action_map(action)[0]
        )
        yield observation, float(reward)
        ended = terminated or truncated


def summarise(
    per_task_return: Float[np.ndarray, "task step"],
    env_steps: int,
    seed: int,
    per_task_success: Float[np.ndarray, "task step"] | None = None,
) -> AdaptationCurve:
    """Give mean, gain and their intervals over tasks; `seed` seeds the bootstrap."""
    per_task_gain = per_task_return[:, -1:] - per_task_return[:, :1]
    # The gain is resampled with the same tasks as the returns it is the difference of.
    columns = np.hstack([per_task_return, per_task_gain])
    intervals = bootstrap_interval(columns, stream(seed, Purpose.BOOTSTRAP))
    return AdaptationCurve(
        per_task_return=per_task_return,
        mean_return=per_task_return.mean(0),
        ci95=intervals[:-1],
        gain=float(per_task_gain.mean()),
        gain_ci95=intervals[-1],
        env_steps=env_steps,
        success=None if per_task_success is None else _success_curve(per_task_success, seed),
    )


def _success_curve(per_task: Float[np.ndarray, "task step"], seed: int) -> SuccessCurve:
    interval = bootstrap_interval(per_task, stream(seed, Purpose.BOOTSTRAP))
    return SuccessCurve(per_task, per_task.mean(0), interval)


def join_seeds(curves: Sequence[AdaptationCurve], seed: int) -> AdaptationCurve:
    """Give one experiment's curve: each task's return is its mean over the seeds.

    Args:
        curves: of each seed, on the same tasks and for the same number of steps.
        seed: seeds the bootstrap over tasks.

    """
    per_task = np.mean([curve.per_task_return for curve in curves], axis=0)
    successes = [curve.success.per_task for curve in curves if curve.success is not None]
    return summarise(
        per_task,
        sum(curve.env_steps for curve in curves),
        seed,
        np.mean(successes, axis=0) if len(successes) == len(curves) else None,
    )


def over_seeds(curves: Sequence[AdaptationCurve], seed: int) -> SeedStatistics:
    """Give means and interquartile means with intervals over seeds (Agarwal et al. 2021).

    The bootstrap is stratified: for every task it draws as many seeds as there are, with
    replacement, and never draws tasks, so the intervals say what other seeds would have given on
    these tasks.

    Args:
        curves: of each of two or more seeds, on the same tasks and for the same number of steps.
        seed: seeds the bootstrap.

    """
    generator = stream(seed, Purpose.BOOTSTRAP)
    returns = np.array([curve.per_task_return for curve in curves])
    steps = range(returns.shape[2])
    # The interquartile mean over seeds and tasks together.
    return SeedStatistics(
        mean_ci95=np.array([_stratified(returns[:, :, step], 0.0, generator) for step in steps]),
        iqm=np.array(
            [stats.trim_mean(returns[:, :, step], TRIMMED_FROM_EACH_END, None) for step in steps]
        ),
        iqm_ci95=np.array(
            [_stratified(returns[:, :, step], TRIMMED_FROM_EACH_END, generator) for step in steps]
        ),
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


def _stratified(
    returns: Float[np.ndarray, "seed task"], trimmed: float, generator: np.random.Generator
) -> Float[np.ndarray, "2"]:
    """Give the 95 % interval of a trimmed mean, drawing each task's seeds anew."""

    def trimmed_mean(*tasks: np.ndarray, axis: int) -> Any:
        """Take each task's seeds along `axis`, the last; give one number for all of them."""
        pairs = np.concatenate(tasks, axis=axis)
        return stats.trim_mean(pairs, trimmed, axis=axis)

    found = stats.bootstrap(
        tuple(returns.T),
        trimmed_mean,
        n_resamples=BOOTSTRAP_SAMPLES,
        vectorized=True,
        method="percentile",
        rng=generator,
        batch=1000,
    ).confidence_interval
    return np.array([found.low, found.high])
