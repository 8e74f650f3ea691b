"""The figures of a report, beside the adaptation curves of `metarl.reports.figures`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from metarl.agent.protocol import Record
from metarl.experiments.curves import AdaptationCurve
from metarl.reports.figures import plain

Groups = Mapping[str, Sequence[Sequence[Record]]]
"""The records of each run of each group."""

_LEARNED = {
    "return": ("mean return of the meta-batch", "Mean return"),
    "loss": ("loss on the query sets of training", "Loss on the query sets of training"),
    "success": ("share of episodes that succeeded", "Success"),
}
"""What records have before and after adaptation: its axis, and its name in words."""


@dataclass(frozen=True)
class TaskPaths:
    """A policy's ways through the plane, before adaptation and after some units of it."""

    title: str
    goals: Float[np.ndarray, "task 2"]
    phases: list[str]
    """What each phase is."""
    paths: list[list[list[np.ndarray]]]
    """For each task and phase some ways: the positions, one a row."""


def learning_figures(groups: Groups) -> Iterator[tuple[Figure, str]]:
    """Draw returns and their gain, losses, and success, each where some record has it."""
    for metric, (ylabel, text) in _LEARNED.items():
        figure = _before_and_after(groups, metric, ylabel)
        if not figure.axes[0].lines:
            continue
        if metric == "loss":
            figure.axes[0].set_yscale("log")
        if metric == "success":
            figure.axes[0].set_ylim(-0.02, 1.02)
        yield figure, f"{text} before and after adaptation against meta-iterations"
        gain = _gain_figure(groups) if metric == "return" else None
        if gain:
            yield gain, "Gain of adaptation against meta-iterations"


def _before_and_after(groups: Groups, metric: str, ylabel: str) -> Figure:
    """Draw a metric before adaptation and after it."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, runs) in enumerate(groups.items()):
        for phase, name, style in (("pre", "before", "--"), ("post", "after", "-")):
            line = f"{label}, {name} adaptation"
            _mean_and_range(axes, runs, f"{phase}_adaptation_{metric}", line, f"C{number}", style)
    axes.set(xlabel="meta-iteration", ylabel=ylabel)
    _finish(axes, legend=bool(axes.lines))
    return figure


def _gain_figure(groups: Groups) -> Figure | None:
    """Draw the return after adaptation minus that before, where records have both."""
    before, after = "pre_adaptation_return", "post_adaptation_return"
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, runs) in enumerate(groups.items()):
        with_gain = [
            [
                {**record, "gain": record[after] - record[before]}
                for record in run
                if record.get(before) is not None and record.get(after) is not None
            ]
            for run in runs
        ]
        _mean_and_range(axes, with_gain, "gain", label, f"C{number}", "-")
    if not axes.lines:
        return None
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set(xlabel="meta-iteration", ylabel="gain of adaptation (after − before)")
    _finish(axes)
    return figure


def update_figure(groups: Groups) -> Figure | None:
    """Draw the KL divergence of each outer step and the line search's candidates."""
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for number, (label, runs) in enumerate(groups.items()):
        _mean_and_range(above, runs, "kl", label, f"C{number}", "-")
        _mean_and_range(below, runs, "line_search_steps", label, f"C{number}", "-")
        for run in runs:
            rejected = [each["iteration"] for each in run if not each.get("step_accepted", True)]
            below.plot(rejected, np.zeros(len(rejected)), "x", color=f"C{number}", clip_on=False)
    if not above.lines:
        return None
    above.set(ylabel="KL divergence of the step")
    below.set(xlabel="meta-iteration", ylabel="line search: candidates\n(× at 0: step rejected)")
    _finish(above)
    _finish(below, legend=bool(below.get_legend_handles_labels()[0]))
    return figure


def time_figure(runs: Mapping[str, Sequence[Record]]) -> Figure | None:
    """Draw where an iteration's time went, a bar for each run that measured it."""
    shares = {name: _shares(records) for name, records in runs.items()}
    shares = {name: share for name, share in shares.items() if share}
    if not shares:
        return None
    figure = Figure(figsize=(6, 1.6 + 0.5 * len(shares)), layout="constrained")
    axes = figure.add_subplot()
    phases = list(dict.fromkeys(phase for share in shares.values() for phase in share))
    left = np.zeros(len(shares))
    for number, phase in enumerate(phases):
        widths = np.array([100 * share.get(phase, 0.0) for share in shares.values()])
        label = plain(f"{phase.replace('_', ' ')} ({widths.mean():.0f} %)")
        colour = f"C{number}" if number < 10 else "0.7"
        axes.barh(range(len(shares)), widths, left=left, label=label, color=colour, height=0.6)
        left += widths
    axes.set(xlabel="% of an iteration", xlim=(0, 100))
    axes.set_yticks(range(len(shares)), [plain(name) for name in shares])
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def task_figure(tasks: Any, curves: Mapping[str, AdaptationCurve]) -> Figure:
    """Draw each task's return: against its value, or as colour in the plane of two values.

    Tasks that are neither have their return after adaptation drawn against that before.
    """
    values = _values(tasks, len(next(iter(curves.values())).per_task))
    if values is not None and values.shape[1] == 2:
        return _plane_of_tasks(values, curves)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, curve) in enumerate(curves.items()):
        before, after = curve.per_task[:, 0], curve.per_task[:, -1]
        last = curve.per_task.shape[1] - 1
        colour = f"C{number}"
        if values is None:
            axes.scatter(before, after, s=18, color=colour, label=plain(label))
            axes.set(xlabel="return before adaptation", ylabel="return at last")
            continue
        if last:
            axes.scatter(values, before, s=18, facecolors="none", edgecolors=colour)
        axes.scatter(
            values,
            after,
            s=18,
            color=colour,
            label=plain(f"{label}, after {last} {curve.unit_word}s"),
        )
        axes.set(xlabel="the task's value", ylabel="return (open: before adaptation)")
    _finish(axes)
    return figure


def paths_figure(shown: TaskPaths) -> Figure:
    """Draw a square for each task: the goal, and the ways of each phase."""
    count = len(shown.paths)
    figure = Figure(figsize=(7, 7 * ((count + 1) // 2) / 2 + 0.3), layout="constrained")
    squares = figure.subplots((count + 1) // 2, 2, squeeze=False).ravel()
    for axes, goal, phases in zip(squares, shown.goals, shown.paths, strict=False):
        for phase, ways in enumerate(phases):
            faint = 0.35 + 0.65 * phase / max(1, len(phases) - 1)
            for number, positions in enumerate(ways):
                label = None if number else shown.phases[phase]
                axes.plot(*positions.T, color=f"C{phase}", alpha=faint, label=label)
                axes.plot(*positions[-1], "o", color=f"C{phase}", markersize=4)
        axes.plot(0, 0, "s", color="0.2", markersize=5)
        axes.plot(*goal, "*", color="black", markersize=12)
        axes.set(title=f"goal ({goal[0]:.2f}, {goal[1]:.2f})", aspect="equal")
        axes.set_adjustable("datalim")
        axes.grid(alpha=0.3)
    for axes in squares[count:]:
        axes.axis("off")
    handles, labels = squares[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _plane_of_tasks(
    values: Float[np.ndarray, "task 2"], curves: Mapping[str, AdaptationCurve]
) -> Figure:
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(6, 4.2 if columns == 1 else 2.9 * rows), layout="constrained")
    squares = figure.subplots(rows, columns, squeeze=False).ravel()
    returns = [curve.per_task[:, -1] for curve in curves.values()]
    low, high = min(map(np.min, returns)), max(map(np.max, returns))
    for axes, (label, curve), last in zip(squares, curves.items(), returns, strict=False):
        steps = curve.per_task.shape[1] - 1
        points = axes.scatter(*values.T, c=last, vmin=low, vmax=high, s=30, cmap="viridis")
        axes.set(title=plain(f"{label}, after {steps} {curve.unit_word}s"), aspect="equal")
        axes.grid(alpha=0.3)
    for axes in squares[len(curves) :]:
        axes.axis("off")
    figure.colorbar(points, ax=squares.tolist(), label="return", shrink=0.8)
    figure.supxlabel("the task's first value", fontsize="medium")
    figure.supylabel("its second value", fontsize="medium")
    return figure


def _mean_and_range(
    axes: Any, runs: Sequence[Sequence[Record]], metric: str, label: str, colour: str, style: str
) -> None:
    """Draw the mean over runs, as far as all of them have come, and the range they cover."""
    values = [
        [(record["iteration"], record[metric]) for record in run if record.get(metric) is not None]
        for run in runs
    ]
    shortest = min((len(run) for run in values), default=0)
    if not shortest:
        return
    iterations = [iteration for iteration, _ in values[0][:shortest]]
    numbers = np.array([[value for _, value in run[:shortest]] for run in values])
    name = f"{label} ({len(values)} seeds)" if len(values) > 1 else label
    axes.plot(iterations, numbers.mean(0), style, color=colour, label=plain(name), linewidth=1.4)
    if len(values) > 1:
        ends = numbers.min(0), numbers.max(0)
        axes.fill_between(iterations, *ends, color=colour, alpha=0.15, linewidth=0)


def _shares(records: Sequence[Record]) -> dict[str, float]:
    total = sum(record.get("iteration_seconds") or 0.0 for record in records)
    names = [
        name for name in records[-1] if name.endswith("_seconds") and name != "iteration_seconds"
    ]
    if not names or not total:
        return {}
    shares = {
        name.removesuffix("_seconds"): sum(record.get(name) or 0.0 for record in records) / total
        for name in names
    }
    return {**shares, "everything else": max(0.0, 1 - sum(shares.values()))}


def _values(tasks: Any, count: int) -> Float[np.ndarray, "task value"] | None:
    """Give so many tasks of one or two numbers as rows; None for others."""
    try:
        values = np.array(tasks, dtype=np.float64)
        rows: np.ndarray = values.reshape(count, -1)
    except (OverflowError, TypeError, ValueError):
        return None
    return rows if values.shape[:1] == (count,) and rows.shape[1] in (1, 2) else None


def _finish(axes: Any, legend: bool = True) -> None:
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(frameon=False, fontsize="small")
