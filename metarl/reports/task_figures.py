"""Figures of single held-out tasks: what was measured on each."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from metarl.experiments.curves import AdaptationCurve
from metarl.foundation.wording import counted
from metarl.reports.figures import plain
from metarl.reports.report_figures import Drawn, legend_below
from metarl.reports.tables import task_table


def task_figure(tasks: Any, curves: Mapping[str, AdaptationCurve]) -> Drawn:
    """Draw each task's return: against its value, or as colour in the plane of two values.

    Tasks that are neither have their return after adaptation drawn against that before.
    """
    values = _values(tasks, len(next(iter(curves.values())).per_task))
    if values is not None and values.shape[1] == 2:
        figure = _plane_of_tasks(values, curves)
    else:
        figure = _line_of_tasks(values, curves)
    return Drawn(figure, "Return on each task", task_table(values, curves))


def _line_of_tasks(
    values: Float[np.ndarray, "task 1"] | None, curves: Mapping[str, AdaptationCurve]
) -> Figure:
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
    axes.grid(alpha=0.3)
    legend_below(figure, axes)
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
        points.set(edgecolor="0.5", linewidth=0.5)
        title = plain(f"{label}, after {counted(steps, curve.unit_word)}")
        axes.set_title(title, fontsize="medium")
        axes.set_aspect("equal")
        axes.grid(alpha=0.3)
    for axes in squares[len(curves) :]:
        axes.axis("off")
    figure.colorbar(points, ax=squares.tolist(), label="return", shrink=0.8)
    figure.supxlabel("the task's first value", fontsize="medium")
    figure.supylabel("its second value", fontsize="medium")
    return figure


def _values(tasks: Any, count: int) -> Float[np.ndarray, "task value"] | None:
    """Give so many tasks of one or two numbers as rows; None for others."""
    try:
        values = np.array(tasks, dtype=np.float64)
        rows: np.ndarray = values.reshape(count, -1)
    except (OverflowError, TypeError, ValueError):
        return None
    return rows if values.shape[:1] == (count,) and rows.shape[1] in (1, 2) else None
