"""Training in this process, for the verbs that train; it imports nothing that draws."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metarl.runs.interruptions import Interruptions
from metarl.runs.session import Display, SessionOptions, run_session
from metarl.runs.supervision import failures_kept, supervise
from metarl.workers.cores import usable_cores


def run_training(
    config: Any,
    run_dir: Path,
    *,
    display: Display,
    workers: int | str | None = None,
    resume: bool = False,
    tensorboard: bool = True,
    wandb: str = "",
    worker_timeout: float = 0.0,
    worker_memory: int = 0,
    notes: Sequence[str] = (),
    command: str = "",
    again: str = "",
    interruptions: Interruptions | None = None,
) -> None:
    """Train by a configuration that is there. Arguments as for `metarl.train`.

    Args:
        config: a `metarl.config.base.ExperimentConfig`.
        run_dir: the run folder.
        display: shows how it goes.
        workers: as for `metarl.train`, and so those that follow.
        resume: likewise.
        tensorboard: likewise.
        wandb: likewise.
        worker_timeout: likewise.
        worker_memory: likewise.
        notes: lines to say once it is known that the run can start.
        command: what started the session, for the run's record.
        again: what goes on with it, for messages; empty: `metarl train` with --resume.
        interruptions: of a program that handles signals.

    """
    supervision = supervise("metarl train", run_dir, worker_timeout, worker_memory)
    options = SessionOptions(
        run_dir,
        usable_cores() if workers is None else workers,
        supervision,
        resume,
        tensorboard,
        wandb,
        notes,
        command,
        again,
    )
    with failures_kept(run_dir):
        run_session(config, options, display, interruptions or Interruptions())
