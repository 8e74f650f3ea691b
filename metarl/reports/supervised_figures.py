"""Figures of supervised problems: the measure step by step, fits of functions, sheets of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metarl.agent.protocol import Record
from metarl.experiments.problem_evaluation import Fits, MeasureCurve


def curves_figure(
    curves: Sequence[MeasureCurve], published: Mapping[str, Any], measure: str, title: str
) -> Figure:
    """Draw the measure against adaptation steps, a panel for each number of shots.

    Args:
        curves: of every model and number of shots; bands are their 95 % intervals.
        published: what the source gives (see `SupervisedConfig.published`), drawn as crosses.
        measure: what is measured.
        title: above all panels.

    """
    shots = list(dict.fromkeys(curve.shots for curve in curves))
    colours = {agent: f"C{n}" for n, agent in enumerate(dict.fromkeys(c.agent for c in curves))}
    figure = Figure(figsize=(max(6, 2 + 3.6 * len(shots)), 4.4), layout="constrained")
    panels = figure.subplots(1, len(shots), sharey=True, squeeze=False)[0]
    last = max(1, *(len(curve.mean) - 1 for curve in curves))
    for axes, count in zip(panels, shots, strict=True):
        for curve in curves:
            if curve.shots != count:
                continue
            colour, means, interval = colours[curve.agent], curve.mean, curve.ci95
            if len(means) == 1:
                axes.axhline(means[0], color=colour, linestyle="--", label=f"{curve.agent}")
                axes.axhspan(*interval[0], color=colour, alpha=0.2, linewidth=0)
                continue
            steps = range(len(means))
            axes.plot(steps, means, color=colour, marker="o", markersize=3.5, label=curve.agent)
            axes.fill_between(steps, *interval.T, color=colour, alpha=0.2, linewidth=0)
        for agent, numbers in published.get(str(count), {}).items():
            if agent in colours:
                axes.plot(
                    numbers["steps"],
                    numbers["measures"],
                    **{"color": colours[agent], "marker": "x", "linestyle": "none"},
                    markeredgewidth=2,
                    label=f"{agent}, published",
                )
        axes.set(xlabel="adaptation steps (gradient updates)", title=_shots(count))
        axes.set_xlim(-0.2, last + 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    panels[0].set_ylabel(measure)
    if "error" in measure:
        panels[0].set_yscale("log")
    figure.suptitle(title, fontsize="medium")
    return figure


def fits_figure(fits: Mapping[str, Fits], shots: int) -> Figure:
    """Draw functions of one number before and after adaptation: a row a task, a column a model."""
    first = next(iter(fits.values()))
    tasks = len(first.outputs)
    figure = Figure(figsize=(1 + 3.4 * len(fits), 0.6 + 2.5 * tasks), layout="constrained")
    grid = figure.subplots(tasks, len(fits), sharex=True, sharey="row", squeeze=False)
    for column, (agent, shown) in enumerate(fits.items()):
        for task in range(tasks):
            axes, episodes = grid[task][column], shown.episodes
            order = np.argsort(episodes.query_inputs[task, :, 0])
            x = episodes.query_inputs[task, order, 0]
            axes.plot(x, episodes.query_targets[task, order, 0], color="0.2", label="truth")
            for number, step in enumerate(shown.steps):
                label = "before adaptation" if step == 0 else f"{step} step{'s' * (step > 1)}"
                label = label if len(shown.steps) > 1 else "told the task"
                axes.plot(
                    x,
                    shown.outputs[task, number, order, 0],
                    color=("0.6", "C1", "C0")[min(number, 2)],
                    linestyle=":" if step == 0 else "-" if step == max(shown.steps) else "--",
                    label=label,
                )
            if len(shown.steps) > 1:
                support = episodes.support_inputs[task], episodes.support_targets[task]
                axes.plot(*support, "^", color="C3", markersize=6, label="adapted to")
            axes.grid(alpha=0.3)
            if task == 0:
                axes.set_title(f"{agent}, {_shots(shots)}")
                axes.legend(frameon=False, fontsize="x-small")
        grid[-1][column].set_xlabel("x")
    for row in grid:
        row[0].set_ylabel("y")
    return figure


def image_figure(fits: Fits) -> Figure:
    """Draw one classification episode: support images above, query images with what was said.

    The title of a query image is the class said before adaptation and after the last step; green
    is right.
    """
    episodes, said = fits.episodes, fits.outputs[0].argmax(-1)
    columns = min(10, len(episodes.support_inputs[0]), len(episodes.query_inputs[0]))
    queries = min(2, -(-len(episodes.query_inputs[0]) // columns))
    figure = Figure(figsize=(1.0 * columns, 1.35 * (1 + queries)), layout="constrained")
    grid = figure.subplots(1 + queries, columns, squeeze=False)
    order = np.random.default_rng(0).permutation(len(episodes.query_inputs[0]))
    for column in range(columns):
        axes = grid[0][column]
        axes.imshow(_picture(episodes.support_inputs[0, column]), cmap="gray_r")
        axes.set_title(f"class {episodes.support_targets[0, column]}", fontsize="small")
    for axes, example in zip(grid[1:].ravel(), order, strict=False):
        axes.imshow(_picture(episodes.query_inputs[0, example]), cmap="gray_r")
        right = said[-1, example] == episodes.query_targets[0, example]
        text = " → ".join(str(each[example]) for each in said)
        axes.set_title(text, fontsize="small", color="C2" if right else "C3")
    for axes in grid.ravel():
        axes.set_axis_off()
    figure.suptitle("first row: support; below: queries, class said before → after", fontsize=8)
    return figure


def losses_figure(runs: Mapping[str, Sequence[Record]]) -> Figure:
    """Draw the query loss of training before and after adaptation, by run."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, records) in enumerate(runs.items()):
        iterations = [record["iteration"] for record in records]
        for phase, style in (("pre", ":"), ("post", "-")):
            values = [record[f"{phase}_adaptation_loss"] for record in records]
            name = f"{label}, {'before' if phase == 'pre' else 'after'} adaptation"
            axes.plot(iterations, values, style, color=f"C{number}", linewidth=1, label=name)
    axes.set(xlabel="meta-iteration", ylabel="query loss in training", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _picture(image: np.ndarray) -> np.ndarray:
    return image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)


def _shots(count: int) -> str:
    return f"{count} shot{'s' * (count > 1)}"
