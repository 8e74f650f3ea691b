"""The figures of a report, beside the adaptation curves of `metarl.reports.figures`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metarl.agent.protocol import Record
from metarl.reports.figures import plain
from metarl.reports.tables import (
    Series,
    Table,
    paths_table,
    series_of,
    shares_table,
    table_by_iteration,
)

Groups = Mapping[str, Sequence[Sequence[Record]]]
"""The records of each run of each group."""

_SHORT_NAME = 34
"""Signs of a name of which two stand beside each other."""
_LEARNED = {
    "return": ("mean return", "Mean return of the meta-batch"),
    "loss": ("loss on query sets", "Loss on the query sets of training"),
    "success": ("success rate", "Share of episodes that succeeded"),
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


@dataclass(frozen=True)
class Drawn:
    """A figure, and its numbers."""

    figure: Figure
    text: str
    """What it shows, for those who do not see it."""
    table: Table


def learning_figures(groups: Groups) -> Iterator[Drawn]:
    """Draw returns and their gain, losses, and success, each where some record has it."""
    for metric, (ylabel, text) in _LEARNED.items():
        lines = {
            f"{label}, {name} adaptation": series_of(runs, f"{phase}_adaptation_{metric}")
            for label, runs in groups.items()
            for phase, name in (("pre", "before"), ("post", "after"))
        }
        if not any(lines.values()):
            continue
        figure = _before_and_after(lines, ylabel)
        if metric == "loss":
            figure.axes[0].set_yscale("log")
        if metric == "success":
            figure.axes[0].set_ylim(-0.02, 1.02)
        text = f"{text} before and after adaptation against meta-iterations"
        yield Drawn(figure, text, table_by_iteration(lines))
        if metric == "return":
            yield from _gain_figure(groups)


def _before_and_after(lines: Mapping[str, Series | None], ylabel: str) -> Figure:
    """Draw a metric before adaptation and after it, group by group."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for number, (line, series) in enumerate(lines.items()):
        group, after = divmod(number, 2)
        _mean_and_range(axes, series, line, f"C{group}", "-" if after else "--")
    axes.set(xlabel="meta-iteration", ylabel=ylabel)
    axes.grid(alpha=0.3)
    legend_below(figure, axes)
    return figure


def _gain_figure(groups: Groups) -> Iterator[Drawn]:
    """Draw the return after adaptation minus that before, where records have both."""
    before, after = "pre_adaptation_return", "post_adaptation_return"
    gains = {}
    for label, runs in groups.items():
        with_gain = [
            [
                {**record, "gain": record[after] - record[before]}
                for record in run
                if record.get(before) is not None and record.get(after) is not None
            ]
            for run in runs
        ]
        gains[label] = series_of(with_gain, "gain")
    if not any(gains.values()):
        return
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, series) in enumerate(gains.items()):
        _mean_and_range(axes, series, label, f"C{number}", "-")
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set(xlabel="meta-iteration", ylabel="gain (after − before)")
    axes.grid(alpha=0.3)
    legend_below(figure, axes)
    text = "Gain of adaptation against meta-iterations"
    yield Drawn(figure, text, table_by_iteration(gains))


def update_figure(groups: Groups) -> Drawn | None:
    """Draw the KL divergence of each outer step and the line search's candidates."""
    divergences = {label: series_of(runs, "kl") for label, runs in groups.items()}
    candidates = {label: series_of(runs, "line_search_steps") for label, runs in groups.items()}
    if not any(divergences.values()):
        return None
    searched = any(candidates.values())
    figure = Figure(figsize=(6, 4.6 if searched else 3.8), layout="constrained")
    above, *below = figure.subplots(1 + searched, 1, sharex=True, squeeze=False).ravel()
    above.set(ylabel="KL divergence")
    rejected = []
    for number, (label, runs) in enumerate(groups.items()):
        _mean_and_range(above, divergences[label], label, f"C{number}", "-")
        for axes in below:
            _mean_and_range(axes, candidates[label], label, f"C{number}", "-")
            axes.set(ylabel="candidates")
            for run in runs:
                at = [each["iteration"] for each in run if not each.get("step_accepted", True)]
                axes.plot(at, np.zeros(len(at)), "x", color=f"C{number}", clip_on=False)
                rejected += [f"{label}, iteration {iteration}" for iteration in at]
    for axes in (above, *below):
        axes.grid(alpha=0.3)
    axes.set(xlabel="meta-iteration")
    if len(groups) > 1:
        above.legend(frameon=False, fontsize="small")
    columns = {f"{label}: KL divergence": series for label, series in divergences.items()}
    columns |= {f"{label}: candidates": series for label, series in candidates.items()}
    table = table_by_iteration(columns)
    if rejected:
        table = replace(table, note=f"{table.note} Rejected: {'; '.join(rejected)}.".lstrip())
    text = "KL divergence and candidates of the line search against meta-iterations"
    return Drawn(figure, text, table)


def time_figure(runs: Mapping[str, Sequence[Record]]) -> Drawn | None:
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
    axes.set_yticks(range(len(shares)), [plain(_end_of(name)) for name in shares])
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return Drawn(figure, "Shares of an iteration's time", shares_table(shares))


def _end_of(name: str) -> str:
    """Give as much of the end of a run folder's name as leaves room for what is drawn."""
    return name if len(name) <= _SHORT_NAME else f"…{name[1 - _SHORT_NAME :]}"


def paths_figure(shown: TaskPaths) -> Drawn:
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
        axes.set_title(f"goal ({goal[0]:.2f}, {goal[1]:.2f})", fontsize="medium")
        axes.set_aspect("equal")
        axes.set_adjustable("datalim")
        axes.grid(alpha=0.3)
    for axes in squares[count:]:
        axes.axis("off")
    handles, labels = squares[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    text = f"Paths before and after adaptation; {shown.title}"
    return Drawn(figure, text, paths_table(shown.goals, shown.phases, shown.paths))


def _mean_and_range(axes: Axes, series: Series | None, label: str, colour: str, style: str) -> None:
    """Draw the mean over runs, and the range they cover."""
    if series is None:
        return
    iterations, values = series.iterations, series.values
    name = f"{label} ({len(values)} seeds)" if len(values) > 1 else label
    axes.plot(iterations, values.mean(0), style, color=colour, label=plain(name), linewidth=1.4)
    if len(values) > 1:
        ends = values.min(0), values.max(0)
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


def legend_below(figure: Figure, axes: Axes) -> None:
    """Name the lines of some axes below the figure, in a column where names are long."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=1 if max(map(len, labels)) > _SHORT_NAME else 2,
        frameon=False,
        fontsize="small",
    )
