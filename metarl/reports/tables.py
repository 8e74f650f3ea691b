"""The numbers behind the figures of a report, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from metarl.agent.protocol import Record
from metarl.experiments.curves import AdaptationCurve, interval_in_words
from metarl.foundation.wording import counted
from metarl.reports.clip_returns import ClipReturns
from metarl.reports.figures import Panel

_MOST_ROWS = 200


@dataclass(frozen=True)
class Table:
    """Texts in rows under headings."""

    headings: list[str]
    rows: list[list[str]]
    note: str = ""
    """What a reader has to know of it."""


@dataclass(frozen=True)
class Series:
    """A metric of one run or of several seeds, as far as all of them have come."""

    iterations: list[int]
    values: Float[np.ndarray, "run iteration"]


def most_rows(count: int) -> list[int]:
    """Give which of so many rows are shown: all, or at equal distances and the last."""
    step = -(-count // _MOST_ROWS)
    shown = list(range(0, count, step)) if count else []
    return shown if not shown or shown[-1] == count - 1 else [*shown, count - 1]


def series_of(runs: Sequence[Sequence[Record]], metric: str) -> Series | None:
    """Give a metric of the runs; None: one of them has none of it."""
    found = [
        [(record["iteration"], record[metric]) for record in run if record.get(metric) is not None]
        for run in runs
    ]
    shortest = min((len(run) for run in found), default=0)
    if not shortest:
        return None
    iterations = [iteration for iteration, _ in found[0][:shortest]]
    return Series(iterations, np.array([[value for _, value in run[:shortest]] for run in found]))


def table_by_iteration(columns: Mapping[str, Series | None]) -> Table:
    """Give a row for each iteration; of several seeds the mean and the range.

    Args:
        columns: by heading; what is None is left out.

    """
    shown = {name: series for name, series in columns.items() if series is not None}
    cells: dict[int, dict[str, str]] = {}
    for name, series in shown.items():
        for iteration, values in zip(series.iterations, series.values.T, strict=True):
            cells.setdefault(iteration, {})[name] = _mean_and_range(values)
    iterations = sorted(cells)
    rows = [
        [str(iteration), *(cells[iteration].get(name, "") for name in shown)]
        for iteration in (iterations[row] for row in most_rows(len(iterations)))
    ]
    notes = []
    if any(len(series.values) > 1 for series in shown.values()):
        notes.append("Of several seeds: the mean, and the lowest and highest in brackets.")
    if len(rows) < len(iterations):
        notes.append("Some of the iterations; metrics.jsonl in the run folder has all of them.")
    return Table(["iteration", *shown], rows, " ".join(notes))


def adaptation_table(panels: Sequence[Panel], digits: int) -> Table:
    """Give a row for each point of the curves, and for what the source gives."""
    by_panel = any(panel.title for panel in panels)
    curves = [curve for panel in panels for curve in panel.curves.values()]
    with_experience = any(curve.experience for curve in curves)
    with_success = any(curve.success for curve in curves)
    headings = ["agent", *(["adapted to"] if by_panel else []), "after", "mean", "95 % interval"]
    headings += ["env steps used"] if with_experience else []
    headings += ["success"] if with_success else []
    rows = []
    for panel in panels:
        for name, curve in panel.curves.items():
            for at, (mean, ends) in enumerate(zip(curve.mean, curve.ci95, strict=True)):
                row = [name, *([panel.title] if by_panel else []), counted(at, curve.unit_word)]
                row += [f"{mean:.{digits}f}", interval_in_words(ends, f".{digits}f")]
                if with_experience:
                    row.append(f"{curve.experience[at]:,.0f}" if curve.experience else "")
                if with_success:
                    row.append(f"{curve.success.mean[at]:.1%}" if curve.success else "")
                rows.append(row)
        for name, means in panel.published.items():
            for at, mean in means.items():
                unit = panel.curves.get(name, curves[0]).unit_word
                row = [f"{name}, published", *([panel.title] if by_panel else [])]
                row += [counted(at, unit), f"{mean:g}"]
                rows.append([*row, *[""] * (len(headings) - len(row))])
    return Table(headings, rows)


def task_table(
    values: Float[np.ndarray, "task value"] | None, curves: Mapping[str, AdaptationCurve]
) -> Table:
    """Give a row for each held-out task: its value, and what was measured before and after.

    Args:
        values: of each task; None: tasks are no numbers.
        curves: by name, on the same tasks.

    """
    headings = ["task", *([] if values is None else ["its value"])]
    for name, curve in curves.items():
        last = curve.per_task.shape[1] - 1
        for at in dict.fromkeys((0, last)):
            headings.append(f"{name}, after {counted(at, curve.unit_word)}")
    rows = []
    for task in range(len(next(iter(curves.values())).per_task)):
        row = [str(task + 1)]
        row += [] if values is None else [", ".join(f"{value:.4g}" for value in values[task])]
        for curve in curves.values():
            last = curve.per_task.shape[1] - 1
            row += [f"{curve.per_task[task, at]:.2f}" for at in dict.fromkeys((0, last))]
        rows.append(row)
    return Table(headings, rows)


def shares_table(shares: Mapping[str, Mapping[str, float]]) -> Table:
    """Give a row for each phase, and a column for each run, in percent."""
    phases = list(dict.fromkeys(phase for share in shares.values() for phase in share))
    rows = [
        [phase.replace("_", " "), *(f"{share.get(phase, 0.0):.1%}" for share in shares.values())]
        for phase in phases
    ]
    return Table(["", *shares], rows)


def paths_table(
    goals: Float[np.ndarray, "task 2"],
    phases: Sequence[str],
    paths: Sequence[Sequence[Sequence[np.ndarray]]],
) -> Table:
    """Give a row for each goal and phase: where its ways end; of several ways the means."""
    rows = []
    for goal, of_task in zip(goals, paths, strict=True):
        for phase, ways in zip(phases, of_task, strict=True):
            ends = np.array([positions[-1] for positions in ways])
            moves = np.mean([len(positions) - 1 for positions in ways])
            distance = np.linalg.norm(ends - goal, axis=1).mean()
            row = [_place(goal), phase, f"{moves:.4g}", _place(ends.mean(0)), f"{distance:.3f}"]
            rows.append(row)
    return Table(["goal", "policy", "moves", "ends at", "distance from the goal"], rows)


def clip_table(shown: ClipReturns) -> Table:
    """Give a row for each episode of a clip."""
    episodes = zip(shown.phases, shown.returns, shown.env_steps, strict=True)
    rows = [[phase, f"{paid:.2f}", str(steps)] for phase, paid, steps in episodes]
    return Table(["episode", "return", "env steps"], rows)


def _mean_and_range(values: np.ndarray) -> str:
    mean = f"{values.mean():.4g}"
    return mean if len(values) == 1 else f"{mean} [{values.min():.4g}, {values.max():.4g}]"


def _place(position: np.ndarray) -> str:
    return f"({position[0]:.2f}, {position[1]:.2f})"
