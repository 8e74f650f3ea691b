"""What stands at the top of a report: what was trained, how well, how long, by which command."""

from collections.abc import Sequence
from dataclasses import dataclass

from metarl.foundation.stopwatch import duration
from metarl.reports.run_contents import Run
from metarl.reports.sections import EvaluatedTasks, Row

MOST_ROWS = 4
"""That the summary has room for."""
_MEASURES = {"return": "mean return", "loss": "loss", "success": "success"}


@dataclass(frozen=True)
class Preset:
    """What was trained on, in words."""

    name: str
    description: str
    source: str
    agents: list[str]


@dataclass(frozen=True)
class HowWell:
    """The means on some held-out tasks, as far as the summary has room."""

    tasks: EvaluatedTasks
    rows: list[Row]
    left_out: int
    """Rows that only the section further down has."""


@dataclass(frozen=True)
class InTraining:
    """What the last iteration says of a run that is not evaluated."""

    run: Run
    numbers: list[str]


@dataclass(frozen=True)
class HowLong:
    """A run in a row."""

    run: Run
    env_steps: str
    time: str


def presets_of(runs: Sequence[Run]) -> list[Preset]:
    """Say of each preset what it is, and who was trained on it."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.config.title, []).append(run)
    return [
        Preset(
            name,
            of_it[0].config.description.rstrip("."),
            of_it[0].config.source.rstrip("."),
            list(dict.fromkeys(run.agent for run in of_it)),
        )
        for name, of_it in found.items()
    ]


def how_well(evaluated: Sequence[EvaluatedTasks]) -> list[HowWell]:
    """Give the first rows of each preset's first held-out tasks."""
    first = {it.preset: it for it in reversed(evaluated)}
    room = max(1, MOST_ROWS // max(1, len(first)))
    shown = []
    for preset in dict.fromkeys(it.preset for it in evaluated):
        rows = first[preset].rows_of_curves
        shown.append(HowWell(first[preset], rows[:room], max(0, len(rows) - room)))
    return shown


def in_training(run: Run) -> InTraining:
    """Say what a run's last iteration measured before and after adaptation."""
    last = run.records[-1] if run.records else {}
    numbers = []
    for metric, words in _MEASURES.items():
        before, after = (last.get(f"{phase}_adaptation_{metric}") for phase in ("pre", "post"))
        told = [f"{before:.2f} before adaptation"] if before is not None else []
        told += [f"{after:.2f} after it"] if after is not None else []
        if told:
            numbers.append(f"{words} {', '.join(told)}")
    return InTraining(run, numbers)


def how_long(run: Run) -> HowLong:
    """Say what a run took."""
    steps = run.records[-1].get("env_steps") if run.records and not run.of_problem else None
    return HowLong(run, "" if steps is None else f"{steps:,}", duration(run.seconds))
