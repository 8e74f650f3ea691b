"""Cells of a benchmark: one agent with one seed in one comparison, each an ordinary run folder."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metarl.config.base import WORDS, ExperimentConfig, forbidden_changes
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.experiments.environment_experiment import TRAINING_RANGE
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import MEBIBYTE, read_json
from metarl.runs.metrics import read_metrics
from metarl.runs.run_folder import (
    CONFIG_FILE,
    LARGEST_EVALUATION,
    METRICS_FILE,
    evaluation_file,
    read_config,
)

PROTOCOL = "protocol"
"""Where the record of an evaluation says what the benchmark asked for."""
_LONGEST_RECORD = MEBIBYTE
_WAY_OUT = "give the agent another name, or choose another --output"


@dataclass(frozen=True)
class Cell:
    """One agent with one seed in one comparison."""

    comparison: str
    """Its name."""
    agent: str
    """What the comparison calls the agent."""
    seed: int
    folder: Path
    """The run folder."""
    config: Config
    """Of the run."""
    tested: Config
    """Of its evaluation."""
    task_range: str
    """What the held-out tasks are drawn from."""
    trains: bool
    """Whether there is anything to train."""
    slots_per_task: int
    """Episodes of a task that run side by side in training."""
    meets_by: str
    """The function that meets tasks in training: a phase in the metrics has its name."""

    def __str__(self) -> str:
        """Name the cell."""
        return f"{self.comparison}, {self.agent}, seed {self.seed}"

    @property
    def protocol(self) -> dict[str, Any]:
        """What decides on the result beside the run's configuration."""
        return {
            "env_steps": self.config.env_steps if self.trains else 0,
            "task_range": self.task_range,
            "seed": self.tested.seed,
            **{name: getattr(self.tested, name) for name in self.tested.test_options.values()},
        }

    @property
    def range_name(self) -> str:
        """The range's name in file names; empty: that of training."""
        return "" if self.task_range == TRAINING_RANGE else self.task_range

    @property
    def evaluation(self) -> Path:
        """The file of its evaluation."""
        return evaluation_file(self.folder, self.range_name)

    @property
    def log(self) -> Path:
        """What the process that works on it says."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def to_json(self) -> str:
        """Give the cell as a line of JSON."""
        return json.dumps({**dataclasses.asdict(self), "folder": str(self.folder)})


def read_cell(line: str | bytes) -> Cell:
    """Read what `Cell.to_json` gave."""
    table = json.loads(line)
    for name in ("config", "tested"):
        table[name] = read_fields(Config, table[name], name)
    return Cell(**{**table, "folder": Path(table["folder"])})


@dataclass(frozen=True)
class CellState:
    """What is there of a cell."""

    cell: Cell
    standing: Literal["done", "begun", "not begun", "refused"]
    """Done: trained for the whole budget and evaluated. Refused: a run is there that is another
    one, or damaged."""
    env_steps: int
    """Of training, that are recorded."""
    reason: str = ""
    """Why it is not done, in words."""

    @property
    def env_steps_left(self) -> int:
        """Of training, up to the budget."""
        if not self.cell.trains or self.standing == "refused":
            return 0
        return max(0, self.cell.config.env_steps - self.env_steps)


def state_of(cell: Cell) -> CellState:
    """Say what is there of a cell."""
    if not (cell.folder / CONFIG_FILE).exists():
        return CellState(cell, "not begun", 0, "not begun")
    try:
        recorded = read_config(cell.folder)
        steps = [record.get("env_steps", 0) for record in read_metrics(cell.folder)]
    except RunFolderError as error:
        return CellState(cell, "refused", 0, str(error))
    done, budget = max(steps, default=0), cell.config.env_steps
    changes = forbidden_changes(recorded, _as_recorded(cell.config, recorded))
    if sum(count >= budget for count in steps) > 1:
        changes.append(f"it has {done:,} env steps, more than the budget")
    if changes:
        reason = f"the run in {cell.folder} is another one: {changes[0]}; {_WAY_OUT}"
        return CellState(cell, "refused", done, reason)
    if _is_evaluated(cell):
        return CellState(cell, "done", done)
    if cell.trains and done < budget:
        return CellState(cell, "begun", done, f"{done:,} of {budget:,} env steps are trained")
    return CellState(cell, "begun", done, "not evaluated")


def _as_recorded(wanted: Config, recorded: ExperimentConfig) -> Config:
    """Give a configuration as JSON gives it back, where lists are not tuples, in the same words."""
    words = {name: getattr(recorded, name) for name in WORDS}
    read: Config = read_fields(Config, {**json.loads(wanted.to_json()), **words}, "suite")
    return read


def _is_evaluated(cell: Cell) -> bool:
    try:
        found = read_json(cell.evaluation, LARGEST_EVALUATION)
    except RunFolderError:  # it is made anew
        return False
    return isinstance(found, dict) and found.get(PROTOCOL) == cell.protocol


def latest_env_steps(run_dir: Path) -> int:
    """Give the env steps of a run's newest whole record, reading only the end of its metrics."""
    try:
        with (run_dir / METRICS_FILE).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LONGEST_RECORD))
            *whole, _ = file.read().split(b"\n")
        return int(json.loads(whole[-1])["env_steps"])
    except (OSError, ValueError, IndexError, KeyError):  # nothing is recorded yet
        return 0
