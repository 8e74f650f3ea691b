"""How fast a benchmark's environments are alone, and how many of its processes worked at a time."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metarl.config.fields import read_fields, require
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.foundation.files import make_folder, read_json, write_whole
from metarl.runs.benchmark_cells import Cell, read_cell
from metarl.runs.provenance import append_session, read_sessions

SPEED_FOLDER = "speed"
_DECIDES = (
    "env_id",
    "env_kwargs",
    "horizon",
    "train_range",
    "observe_task",
    "physics",
    "device",
    "tasks_per_batch",
)
"""Fields of a run that decide on what is measured."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How fast the environments of a meta-batch are alone, in one process with one thread."""

    of: dict[str, Any]
    """What decides on it, as `decides` gives it."""
    env_steps_per_second: float
    """The median over the rounds."""
    rounds: tuple[float, ...]
    """Env steps/s of each."""
    tasks_at_once: int
    """Tasks whose episodes run side by side."""
    frame_skip: int | None = None
    """Physics steps in an env step; None: the environment has none, or does not say."""
    processes: int
    """So many of the benchmark were at work at a time, at most."""
    machine: dict[str, Any]
    """As `metarl.runs.provenance.describe_machine` gives it."""
    versions: dict[str, str]

    def __post_init__(self) -> None:
        positive = self.env_steps_per_second > 0
        require(self, "env_steps_per_second", positive, "must be positive")


@dataclass(frozen=True)
class Measuring:
    """What is to be measured for a comparison."""

    file: Path
    """Gets the measurements; those in it stay."""
    cells: tuple[Cell, ...]
    """Whose environments are measured, one or more."""
    processes: int
    """So many are at work at a time, at most."""

    def __str__(self) -> str:
        """Name what is measured."""
        return measuring_name(self.cells[0].comparison)

    @property
    def log(self) -> Path:
        """What the process that measures says."""
        return self.file.with_suffix(".log")

    def to_json(self) -> str:
        """Give it as a line of JSON."""
        cells = [cell.to_json() for cell in self.cells]
        return json.dumps({"file": str(self.file), "cells": cells, "processes": self.processes})


def measuring_name(comparison: str) -> str:
    """Name what is measured for a comparison, for messages."""
    return f"{comparison}, environments alone"


def read_measuring(line: str | bytes) -> Measuring:
    """Read what `Measuring.to_json` gave."""
    table = json.loads(line)
    cells = tuple(map(read_cell, table["cells"]))
    return Measuring(Path(table["file"]), cells, table["processes"])


def decides(cell: Cell) -> dict[str, Any]:
    """Give what the speed of a cell's environments depends on, as JSON gives it back."""
    fields = {name: getattr(cell.config, name) for name in _DECIDES}
    found: dict[str, Any] = json.loads(
        json.dumps({**fields, "slots_per_task": cell.slots_per_task})
    )
    return found


def speed_file(folder: Path, comparison: str) -> Path:
    """Give the file of a comparison's measurements.

    Args:
        folder: of the benchmark.
        comparison: its name.

    """
    return folder / SPEED_FOLDER / f"{comparison}.json"


def unmeasured(file: Path, cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Give of each kind of meta-batch that is not measured yet a cell that has it.

    Args:
        file: of the comparison's measurements.
        cells: of the comparison.

    """
    known = [it.of for it in read_measurements(file)]
    wanted = []
    for cell in cells:
        if cell.trains and (key := decides(cell)) not in known:
            known.append(key)
            wanted.append(cell)
    return tuple(wanted)


def read_measurements(file: Path) -> list[Measurement]:
    """Read what was measured; nothing where the file is missing or damaged: it is made anew."""
    try:
        return [read_fields(Measurement, it, str(file)) for it in read_json(file)]
    except (RunFolderError, ConfigError, TypeError, AttributeError):
        return []


def add_measurement(file: Path, measurement: Measurement) -> None:
    """Add one to those in the file.

    Raises:
        RunFolderError: it cannot be written.

    """
    tables = [
        {name: value for name, value in dataclasses.asdict(it).items() if value is not None}
        for it in (*read_measurements(file), measurement)
    ]
    make_folder(file.parent)
    write_whole(file, (json.dumps(tables, indent=1) + "\n").encode())


def record_call(folder: Path, cells: Sequence[Cell], processes: int) -> None:
    """Note that cells begin or go on now.

    Args:
        folder: of the benchmark.
        cells: that are to be run.
        processes: so many are at work at a time, at most.

    Raises:
        OSError: it cannot be written.

    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    names = [str(cell) for cell in cells]
    append_session(folder, {"started": started, "processes": processes, "cells": names})


def processes_at_a_time(folder: Path) -> Mapping[str, set[int]]:
    """Give for cells, by their names, how many processes were at work at a time, at most.

    Of a call that nothing was noted of there is nothing.
    """
    found: dict[str, set[int]] = {}
    for call in read_sessions(folder):
        match call:
            case {"processes": int(processes), "cells": [*names]}:
                for name in names:
                    found.setdefault(str(name), set()).add(processes)
    return found
