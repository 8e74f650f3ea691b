"""The sections of a report about held-out tasks: whose curves stand together, and their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metarl.config.comparability import published_returns
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.curves import (
    AdaptationCurve,
    in_different_units,
    interval_in_words,
    shown_units,
)
from metarl.reports.evaluations import Evaluation, panels_by_shots
from metarl.reports.figures import Panel
from metarl.reports.run_contents import TRAINING, Run, groups_of


@dataclass(frozen=True)
class Row:
    """A row of a table of means: an agent's, or what the source gives of one."""

    name: str
    adapted_to: str
    """The shots of a problem; empty: episodes."""
    means: list[str]
    """Mean and interval after each shown unit; empty: it was not measured."""
    published: list[str]
    """What the source gives after each shown unit; empty: nothing."""
    differences: list[str]
    """The mean minus what the source gives; empty: it gives nothing."""
    gain: str
    trial: str


def published_row(name: str, panel: Panel, steps: Sequence[int]) -> Row:
    """Give a row of what the source gives alone."""
    numbers = panel.published[name]
    means = [f"{numbers[step]:g}" if step in numbers else "" for step in steps]
    none = [""] * len(means)
    return Row(f"{name}, published", panel.title, means, none, none, "", "")


@dataclass(frozen=True)
class EvaluatedTasks:
    """Adaptation curves on the same held-out tasks, whichever runs they are of."""

    preset: str
    first: Evaluation
    """One that says what was measured, and of which tasks."""
    panels: list[Panel]
    agents: list[str]
    """Those of the runs, who come first in tables."""

    @property
    def title(self) -> str:
        """Name preset, number of tasks and range."""
        return f"{self.preset}: {self.first.which}"

    @property
    def measure(self) -> str:
        """What was measured, with a capital."""
        return self.first.measure[:1].upper() + self.first.measure[1:]

    @property
    def curves(self) -> list[AdaptationCurve]:
        """The curves of all panels."""
        return [curve for panel in self.panels for curve in panel.curves.values()]

    @property
    def mixed(self) -> bool:
        """Whether agents adapt in different units."""
        return in_different_units(self.curves)

    @property
    def unit_word(self) -> str:
        """The unit of adaptation in a word."""
        return "unit" if self.mixed else self.curves[0].unit_word

    @property
    def steps(self) -> list[int]:
        """The units of adaptation that tables show."""
        return shown_units(max(len(curve.mean) - 1 for curve in self.curves))

    @property
    def adapted_to(self) -> bool:
        """Whether tables say what was adapted to."""
        return any(panel.title for panel in self.panels)

    @property
    def has_gain(self) -> bool:
        """Whether some curve has a gain with an interval."""
        return any(np.isfinite(curve.gain_ci95).all() for curve in self.curves)

    @property
    def has_trial(self) -> bool:
        """Whether some curve has the return of whole trials."""
        return any(curve.trial for curve in self.curves)

    @property
    def digits(self) -> int:
        """Digits after the point."""
        return 2 if self.first.of_returns else 3

    @property
    def rows(self) -> list[Row]:
        """A table's rows, panel by panel: its curves, and then what the source gives."""
        return [
            row
            for panel in self.panels
            for row in [
                *(self._row(panel, name, curve) for name, curve in panel.curves.items()),
                *(published_row(name, panel, self.steps) for name in panel.published),
            ]
        ]

    @property
    def rows_of_curves(self) -> list[Row]:
        """The rows of curves alone, those of the runs' own agents first."""
        named = [
            (name, self._row(panel, name, curve))
            for panel in self.panels
            for name, curve in panel.curves.items()
        ]
        return [row for _, row in sorted(named, key=lambda it: _agent_of(it[0]) not in self.agents)]

    def _row(self, panel: Panel, name: str, curve: AdaptationCurve) -> Row:
        digits, there = self.digits, len(curve.mean)
        known = panel.published.get(_agent_of(name), {})
        return Row(
            name=f"{name}, by {curve.unit}s" if self.mixed else name,
            adapted_to=panel.title,
            means=[_mean(curve, step, digits) if step < there else "" for step in self.steps],
            published=[
                f"published {known[step]:g}" if step in known and step < there else ""
                for step in self.steps
            ],
            differences=[
                f"difference {curve.mean[step] - known[step]:+.{digits}f}"
                if step in known and step < there
                else ""
                for step in self.steps
            ],
            gain=_gain(curve, digits),
            trial=_trial(curve, digits),
        )


def evaluated_tasks(runs: Sequence[Run]) -> list[EvaluatedTasks]:
    """Join what evaluations say of the same held-out tasks, whichever run's folder it lies in."""
    found: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        for name, evaluation in run.evaluations.items():
            found.setdefault((run.config.title, name, evaluation.identity), []).append(run)
    seeds = {run.run_dir: members for members in groups_of(runs).values() for run in members}
    joined = []
    for (preset, range_name, _), members in found.items():
        curves: dict[int, dict[str, AdaptationCurve]] = {}
        for run in members:
            several = len(seeds[run.run_dir]) > 1
            alone = f"{run.config.agent}, seed {run.config.seed}" if several else run.config.agent
            for shots, by_agent in run.evaluations[range_name].curves.items():
                there = curves.setdefault(shots, {})
                for agent, curve in by_agent.items():
                    there.setdefault(_free_name(there, agent or alone, curve, run), curve)
        first = members[0]
        panels = _panels(first.config, range_name, curves)
        agents = [run.config.agent for run in members]
        joined.append(EvaluatedTasks(preset, first.evaluations[range_name], panels, agents))
    return joined


def _agent_of(name: str) -> str:
    """Give the agent of a curve, whose name may say seed or folder as well."""
    return name.partition(", ")[0]


def _free_name(
    taken: Mapping[str, AdaptationCurve], name: str, curve: AdaptationCurve, run: Run
) -> str:
    """Give a name that no other numbers have: its own, or with the run's folder."""
    same = name not in taken or np.array_equal(taken[name].mean, curve.mean, equal_nan=True)
    return name if same else f"{name}, {run.run_dir}"


def _panels(
    config: Config | SupervisedConfig,
    range_name: str,
    curves: Mapping[int, Mapping[str, AdaptationCurve]],
) -> list[Panel]:
    if isinstance(config, SupervisedConfig):
        return panels_by_shots(curves, config)
    returns = published_returns(config) if range_name == TRAINING else {}
    published = {agent: dict(enumerate(means)) for agent, means in returns.items() if means}
    return [Panel("", by_agent, published) for by_agent in curves.values()]


def _mean(curve: AdaptationCurve, step: int, digits: int) -> str:
    rate = f", success {curve.success.mean[step]:.1%}" if curve.success else ""
    return f"{_with_interval(curve.mean[step], curve.ci95[step], digits)}{rate}"


def _trial(curve: AdaptationCurve, digits: int) -> str:
    if curve.trial is None:
        return ""
    return _with_interval(curve.trial.mean, curve.trial.ci95, digits)


def _gain(curve: AdaptationCurve, digits: int) -> str:
    if len(curve.mean) == 1:
        return "takes no step"
    return _with_interval(curve.gain, curve.gain_ci95, digits, "+")


def _with_interval(mean: float, ends: np.ndarray, digits: int, sign: str = "") -> str:
    return f"{mean:{sign}.{digits}f} {interval_in_words(ends, f'.{digits}f')}".rstrip()
