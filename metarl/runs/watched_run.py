"""A run folder as somebody else sees it who only looks: nothing in it is touched. No torch."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from metarl.runs.metrics import MetricsFollower, Record, expected_iterations, is_whole
from metarl.runs.run_folder import CONFIG_FILE, METRICS_FILE, complete_checkpoints, read_config
from metarl.runs.run_lock import Holder, holder_of

Stage = Literal["not begun", "training", "elsewhere", "stopped", "complete"]
"""Elsewhere: a process of another machine, which cannot be seen from here, began it."""


@dataclass(frozen=True)
class Look:
    """What is seen of a run at one moment."""

    run_dir: Path
    stage: Stage
    config: Any = None
    """A `metarl.config.base.ExperimentConfig`; None: it is not there yet."""
    records: tuple[Record, ...] = ()
    holder: Holder | None = None
    checkpoint: int | None = None
    """The iteration of the newest; None: there is none."""
    silence: float | None = None
    """Seconds since the metrics were written to; None: they never were."""

    @property
    def iteration(self) -> int:
        """How many iterations are recorded."""
        return int(self.records[-1]["iteration"]) if self.records else 0

    @property
    def expected_iterations(self) -> int | None:
        """How many the whole training takes, as far as it is known."""
        return expected_iterations(self.config, self.records)

    @property
    def over(self) -> bool:
        """Whether nothing more is to be seen."""
        return self.stage in ("stopped", "complete")


class RunWatcher:
    """Looks at a run again and again."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._metrics = MetricsFollower(run_dir)

    def look(self) -> Look:
        """Look once.

        Raises:
            RunFolderError: the configuration or the metrics are damaged.

        """
        run_dir = self._run_dir
        # Before the records: what ended in between is told by the next look.
        holder = holder_of(run_dir)
        if not os.path.lexists(run_dir / CONFIG_FILE):
            return Look(run_dir, "not begun", holder=holder)
        config = read_config(run_dir)
        records = tuple(self._metrics.records())
        checkpoints = complete_checkpoints(run_dir)
        metrics = run_dir / METRICS_FILE
        now = datetime.now(UTC).timestamp()  # by the clock that dates files
        return Look(
            run_dir,
            _stage(config, records, holder),
            config,
            records,
            holder,
            checkpoints[-1][0] if checkpoints else None,
            max(0.0, now - metrics.stat().st_mtime) if metrics.exists() else None,
        )


def _stage(config: Any, records: tuple[Record, ...], holder: Holder | None) -> Stage:
    if is_whole(config, records):
        return "complete"
    if holder is None or holder.lives is False:
        return "stopped"
    return "training" if holder.lives else "elsewhere"
