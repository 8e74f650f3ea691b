"""Figures of a benchmark: returns, learning curves, profiles, probability of improvement."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from metarl.learning.score_statistics import on_common_steps
from metarl.reports.benchmark_results import Profiles
from metarl.reports.figures import plain

_COLOURS = 10
_DARK = 0.35
"""A field whose probability is so far from a half is dark."""
_LINES = ("-", "--", ":", "-.")

_PANELS_A_ROW = 3
_PANEL_WIDTH, _ROW_HEIGHT, _HEAD_HEIGHT = 4.0, 0.22, 0.75
"""Inches."""
UNTRAINED = "untrained"
_KINDS = {"gradient": "C0", "memory": "C1", "inference": "C2", UNTRAINED: "0.45"}
"""Colours of families of agents, and of what is not trained."""

Styles = Mapping[str, tuple[str, str]]
"""Colour and line of each agent."""


def styles_of(names: Iterable[str]) -> Styles:
    """Give each agent colour and line, the same in all figures of a comparison."""
    return {
        name: (f"C{number % _COLOURS}", _LINES[number // _COLOURS % len(_LINES)])
        for number, name in enumerate(names)
    }


@dataclass(frozen=True)
class Returns:
    """An agent's mean returns on held-out tasks."""

    name: str
    kind: str
    """Its family; or UNTRAINED."""
    of_seeds: Sequence[float]


def returns_figure(comparisons: Mapping[str, Sequence[Returns]], title: str) -> Figure:
    """Draw for each comparison its agents, the best on top: a dot a seed, a bar at their mean.

    Args:
        comparisons: of each its agents; of one without agents there is no panel.
        title: above all panels.

    """
    shown = {name: agents for name, agents in comparisons.items() if agents}
    across = min(_PANELS_A_ROW, len(shown))
    rows = math.ceil(len(shown) / across)
    most = [
        max(map(len, list(shown.values())[row * across : (row + 1) * across]))
        for row in range(rows)
    ]
    heights = [_HEAD_HEIGHT + _ROW_HEIGHT * count for count in most]
    figure = Figure(figsize=(_PANEL_WIDTH * across, sum(heights) + 0.6), layout="constrained")
    panels = list(figure.subplots(rows, across, squeeze=False, height_ratios=heights).flat)
    for axes, (name, agents) in zip(panels, shown.items(), strict=False):
        _draw_returns(axes, agents)
        axes.set_title(plain(name), fontsize="medium")
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    kinds = {it.kind for agents in shown.values() for it in agents}
    dots = {
        kind: Line2D([], [], marker="o", linestyle="", color=colour)
        for kind, colour in _KINDS.items()
        if kind in kinds
    }
    figure.legend(dots.values(), dots, loc="outside lower center", ncols=len(dots), frameon=False)
    figure.suptitle(plain(title), fontsize="medium")
    return figure


def _draw_returns(axes: Axes, agents: Sequence[Returns]) -> None:
    ordered = sorted(agents, key=lambda it: float(np.mean(it.of_seeds)))
    for height, agent in enumerate(ordered):
        colour = _KINDS.get(agent.kind, _KINDS[UNTRAINED])
        axes.scatter(agent.of_seeds, [height] * len(agent.of_seeds), s=14, color=colour, alpha=0.7)
        mean = float(np.mean(agent.of_seeds))
        axes.plot([mean, mean], [height - 0.35, height + 0.35], color=colour, linewidth=2)
    axes.set_yticks(range(len(ordered)), [plain(it.name) for it in ordered], fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    axes.grid(axis="x", alpha=0.3)


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
