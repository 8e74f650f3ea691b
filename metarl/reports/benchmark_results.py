"""What a benchmark has found so far: from the folders of its cells to numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from metarl.config.suite import Comparison
from metarl.experiments.curves import (
    BOOTSTRAP_SAMPLES,
    AdaptationCurve,
    bootstrap_interval,
    interval_to_json,
    join_seeds,
)
from metarl.foundation.errors import RunFolderError
from metarl.foundation.seeding import Purpose, stream
from metarl.learning.score_statistics import (
    improvements_of_draws,
    interquartile_mean,
    interquartile_means_of_draws,
    interval,
    means_of_draws,
    normalised,
    position_at,
    shares_above,
    wins,
)
from metarl.reports.benchmark_speed import AgentSpeed, record_of_speed, speed_of_agents
from metarl.reports.evaluations import read_evaluation
from metarl.runs.benchmark_cells import CellState
from metarl.runs.metrics import Record, read_metrics, training_return

_THRESHOLDS = 201
_OUTLIERS = 1.0
"""Percent of the scores at each end that the thresholds of a profile leave out."""
_SEED = 1
"""Of the bootstrap."""


@dataclass(frozen=True)
class AgentResult:
    """What the runs of one agent have come to."""

    states: tuple[CellState, ...]
    """Of the cells that are done, one a seed."""
    curves: tuple[AdaptationCurve, ...]
    """On the held-out tasks, of each run."""
    allowed: int | None
    """Environment steps in a task that may be used before the return that counts; None: all."""

    @property
    def seeds(self) -> list[int]:
        """The seeds that are done."""
        return [state.cell.seed for state in self.states]

    @cached_property
    def joint(self) -> AdaptationCurve:
        """The curve of all runs: each task's return is its mean over them."""
        return join_seeds(self.curves, _SEED) if len(self.curves) > 1 else self.curves[0]

    @property
    def experience(self) -> float:
        """Environment steps that were used before the return that counts, the mean over runs."""
        return float(np.mean([(curve.experience or (0.0,))[self._at] for curve in self.curves]))

    @property
    def returns(self) -> Float[np.ndarray, "run task"]:
        """The return that counts, of each run and task."""
        return np.array([curve.per_task[:, self._at] for curve in self.curves])

    @property
    def _at(self) -> int:
        used = np.mean([curve.experience for curve in self.curves], axis=0)
        return position_at(used.tolist(), self.allowed)

    @cached_property
    def metrics(self) -> list[list[Record]]:
        """The records of each run's training."""
        return [
            read_metrics(state.cell.folder) if state.cell.trains else [] for state in self.states
        ]

    @cached_property
    def learning(self) -> list[tuple[list[int], list[float]]]:
        """Env steps and returns of each run's training; nothing where none is measured."""
        found = []
        for records in self.metrics:
            measured = [
                (it["env_steps"], value)
                for it in records
                if (value := training_return(it)) is not None
            ]
            if measured:
                steps, returns = zip(*measured, strict=True)
                found.append((list(steps), list(returns)))
        return found


@dataclass(frozen=True)
class ComparisonResult:
    """What the agents of one comparison have come to."""

    comparison: Comparison
    agents: Mapping[str, AgentResult]
    """Those of which a seed is done."""
    missing: tuple[CellState, ...]
    """The cells that are not."""
    speed: Mapping[str, AgentSpeed]
    """Of the agents that are trained."""

    @cached_property
    def ends(self) -> tuple[float, float] | str:
        """The returns that score 0 and 1; or why there are none, in words."""
        means = {name: float(found.returns.mean()) for name, found in self.agents.items()}
        given = (self.comparison.scale.zero, self.comparison.scale.one)
        for end in given:
            if isinstance(end, str) and end not in means:
                return f"agent {end}, which the scale is measured by, is missing"
        if not means:
            return "no cell is done"
        usual = (min(means.values()), max(means.values()))
        zero, one = (
            value if end is None else means[end] if isinstance(end, str) else float(end)
            for end, value in zip(given, usual, strict=True)
        )
        if zero < one:
            return zero, one
        return f"the return that scores 1 ({one:g}) is not above the one that scores 0 ({zero:g})"

    @cached_property
    def scores(self) -> dict[str, Float[np.ndarray, "run task"]]:
        """Each agent's normalised returns; nothing where there is no scale."""
        if isinstance(self.ends, str):
            return {}
        return {name: normalised(found.returns, *self.ends) for name, found in self.agents.items()}


def collect(
    comparison: Comparison,
    states: Sequence[CellState],
    reasons: Mapping[str, str],
    folder: Path,
) -> ComparisonResult:
    """Read what the cells of a comparison hold.

    Args:
        comparison: of the suite.
        states: of its cells.
        reasons: why cells and measurements of speed failed just now, by their names.
        folder: of the benchmark.

    """
    found: dict[str, list[tuple[CellState, AdaptationCurve]]] = {}
    missing, tasks = [], ""
    for state in states:
        why = reasons.get(str(state.cell), state.reason)
        if state.standing == "done":
            try:
                evaluation = read_evaluation(state.cell.evaluation)
                tasks = tasks or evaluation.identity
                if evaluation.identity == tasks:
                    curve = evaluation.curves[0][""]
                    found.setdefault(state.cell.agent, []).append((state, curve))
                    continue
                why = f"evaluated on other tasks than the first; remove {state.cell.evaluation}"
            except RunFolderError as error:
                why = f"{error}; remove it"
        missing.append(replace(state, reason=why))
    agents = {}
    for name in (agent.name for agent in comparison.agents if agent.name in found):
        done, curves = zip(*found[name], strict=True)
        agents[name] = AgentResult(done, curves, comparison.experience)
    done_cells = {
        name: list(zip((it.cell for it in agent.states), agent.metrics, strict=True))
        for name, agent in agents.items()
    }
    speed = speed_of_agents(done_cells, comparison.reach, folder, reasons)
    return ComparisonResult(comparison, agents, tuple(missing), speed)


@dataclass(frozen=True)
class Profiles:
    """The share of runs × tasks above each score."""

    thresholds: Float[np.ndarray, " threshold"]
    shares: dict[str, Float[np.ndarray, " threshold"]]
    """By agent."""
    ci95: dict[str, Float[np.ndarray, "threshold 2"]]
    """95 % intervals over seeds, of agents with two or more."""


Scores = Mapping[str, Sequence[np.ndarray]]
"""Each agent's scores [run task], one array a comparison."""


def scores_of(results: Sequence[ComparisonResult]) -> Scores:
    """Give the scores of the agents that all comparisons have."""
    names = [name for name in results[0].scores if all(name in it.scores for it in results)]
    return {name: [it.scores[name] for it in results] for name in names}


def profiles(scores: Scores) -> Profiles:
    """Give performance profiles."""
    every = np.concatenate([one.ravel() for several in scores.values() for one in several])
    low, high = np.percentile(every, [_OUTLIERS, 100 - _OUTLIERS])
    thresholds = np.linspace(min(low, 0.0), max(high, 1.0), _THRESHOLDS)
    shares, ci95 = {}, {}
    for name, several in scores.items():
        per_run = [shares_above(one, thresholds) for one in several]
        shares[name] = np.mean([one.mean(0) for one in per_run], axis=0)
        if _are_several(several):
            generator = stream(_SEED, Purpose.BOOTSTRAP)
            draws = [means_of_draws(one, BOOTSTRAP_SAMPLES, generator) for one in per_run]
            ci95[name] = interval(np.mean(draws, axis=0))
    return Profiles(thresholds, shares, ci95)


def improvement(scores: Scores) -> dict[str, dict[str, dict[str, Any]]]:
    """Give for each pair of agents the probability that the first does better on a task."""
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in scores}
    for first, second in combinations(scores, 2):
        own, others = scores[first], scores[second]
        won = [wins(x, y) for x, y in zip(own, others, strict=True)]
        probability = float(np.mean([it.mean() for it in won]))
        found[first][second] = {"probability": probability}
        found[second][first] = {"probability": 1 - probability}
        if _are_several(own) and _are_several(others):
            generator = stream(_SEED, Purpose.BOOTSTRAP)
            draws = [improvements_of_draws(it, BOOTSTRAP_SAMPLES, generator) for it in won]
            low, high = interval(np.mean(draws, axis=0)).tolist()
            found[first][second]["ci95"] = [low, high]
            found[second][first]["ci95"] = [1 - high, 1 - low]
    return found


def _are_several(scores: Sequence[np.ndarray]) -> bool:
    return all(len(one) > 1 for one in scores)


def record_of(results: Sequence[ComparisonResult]) -> dict[str, Any]:
    """Give everything as `results.json` holds it."""
    record: dict[str, Any] = {
        "comparisons": {it.comparison.name: _of_comparison(it) for it in results}
    }
    together = scores_of(results)
    if len(results) > 1 and together:
        record["all"] = _of_scores(together)
    return record


def _of_comparison(result: ComparisonResult) -> dict[str, Any]:
    comparison, ends = result.comparison, result.ends
    scale: dict[str, Any] = (
        {"none": ends} if isinstance(ends, str) else {"zero": ends[0], "one": ends[1]}
    )
    described: dict[str, Any] = {
        "preset": comparison.preset,
        "env_steps": comparison.env_steps,
        "experience": comparison.experience,
        "seeds": list(comparison.seeds),
        "scale": scale,
        "agents": {
            name: _of_agent(found, result.scores.get(name)) for name, found in result.agents.items()
        },
        "speed": record_of_speed(result.speed, comparison.reach),
        "missing": [
            {
                "agent": state.cell.agent,
                "seed": state.cell.seed,
                "run_dir": str(state.cell.folder),
                "standing": state.standing,
                "env_steps": state.env_steps,
                "reason": state.reason,
            }
            for state in result.missing
        ],
    }
    return {**described, **(_of_scores(scores_of([result])) if result.scores else {})}


def _of_agent(found: AgentResult, scores: np.ndarray | None) -> dict[str, Any]:
    joint, returns, generator = found.joint, found.returns, stream(_SEED, Purpose.BOOTSTRAP)
    cell = found.states[0].cell
    (over_tasks,) = bootstrap_interval(returns.mean(0)[:, None], generator)
    described: dict[str, Any] = {
        "agent": cell.config.agent,
        "preset": cell.config.preset,
        "seeds": found.seeds,
        "env_steps": [state.env_steps for state in found.states],
        "run_dirs": [str(state.cell.folder) for state in found.states],
        "held_out_tasks": returns.shape[1],
        "experience": found.experience,
        "mean_return": float(returns.mean()),
        "ci95_over_tasks": interval_to_json(over_tasks),
        "iqm_return": interquartile_mean(returns),
        "mean_return_of_seeds": returns.mean(1).tolist(),
        "unit": joint.unit,
        "adaptation": {
            "experience": list(joint.experience),
            "mean_return": joint.mean.tolist(),
            "ci95_over_tasks": interval_to_json(joint.ci95),
        },
    }
    if scores is not None:
        described["mean_score"] = float(scores.mean())
    if len(returns) > 1:
        means = means_of_draws(returns.mean(1), BOOTSTRAP_SAMPLES, generator)
        middles = interquartile_means_of_draws(returns, BOOTSTRAP_SAMPLES, generator)
        described["ci95_over_seeds"] = interval(means).tolist()
        described["iqm_ci95_over_seeds"] = interval(middles).tolist()
    return described


def _of_scores(scores: Scores) -> dict[str, Any]:
    found = profiles(scores)
    return {
        "profiles": {
            "thresholds": found.thresholds.tolist(),
            "agents": {
                name: {
                    "share_above": shares.tolist(),
                    **({"ci95": found.ci95[name].tolist()} if name in found.ci95 else {}),
                }
                for name, shares in found.shares.items()
            },
        },
        "probability_of_improvement": improvement(scores),
    }
