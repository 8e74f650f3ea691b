"""Figures: adaptation curves, as PNG for a page and as SVG for a paper.

Drawn without a window and without pyplot's global state, so that any number of figures can be made
in any process.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metarl.experiments.curves import EPISODE, AdaptationCurve, in_different_units
from metarl.foundation.files import write_whole

FORMATS = ("png", "svg")
_DOTS_PER_INCH = 130
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@dataclass(frozen=True)
class Panel:
    """One set of axes: curves on the same held-out tasks."""

    title: str
    """Empty: none."""
    curves: Mapping[str, AdaptationCurve]
    """By the name that the legend gives them."""
    published: Mapping[str, Mapping[int, float]]
    """By agent's name: the mean after so many units of adaptation."""


class ShownFigure(Figure):
    """A figure that a notebook shows where it is the last value of a cell."""

    def _repr_png_(self) -> bytes:
        return encoded(self, "png")


def adaptation_figure(
    panels: Sequence[Panel],
    title: str,
    measure: str = "mean return",
    unit: str = "gradient step",
) -> Figure:
    """Draw adaptation curves: one panel with its legend inside, or several above one legend.

    Args:
        panels: at least one; several stand side by side on the same vertical axis.
        title: above all panels.
        measure: what is measured; an error is drawn on a logarithmic axis.
        unit: what is counted from one point to the next.

    """
    several = len(panels) > 1
    size = (max(6.0, 2 + 3.6 * len(panels)), 4.4) if several else (6.0, 4.0)
    figure = ShownFigure(figsize=size, layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=True):
        adaptation_curves(axes, panel, unit, panels)
        axes.set_title(plain(panel.title))
    row[0].set_ylabel(plain(measure))
    if "error" in measure:
        row[0].set_yscale("log")
    if several:
        figure.suptitle(plain(title), fontsize="medium")
        _legend_below(figure)
    else:
        both = "\n".join(filter(None, (title, panels[0].title)))
        row[0].set_title(plain(both), fontsize="medium")
        row[0].legend(loc="best", frameon=False)
    return figure


def adaptation_curves(
    axes: Axes, panel: Panel, unit: str = "gradient step", beside: Sequence[Panel] = ()
) -> None:
    """Draw one panel: means against adaptation, with a band for the 95 % interval over tasks.

    Where agents adapt in different units, means stand against the experience that was used before
    them, and a gradient step's stays what it is until the next. A model that takes no step, as the
    oracle, is a horizontal line; published means are crosses.

    Args:
        axes: where to draw.
        panel: what to draw.
        unit: what is counted from one point to the next.
        beside: the panels of the same figure, which have the same colours and steps.

    """
    drawn = [curves for each in beside or [panel] for curves in each.curves.items()]
    colours = {name: f"C{number}" for number, name in enumerate(dict(drawn))}
    by_experience = in_different_units(curve for _, curve in drawn)
    last = max([1, *(len(curve.mean) - 1 for _, curve in drawn)])
    if by_experience:
        most = max(curve.experience[-1] for _, curve in drawn)
    for name, curve in panel.curves.items():
        colour = colours[name]
        steps, means, interval = range(len(curve.mean)), curve.mean, curve.ci95
        if by_experience:
            _curve_by_experience(axes, name, curve, colour, most)
        elif len(means) == 1:
            steps, means, interval = range(last + 1), means.repeat(last + 1), interval.repeat(2, 0)
            label = plain(f"{name} (no adaptation)")
            axes.plot(steps, means, color=colour, linestyle="--", label=label)
            axes.fill_between([0, last], *interval.T, color=colour, alpha=0.2, linewidth=0)
        else:
            axes.plot(steps, means, color=colour, marker="o", markersize=4, label=plain(name))
            axes.fill_between(steps, *interval.T, color=colour, alpha=0.2, linewidth=0)
        known = {at: mean for at, mean in panel.published.get(name, {}).items() if at <= last}
        numbers = {
            curve.experience[at] if by_experience else at: mean
            for at, mean in known.items()
            if not by_experience or at < len(curve.mean)
        }
        axes.plot(list(numbers), list(numbers.values()), "x", color=colour, markeredgewidth=1.5)
    if any(name in panel.published for name in panel.curves):
        axes.plot([], [], "x", color="0.3", markeredgewidth=1.5, label="published")
    axes.grid(alpha=0.3)
    if by_experience:
        used = [step for _, curve in drawn for step in curve.experience if step > 0]
        axes.set_xscale("symlog", linthresh=min(used, default=1.0))
        axes.set_xlabel(
            "environment steps in the task, used for adaptation\n"
            "(at 0 an agent with a memory adapts within its first episode)"
        )
        return
    of_steps = unit == "gradient step"
    axes.set_xlabel("adaptation steps (gradient updates)" if of_steps else f"{unit}s of adaptation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _curve_by_experience(
    axes: Axes, name: str, curve: AdaptationCurve, colour: str, most: float
) -> None:
    """Draw means against environment steps used before; as they stay until there are more."""
    used, means, (low, high) = list(curve.experience), curve.mean, curve.ci95.T
    if curve.unit == EPISODE:
        axes.plot(used, means, color=colour, marker="o", markersize=4, label=plain(name))
        axes.fill_between(used, low, high, color=colour, alpha=0.2, linewidth=0)
        return
    axes.plot(used, means, "s", color=colour, markersize=4, label=plain(name))
    used = [*used, most]
    means, low, high = (np.append(each, each[-1]) for each in (means, low, high))
    axes.plot(used, means, color=colour, drawstyle="steps-post")
    axes.fill_between(used, low, high, step="post", color=colour, alpha=0.2, linewidth=0)


def plain(text: str) -> str:
    """Give text of others as matplotlib draws it sign by sign, not as a formula between dollars."""
    return text.replace("$", r"\$")


def _legend_below(figure: Figure) -> None:
    named = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        named.values(),
        named.keys(),
        loc="outside lower center",
        ncols=min(len(named), 2 * len(figure.axes)),
        frameon=False,
    )


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
        write_whole(file, encoded(figure, ending))
        files.append(file)
    return files


def encoded(figure: Figure, ending: str) -> bytes:
    """Give a figure in one of the formats."""
    written = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "metarl"}):
        figure.savefig(written, format=ending, dpi=_DOTS_PER_INCH, metadata=_METADATA[ending])
    return written.getvalue()
