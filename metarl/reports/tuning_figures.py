"""Figures of a search for hyperparameters: the best so far, and the score against each field."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metarl.config.search_space import Choices, Variation, as_text
from metarl.reports.figures import plain
from metarl.runs.tuning_plan import Standing, Trial, TuningPlan

_COLUMNS = 3
_BEST = "C3"
_PRUNED = "0.6"
_EDGE = 0.03
"""Of the axes' height, from the edge to the marks of pruned trials."""
_MARGIN = 0.12
_MOST_SIGNS = 24
"""Of all choices together, that have room side by side."""


def trials_figure(plan: TuningPlan, trials: Sequence[Trial], title: str, measure: str) -> Figure:
    """Draw scores in the order of the trials, and the best so far."""
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(plain(title), fontsize="medium")
    _points(axes, plan, trials, lambda trial: trial.number)
    numbers, best = best_so_far(plan, trials)
    axes.step(numbers, best, where="post", color=_BEST, linewidth=1.3, label="best so far")
    axes.set(xlabel="trial", ylabel=plain(measure))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _scale(axes, plan, trials)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def best_so_far(plan: TuningPlan, trials: Sequence[Trial]) -> tuple[list[int], list[float]]:
    """Give from the first complete trial on each trial's number and the best score up to it."""
    numbers: list[int] = []
    scores: list[float] = []
    for trial in trials:
        own = trial.score if trial.standing == "complete" else None
        before = scores[-1] if scores else None
        best = (
            own if before is None or (own is not None and plan.is_better(own, before)) else before
        )
        if best is not None:
            numbers.append(trial.number)
            scores.append(best)
    return numbers, scores


def fields_figure(
    plan: TuningPlan, trials: Sequence[Trial], best: Trial, title: str, measure: str
) -> Figure:
    """Draw the score against each field, a panel for each."""
    columns = min(_COLUMNS, len(plan.space))
    rows = math.ceil(len(plan.space) / columns)
    size = (1.2 + 3.2 * columns, 0.8 + 3.0 * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, name in zip(panels, plan.space, strict=False):
        _panel(axes, name, plan, trials, best)
    for axes in panels[len(plan.space) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel(plain(measure))
    _scale(panels[0], plan, trials)
    figure.suptitle(plain(title), fontsize="medium")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _panel(axes: Axes, name: str, plan: TuningPlan, trials: Sequence[Trial], best: Trial) -> None:
    variation = plan.space[name]
    _points(axes, plan, trials, lambda trial: _place(variation, trial.fields[name]))
    assert best.score is not None
    place = _place(variation, best.fields[name])
    axes.plot([place], [best.score], "*", color=_BEST, markersize=12, label="best")
    if isinstance(variation, Choices):
        _name_choices(axes, [plain(as_text(value)) or "none" for value in variation.values])
    elif variation.log:
        axes.set_xscale("log")
    axes.set_xlabel(name)


def _name_choices(axes: Axes, shown: Sequence[str]) -> None:
    places = range(len(shown))
    if sum(map(len, shown)) > _MOST_SIGNS:
        axes.set_xticks(places, shown, rotation=30, ha="right")
    else:
        axes.set_xticks(places, shown)
    axes.set_xlim(-0.5, len(shown) - 0.5)


def _place(variation: Variation, value: object) -> float:
    """Give where a value lies on its axis."""
    if isinstance(variation, Choices):
        return float(variation.values.index(value))
    assert isinstance(value, int | float)
    return float(value)


def _points(
    axes: Axes, plan: TuningPlan, trials: Sequence[Trial], place: Callable[[Trial], float]
) -> None:
    """Draw scores. Pruned trials, whose scores are of another time, stand at the worse edge."""
    complete = [(place(it), it.score) for it in _of("complete", trials) if it.score is not None]
    across, scores = zip(*complete, strict=True)
    axes.plot(across, scores, "o", color="C0", markersize=5, label="complete")
    pruned = [place(it) for it in _of("pruned", trials)]
    edge = [_EDGE if plan.direction == "maximise" else 1 - _EDGE] * len(pruned)
    inside: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "label": "pruned"}
    axes.plot(pruned, edge, "x", color=_PRUNED, markersize=5, **inside)
    axes.margins(y=_MARGIN)
    axes.grid(alpha=0.3)


def _of(standing: Standing, trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.standing == standing]


def _scale(axes: Axes, plan: TuningPlan, trials: Sequence[Trial]) -> None:
    """Draw losses on a logarithmic axis."""
    scores = [it.score for it in _of("complete", trials) if it.score is not None]
    if plan.direction == "minimise" and min(scores) > 0:
        axes.set_yscale("log")
