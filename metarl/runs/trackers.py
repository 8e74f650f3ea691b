"""Where a run can be watched while it trains, beside `metrics.jsonl`.

A tracker that fails is named once on standard error and left out from then on; it never stops
training.
"""

import contextlib
import dataclasses
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from metarl.agent.protocol import Record
from metarl.config.base import ExperimentConfig
from metarl.foundation.errors import ConfigError
from metarl.foundation.files import read_bytes, write_whole

_WANDB_IDENTITY = "wandb-id.txt"
_LONGEST_IDENTITY = 128


class Tracker(Protocol):
    """Shows an iteration's metrics somewhere."""

    def log(self, record: Record) -> None:
        """Show one iteration's metrics."""

    def close(self) -> None:
        """Write what is left to write."""


def start_trackers(
    config: ExperimentConfig,
    run_dir: Path,
    completed: int,
    tensorboard: bool,
    wandb_project: str,
) -> "Trackers":
    """Start what was asked for.

    Args:
        config: the experiment.
        run_dir: the run folder.
        completed: iterations done; what was shown of later ones is to be forgotten.
        tensorboard: write TensorBoard events into `run_dir/tensorboard`.
        wandb_project: of Weights & Biases; empty: none.

    """
    wanted: dict[str, Callable[[], Tracker]] = {}
    if tensorboard:
        wanted["TensorBoard"] = lambda: TensorBoard(run_dir, completed)
    if wandb_project:
        wanted["Weights & Biases"] = lambda: WeightsAndBiases(run_dir, config, wandb_project)
    return Trackers(wanted)


def require_wandb() -> None:
    """Raise ConfigError unless Weights & Biases is installed."""
    if find_spec("wandb") is None:
        raise ConfigError('--wandb needs its library: pip install "metarl-suite[wandb]"')


class Trackers:
    """Several trackers, each of which may fail."""

    def __init__(self, wanted: dict[str, Callable[[], Tracker]]) -> None:
        self._hook = threading.excepthook
        threading.excepthook = self._on_exception_of_a_thread
        self._working: dict[str, Tracker] = {}
        for name, start in wanted.items():
            self._attempt(name, partial(self._start, name, start))

    def log(self, record: Record) -> None:
        """Show one iteration's metrics wherever that still works."""
        for name, tracker in list(self._working.items()):
            self._attempt(name, partial(tracker.log, record))

    def close(self) -> None:
        """Close those that still work."""
        for name, tracker in list(self._working.items()):
            self._attempt(name, tracker.close)
        threading.excepthook = self._hook

    def _start(self, name: str, start: Callable[[], Tracker]) -> None:
        self._working[name] = start()

    def _on_exception_of_a_thread(self, about: threading.ExceptHookArgs) -> None:
        """Leave out the traceback of TensorBoard's writer: the next call raises the same."""
        if not type(about.thread).__module__.startswith("tensorboard."):
            self._hook(about)

    def _attempt(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            self._working.pop(name, None)
            reason = str(error).partition("\n")[0] or type(error).__name__
            with contextlib.suppress(OSError):
                print(f"metarl train: goes on without {name}: {reason}", file=sys.stderr)


class TensorBoard:
    """Scalars for `tensorboard --logdir RUN_DIR`."""

    def __init__(self, run_dir: Path, completed: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # A resumed run repeats the iterations after its checkpoint; their points go.
        self._writer = SummaryWriter(
            str(run_dir / "tensorboard"), purge_step=completed + 1, flush_secs=10
        )

    def log(self, record: Record) -> None:
        """Add a point to each scalar."""
        for name, value in _numbers(record).items():
            self._writer.add_scalar(f"{_section(name)}/{name}", value, record["iteration"])

    def close(self) -> None:
        """Write the last points."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases; a resumed run goes on with the same one."""

    def __init__(self, run_dir: Path, config: ExperimentConfig, project: str) -> None:
        import wandb

        identity = run_dir / _WANDB_IDENTITY
        if not identity.exists():
            write_whole(identity, uuid.uuid4().hex.encode())
        self._run: Any = wandb.init(
            project=project,
            name=run_dir.name,
            id=read_bytes(identity, _LONGEST_IDENTITY).decode(),
            dir=str(run_dir),
            config=dataclasses.asdict(config),
            resume="allow",
        )

    def log(self, record: Record) -> None:
        """Log an iteration under its number."""
        points = {f"{_section(name)}/{name}": value for name, value in _numbers(record).items()}
        self._run.log(points, step=record["iteration"])

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


def _numbers(record: Record) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in record.items()
        if name != "iteration" and isinstance(value, bool | int | float)
    }


def _section(name: str) -> str:
    """Give the group of charts that a metric belongs to."""
    endings: Sequence[tuple[str, str]] = (("_return", "return"), ("_seconds", "seconds"))
    return next((section for ending, section in endings if name.endswith(ending)), "update")
