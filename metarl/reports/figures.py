"""Figures: adaptation curves, as PNG for a page and as SVG for a paper.

Drawn without a window and without pyplot's global state, so that any number of figures can be made
in any process.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metarl.experiments.curves import AdaptationCurve
from metarl.foundation.files import write_whole

FORMATS = ("png", "svg")
_DOTS_PER_INCH = 130
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def adaptation_curves(
    axes: Axes,
    curves: Mapping[str, AdaptationCurve],
    published: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Draw mean returns against adaptation steps, with a band for the 95 % interval over tasks.

    A policy that takes no step, as the oracle, is drawn as a horizontal line.

    Args:
        axes: where to draw.
        curves: by the name that the legend gives them.
        published: mean returns after 0, 1, … steps of some of the same names, drawn as crosses.

    """
    published = published or {}
    last = max([1, *(len(curve.mean_return) - 1 for curve in curves.values())])
    for number, (name, curve) in enumerate(curves.items()):
        colour = f"C{number}"
        steps, means, interval = range(len(curve.mean_return)), curve.mean_return, curve.ci95
        if len(means) == 1:
            steps, means, interval = range(last + 1), means.repeat(last + 1), interval.repeat(2, 0)
            axes.plot(steps, means, color=colour, linestyle="--", label=f"{name} (no adaptation)")
            axes.fill_between([0, last], *interval.T, color=colour, alpha=0.2, linewidth=0)
        else:
            axes.plot(steps, means, color=colour, marker="o", markersize=4, label=name)
            axes.fill_between(steps, *interval.T, color=colour, alpha=0.2, linewidth=0)
        numbers = published.get(name, ())[: last + 1]
        axes.plot(range(len(numbers)), numbers, color=colour, marker="x", linestyle="none")
    if any(name in published for name in curves):
        axes.plot([], [], color="0.3", marker="x", linestyle="none", label="published")
    axes.set(xlabel="adaptation steps (gradient updates)", ylabel="mean return")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)


def adaptation_figure(
    curves: Mapping[str, AdaptationCurve], published: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """Make a figure of adaptation curves alone; arguments as for `adaptation_curves`."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    adaptation_curves(axes, curves, published)
    axes.set_title(title, fontsize="medium")
    return figure


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure in every format; the same figure gives the same bytes.

    Args:
        figure: what to write.
        stem: the path without an ending.

    Returns:
        The files.

    Raises:
        RunFolderError: a file cannot be written.

    """
    files = []
    for ending in FORMATS:
        file = stem.with_name(f"{stem.name}.{ending}")
        drawn = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "metarl"}):
            figure.savefig(drawn, format=ending, dpi=_DOTS_PER_INCH, metadata=_METADATA[ending])
        write_whole(file, drawn.getvalue())
        files.append(file)
    return files
