"""Evaluations as tables, for a terminal and as text."""

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from metarl.experiments.curves import (
    AdaptationCurve,
    in_different_units,
    interval_in_words,
    shown_units,
)
from metarl.experiments.interface import EvaluatedAgent
from metarl.foundation.wording import counted

if TYPE_CHECKING:
    from metarl.api.evaluation import Evaluation

TEXT_WIDTH = 120
"""Of tables as text, in characters at most."""


def tables_of(evaluation: "Evaluation") -> list[Table]:
    """Give the table of means over tasks and, where they say more, of kinds of tasks and seeds."""
    tables = [_over_tasks(evaluation)]
    groups = {
        agent: found["groups"]
        for agent, found in _described(evaluation).items()
        if found.get("groups")
    }
    if groups:
        name, _, which = evaluation.title.partition(": mean return on ")
        tables.append(_over_kinds(f"{name}: kinds of tasks, {which}", groups))
    if any(one.seeds is not None for one in evaluation.found):
        title = f"{evaluation.title}; seeds, interquartile mean (IQM)"
        tables.append(_over_seeds(title, evaluation))
    return tables


def text_of(evaluation: "Evaluation") -> str:
    """Give the same tables as text."""
    written = io.StringIO()
    console = Console(file=written, width=TEXT_WIDTH, force_terminal=False, force_jupyter=False)
    for table in tables_of(evaluation):
        console.print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def _described(evaluation: "Evaluation") -> Mapping[str, Mapping[str, Any]]:
    """Give what the record says of each agent."""
    curves = evaluation.record.get("curves", {evaluation.found[0].agent: evaluation.record})
    return curves if isinstance(curves, Mapping) else {}


def _over_tasks(evaluation: "Evaluation") -> Table:
    """Make the table of means over tasks, and of the gain, with a section for each agent."""
    several = len(evaluation.sheet.cases) > 1
    cases = ["adapted to"] * several
    mixed = in_different_units(one.joint for one in evaluation.found)
    headings = [
        "adaptation" if mixed else f"adaptation {evaluation.curve.unit_word}s",
        *["env steps used"] * mixed,
        evaluation.measure,
        "95 % interval over tasks",
    ]
    if any(one.joint.success is not None for one in evaluation.found):
        headings += ["success", "95 % interval"]
    table = _new_table(evaluation.title, *cases, *headings)
    form = ".2f" if evaluation.measure.endswith("return") else ".3f"
    for one in evaluation.found:
        curve, last = one.joint, len(one.joint.mean) - 1
        rows = [
            [
                *[one.case] * several,
                counted(step, curve.unit_word) if mixed else str(step),
                *[f"{used:,.0f}" for used in curve.experience[step : step + 1] if mixed],
                f"{curve.mean[step]:{form}}",
                interval_in_words(curve.ci95[step], form),
                *_success(curve, step),
            ]
            for step in shown_units(last)
        ]
        if last > 0:
            gain = f"{curve.gain:+{form}}"
            interval = interval_in_words(curve.gain_ci95, form)
            beside = [""] * mixed
            rows.append([*[""] * several, f"gain, 0 → {last}", *beside, gain, interval])
            if curve.trial is not None:
                whole = f"{curve.trial.mean:{form}}"
                interval = interval_in_words(curve.trial.ci95, form)
                rows.append([*[""] * several, "whole trial", *beside, whole, interval])
        _add_section(table, one, rows)
    return table


def _success(curve: AdaptationCurve, step: int) -> list[str]:
    if curve.success is None:
        return []
    return [
        f"{curve.success.mean[step]:.1%}",
        interval_in_words(curve.success.ci95[step], ".1%"),
    ]


def _over_kinds(title: str, groups: Mapping[str, Mapping[str, Any]]) -> Table:
    """Make the table of each kind's means before adaptation and after the last step."""
    table = _new_table(title, "kind", "tasks", "mean return", "success")
    for agent, kinds in groups.items():
        for kind, means in kinds.items():
            table.add_row(
                agent,
                kind,
                str(means["tasks"]),
                _first_to_last(means["mean_return"], "{:.2f}"),
                _first_to_last(means.get("mean_success", []), "{:.1%}"),
            )
        table.add_section()
    return table


def _first_to_last(means: Sequence[float], form: str) -> str:
    return " → ".join(form.format(mean) for mean in dict.fromkeys([*means[:1], *means[-1:]]))


def _over_seeds(title: str, evaluation: "Evaluation") -> Table:
    """Make the table of what several seeds say, with a section for each agent."""
    table = _new_table(title, "steps", "mean", "95 % interval", "IQM", "95 % interval")
    for one in evaluation.found:
        if one.seeds is None:
            continue
        rows = [
            [
                str(step),
                f"{one.joint.mean[step]:.2f}",
                interval_in_words(one.seeds.mean_ci95[step], ".2f"),
                f"{one.seeds.iqm[step]:.2f}",
                interval_in_words(one.seeds.iqm_ci95[step], ".2f"),
            ]
            for step in range(len(one.seeds.iqm))
        ]
        _add_section(table, one, rows)
    return table


def _new_table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    table.add_column("agent")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _add_section(table: Table, one: EvaluatedAgent, rows: Sequence[Sequence[str]]) -> None:
    """Add an agent's rows, and beside them what it is."""
    fewest, most = min(one.iterations), max(one.iterations)
    trained = counted(most, "iteration")
    about = [one.agent, trained if fewest == most else f"{fewest} to {trained}"]
    if len(one.curves) > 1:
        about.insert(1, f"{len(one.curves)} seeds")
    beside = [*about[: len(rows) - 1], "\n".join(about[len(rows) - 1 :])]
    for label, row in itertools.zip_longest(beside, rows, fillvalue=""):
        table.add_row(label, *row)
    table.add_section()
