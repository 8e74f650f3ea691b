"""Figures of a benchmark: learning curves, performance profiles, probability of improvement."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metarl.learning.score_statistics import on_common_steps
from metarl.reports.benchmark_results import Profiles
from metarl.reports.figures import plain

_COLOURS = 10
_DARK = 0.35
"""A field whose probability is so far from a half is dark."""
_LINES = ("-", "--", ":", "-.")

Styles = Mapping[str, tuple[str, str]]
"""Colour and line of each agent."""


def styles_of(names: Iterable[str]) -> Styles:
    """Give each agent colour and line, the same in all figures of a comparison."""
    return {
        name: (f"C{number % _COLOURS}", _LINES[number // _COLOURS % len(_LINES)])
        for number, name in enumerate(names)
    }


def learning_figure(
    curves: Mapping[str, Sequence[tuple[Sequence[int], Sequence[float]]]],
    styles: Styles,
    title: str,
) -> Figure:
    """Draw returns in training against env steps: the mean over seeds, and their range as a band.

    Args:
        curves: by agent, of each seed the env steps and the returns.
        styles: of each agent's line.
        title: above the axes.

    """
    figure, axes = _axes(title)
    for name, of_seeds in curves.items():
        steps, values = on_common_steps(of_seeds)
        _line(axes, name, steps, values.mean(0), (values.min(0), values.max(0)), styles)
    axes.set(xlabel="environment steps of training", ylabel="mean return of the meta-batch")
    axes.set_xlim(left=0)
    _legend(axes)
    return figure


def profile_figure(found: Profiles, styles: Styles, title: str) -> Figure:
    """Draw performance profiles, with the intervals over seeds as bands."""
    figure, axes = _axes(title)
    for name, shares in found.shares.items():
        band = found.ci95[name].T if name in found.ci95 else (shares, shares)
        _line(axes, name, found.thresholds, shares, band, styles)
    axes.set(xlabel="normalised score τ", ylabel="share of runs × tasks with a score above τ")
    axes.set_ylim(0, 1)
    axes.set_xlim(found.thresholds[0], found.thresholds[-1])
    _legend(axes)
    return figure


def improvement_figure(found: Mapping[str, Mapping[str, Mapping[str, Any]]], title: str) -> Figure:
    """Draw for each pair of agents how probable it is that the row's does better on a task."""
    names = list(found)
    values = np.full((len(names), len(names)), np.nan)
    for row, first in enumerate(names):
        for column, second in enumerate(names):
            if first != second:
                values[row, column] = found[first][second]["probability"]
    side = 1.9 + 0.75 * len(names)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="RdBu", vmin=0, vmax=1)
    for row, first in enumerate(names):
        for column, second in enumerate(names):
            if first != second:
                _write_pair(axes, row, column, found[first][second])
    shown = [plain(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), shown)
    axes.set(xlabel="than this agent")
    axes.set_title(plain(title), fontsize="medium")
    figure.colorbar(image, shrink=0.8, label="probability that the row does better")
    return figure


def _write_pair(axes: Axes, row: int, column: int, pair: Mapping[str, Any]) -> None:
    """Write a probability into its field, and its interval below."""
    value = pair["probability"]
    style: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "color": "white" if abs(value - 0.5) > _DARK else "black",
    }
    axes.text(column, row - 0.12, f"{value:.2f}", fontsize=9, **style)
    if "ci95" in pair:
        low, high = pair["ci95"]
        axes.text(column, row + 0.22, f"{low:.2f} – {high:.2f}", fontsize=6, **style)


def _line(axes: Axes, name: str, across: Any, mean: Any, band: Any, styles: Styles) -> None:
    colour, line = styles[name]
    axes.plot(across, mean, label=plain(name), linewidth=1.3, color=colour, linestyle=line)
    axes.fill_between(across, *band, color=colour, alpha=0.15, linewidth=0)


def _axes(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(plain(title), fontsize="medium")
    axes.grid(alpha=0.3)
    return figure, axes


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
