"""How fast the agents of a benchmark collect and learn, beside their environments alone."""

import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metarl.foundation.errors import RunFolderError
from metarl.runs.benchmark_cells import Cell
from metarl.runs.benchmark_speed import (
    Measurement,
    decides,
    measuring_name,
    processes_at_a_time,
    read_measurements,
    speed_file,
)
from metarl.runs.metrics import Record, training_return
from metarl.runs.provenance import machine_in_words, read_sessions

AVERAGED = 5
"""So many records in a row must reach the return that is named, in the mean."""
NOT_REACHED = "not reached"


@dataclass(frozen=True)
class RunSpeed:
    """How fast one run was trained; in place of a number it may say why it is not known."""

    stepping: float | str
    """Env steps/s of the environments in training, the median over iterations."""
    rollout: float | str
    """Env steps/s of collecting by the policy, likewise."""
    training: float | str
    """Env steps/s of whole iterations, likewise."""
    seconds_to_reach: float | str
    """Of training, up to the return that is named."""


@dataclass(frozen=True)
class AgentSpeed:
    """How fast an agent was trained."""

    tasks: int
    """In a meta-batch."""
    slots_per_task: int
    """Episodes of a task that run side by side."""
    alone: Measurement | None
    """Its environments alone."""
    unmeasured: str
    """Why there is none."""
    runs: tuple[RunSpeed, ...]
    """One a seed."""
    machines: tuple[str, ...]
    """Those that the runs were trained on, in words; they may not be recorded."""
    processes: tuple[int, ...]
    """How many of the benchmark's processes worked at a time; it may not be recorded."""

    @property
    def stepping(self) -> float | None:
        """The median over seeds."""
        return _median([run.stepping for run in self.runs])

    @property
    def rollout(self) -> float | None:
        """The median over seeds."""
        return _median([run.rollout for run in self.runs])

    @property
    def training(self) -> float | None:
        """The median over seeds."""
        return _median([run.training for run in self.runs])

    def beside_alone(self, rate: float | None) -> float | None:
        """Give the ratio of a rate to the environments alone, if they ran on one machine."""
        if rate is None or self.alone is None or self._other_machine:
            return None
        return rate / self.alone.env_steps_per_second

    @cached_property
    def _other_machine(self) -> str:
        """Say how the machines of runs and measurement differ; empty: they do not."""
        if self.alone is None:
            return ""
        here = machine_in_words(self.alone.machine)
        if not self.machines:
            return "no ratio: the run's folder does not say what machine it was trained on"
        others = [name for name in self.machines if name != here]
        if not others:
            return ""
        return (
            f"no ratio: it was trained on another machine ({'; '.join(others)}) than its "
            f"environments were measured on ({here})"
        )

    @property
    def reasons(self) -> list[str]:
        """Why something is not known, in words."""
        said = [] if self.alone else [self.unmeasured]
        said += [self._other_machine] if self._other_machine else []
        for run in self.runs:
            found = (run.stepping, run.rollout, run.training, run.seconds_to_reach)
            said += [it for it in found if isinstance(it, str) and it != NOT_REACHED]
        return list(dict.fromkeys(filter(None, said)))


def speed_of_run(records: Sequence[Record], meets_by: str, reach: float | None) -> RunSpeed:
    """Give how fast a run was trained.

    Args:
        records: of its metrics.
        meets_by: the function that met the tasks.
        reach: the return that is named; None: none is.

    """
    collecting = _seconds_of(meets_by, "policy", "physics")
    return RunSpeed(
        _rate(records, _seconds_of("physics")) or "its metrics do not say how long steps took",
        _rate(records, collecting) or "its metrics do not say how long collecting took",
        _rate(records, _seconds_of("iteration"))
        or "its metrics do not say how long iterations took",
        "" if reach is None else seconds_to_reach(records, reach),
    )


def _seconds_of(*names: str) -> Callable[[Record], float | None]:
    """Give what reads a record's seconds of some phases together; None: one is not there."""

    def read(record: Record) -> float | None:
        parts = [record.get(f"{name}_seconds") for name in names]
        return None if None in parts else sum(filter(None, parts))

    return read


def _rate(records: Sequence[Record], seconds_of: Callable[[Record], float | None]) -> float | None:
    """Give the median of iterations' env steps/s, where the iteration before is recorded."""
    before: Record = {"iteration": 0, "env_steps": 0}
    rates = []
    for record in records:
        seconds = seconds_of(record)
        follows = record["iteration"] == before["iteration"] + 1
        if follows and seconds and "env_steps" in record and "env_steps" in before:
            rates.append((record["env_steps"] - before["env_steps"]) / seconds)
        before = record
    return statistics.median(rates) if rates else None


def seconds_to_reach(records: Sequence[Record], reach: float) -> float | str:
    """Give the seconds of training until the mean return of the last records reaches one.

    The returns are those after adaptation, of the meta-batches. Seconds are those of iterations:
    what starting, checkpoints and pauses between sessions take is not among them.

    Args:
        records: of a run's metrics.
        reach: the return.

    Returns:
        Seconds; `NOT_REACHED`; or why they are not known, in words.

    """
    seconds, last, known = 0.0, 0, True
    returns: deque[float] = deque(maxlen=AVERAGED)
    for record in records:
        spent = record.get("iteration_seconds")
        known &= record["iteration"] == last + 1 and bool(spent)
        seconds, last = seconds + (spent or 0.0), record["iteration"]
        value = training_return(record)
        if value is not None:
            returns.append(value)
        if len(returns) == AVERAGED and statistics.fmean(returns) >= reach:
            return seconds if known else "its metrics lack the seconds of some iterations"
    return NOT_REACHED if returns else "its metrics hold no returns"


def _median(rates: Sequence[float | str]) -> float | None:
    known = [it for it in rates if not isinstance(it, str)]
    return statistics.median(known) if known else None


def speed_of_agents(
    cells: Mapping[str, Sequence[tuple[Cell, Sequence[Record]]]],
    reach: float | None,
    folder: Path,
    reasons: Mapping[str, str],
) -> dict[str, AgentSpeed]:
    """Give how fast the agents of a comparison were trained, as far as is known.

    Args:
        cells: by agent, those that are done, with their metrics.
        reach: the return that the comparison names.
        folder: of the benchmark.
        reasons: why measuring failed just now, by its name.

    """
    processes = processes_at_a_time(folder)
    found = {}
    for name, done in cells.items():
        first = done[0][0]
        if not first.trains:
            continue
        key = decides(first)
        measured = read_measurements(speed_file(folder, first.comparison))
        found[name] = AgentSpeed(
            tasks=first.config.tasks_per_batch,
            slots_per_task=first.slots_per_task,
            alone=next((it for it in measured if it.of == key), None),
            unmeasured="its environments alone are not measured: "
            + reasons.get(measuring_name(first.comparison), "the next call does it"),
            runs=tuple(speed_of_run(records, cell.meets_by, reach) for cell, records in done),
            machines=tuple(dict.fromkeys(it for cell, _ in done for it in _machines(cell.folder))),
            processes=tuple(
                sorted(set().union(*(processes.get(str(cell), set()) for cell, _ in done)))
            ),
        )
    return found


def _machines(run_dir: Path) -> list[str]:
    try:
        return [machine_in_words(session) for session in read_sessions(run_dir)]
    except RunFolderError:  # what it says is not known then
        return []


def record_of_speed(agents: Mapping[str, AgentSpeed], reach: float | None) -> dict[str, Any]:
    """Give the speed of a comparison's agents as `results.json` holds it."""
    return {
        "reach": reach,
        "records_averaged": AVERAGED,
        "agents": {name: _of_agent(found) for name, found in agents.items()},
    }


def _of_agent(found: AgentSpeed) -> dict[str, Any]:
    alone = found.alone
    return {
        "environment_alone": alone and alone.env_steps_per_second,
        "environment_in_training": found.stepping,
        "rollout": found.rollout,
        "training": found.training,
        "rollout_to_environment": found.beside_alone(found.rollout),
        "training_to_environment": found.beside_alone(found.training),
        "seconds_to_reach": _or_none([run.seconds_to_reach for run in found.runs]),
        "reached": [_reached(run.seconds_to_reach) for run in found.runs],
        "environment_in_training_of_seeds": _or_none([run.stepping for run in found.runs]),
        "rollout_of_seeds": _or_none([run.rollout for run in found.runs]),
        "training_of_seeds": _or_none([run.training for run in found.runs]),
        "tasks": found.tasks,
        "slots_per_task": found.slots_per_task,
        "tasks_at_once": alone and alone.tasks_at_once,
        "frame_skip": alone and alone.frame_skip,
        "trained_on": list(found.machines),
        "processes": list(found.processes),
        "measured_on": alone and machine_in_words(alone.machine),
        "processes_measured": [alone.processes] if alone else [],
        "unknown": found.reasons,
    }


def _or_none(found: Sequence[float | str]) -> list[float | None]:
    return [None if isinstance(it, str) else it for it in found]


def _reached(seconds: float | str) -> bool | None:
    """Tell whether a return was reached; None: nobody knows."""
    return False if seconds == NOT_REACHED else None if isinstance(seconds, str) else True
