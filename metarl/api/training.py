"""`metarl.train`: what `metarl train` does, for a caller in Python."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metarl.agent.protocol import Record
from metarl.api.run import Run
from metarl.api.starting_point import in_its_words, starting_point, with_fields
from metarl.api.training_session import run_training
from metarl.config.base import refuse_changes
from metarl.reports.progress import display_for


def train(
    preset: str = "",
    *,
    run_dir: str | os.PathLike[str] | None = None,
    workers: int | str | None = None,
    resume: bool = False,
    progress: Callable[[Record], Any] | bool | None = None,
    agent: str | None = None,
    env_id: str | None = None,
    tensorboard: bool = True,
    wandb: str = "",
    worker_timeout: float = 0.0,
    worker_memory: int = 0,
    **fields: Any,
) -> Run:
    """Meta-train from a preset, or on any environment; give the run.

    A script that trains with worker processes needs the line ``if __name__ == "__main__":`` around
    what it does; a notebook does not. Interrupted, training saves what it has reached, and goes on
    by `resume=True`.

    Args:
        preset: a preset of `metarl.presets()`, or the path of a TOML file. Empty: none; then
            `env_id` names an environment, or `run_dir` the run to resume.
        run_dir: the run folder; None: runs/PRESET, or runs/PRESET-AGENT for another agent.
        workers: worker processes; 0: this process does all the work. None: one for each core. Or
            "ray", or the address of a Ray cluster. The numbers do not depend on it.
        resume: go on with the run in the run folder, from its newest checkpoint.
        progress: a function that is called with each iteration's metrics; False: nothing is shown.
            None: a bar on a terminal and a line in a notebook; True: lines elsewhere as well.
        agent: who learns, of `metarl.agents()`; None: as the preset says, or the run to resume.
        env_id: the environment, as package:namespace/Name-v0.
        tensorboard: write TensorBoard events beside metrics.jsonl.
        wandb: a project of Weights & Biases to log to as well; empty: none.
        worker_timeout: seconds without a sign of life after which a worker is replaced; 0: at
            least 60, and more where an iteration takes long. On Ray, without a reply.
        worker_memory: MiB above which a worker is replaced between two iterations; 0: no limit.
            Not on Ray, which has its own.
        fields: fields of the preset and settings of the agent, by name, as `iterations=40`.

    Raises:
        MetarlError: with what went wrong, in a line; what was reached before is saved.
        KeyboardInterrupt: training was interrupted; what was reached is saved.

    """
    folder = None if run_dir is None else Path(run_dir)
    start = starting_point(preset, env_id=env_id, agent=agent, run_dir=folder, resume=resume)
    if env_id is not None:
        fields["env_id"] = env_id
    config = with_fields(start, fields)
    if resume:
        refuse_changes(start.config, config)
    config = in_its_words(start, config)
    named = {**({"agent": agent} if agent else {}), **fields}
    notes = start.notes(config, named)
    said = [repr(preset)] * bool(preset) + [f"{name}={value!r}" for name, value in named.items()]
    run_training(
        config,
        start.run_dir,
        workers=workers,
        resume=resume,
        display=display_for(progress),
        tensorboard=tensorboard,
        wandb=wandb,
        worker_timeout=worker_timeout,
        worker_memory=worker_memory,
        notes=notes,
        command=f"metarl.train({', '.join(said)})",
    )
    return Run(start.run_dir)
