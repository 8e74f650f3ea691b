"""Meta-train from a preset, or on any environment.

The run folder (default: runs/PRESET or runs/ENVIRONMENT, with --agent runs/PRESET-AGENT) gets
config.json, metrics.jsonl and checkpoints/. Every field can be changed by a flag; `metarl train
PRESET --help` shows the preset's own values, and `metarl train --env-id ID --help` those that are
chosen from the environment's spaces where there is no preset.

Examples:
  metarl train navigation-2d
  metarl train half-cheetah-dir --iterations 200 --workers 2 --run-dir runs/cheetah
  metarl train --env-id my_package:MyEnv-v0                 an environment without a preset
  metarl train navigation-2d --seed 7 --adaptation-steps 2 --run-dir runs/other
  metarl train navigation-2d --iterations 500 --resume      go on with runs/navigation-2d
  metarl train --run-dir runs/other --resume                go on with any run
  metarl train navigation-2d --agent pretrained             a baseline: one policy for all tasks
  metarl train navigation-2d --initial-policy model.zip     start from a stable-baselines3 model
  metarl train sinusoid                                     a supervised problem, by the same core
"""

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from metarl.api.starting_point import in_its_words
from metarl.cli.output import Forgiving
from metarl.cli.parsing import parse
from metarl.cli.run_flags import find_start, given_fields, require_first
from metarl.config.base import refuse_changes, with_settings
from metarl.foundation.messages import say
from metarl.runs.interruptions import Interrupted, Interruptions
from metarl.workers.cores import usable_cores

C = TypeVar("C")
S = TypeVar("S")


@dataclass(frozen=True)
class TrainArguments(Generic[C, S]):
    """The arguments of `metarl train`."""

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    """A preset of `metarl list`, or the path of a TOML file of your own. Empty: none; defaults are
    chosen from the spaces of --env-id, and those that are guesses are said."""
    config: tyro.conf.OmitArgPrefixes[C]
    """What the preset fixes."""
    settings: tyro.conf.OmitArgPrefixes[S]
    """What the agent or the problem decides."""
    run_dir: Path
    """The run folder."""
    workers: int | str
    """Worker processes; 0: this process does all the work, and dies with an environment that
    crashes. Or ray, or the address of a Ray cluster: one on each of its CPUs. The numbers do not
    depend on it, and a supervised problem needs none."""
    worker_timeout: float = 0.0
    """Seconds without a sign of life after which a worker is replaced; 0: at least 60, and more
    where an iteration takes long. On Ray the only sign is a reply, and the first is waited for."""
    worker_memory: int = 0
    """MiB above which a worker is replaced between two iterations; 0: no limit. Ray has its own."""
    tensorboard: bool = True
    """Write TensorBoard events beside metrics.jsonl."""
    wandb: str = ""
    """A project of Weights & Biases to log to as well; needs pip install "metarl-suite[wandb]"."""
    resume: bool = False
    """Go on with the run in the run folder, from its newest checkpoint."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    start = find_start(argv, "train")
    defaults = TrainArguments(
        start.preset,
        start.config,
        start.settings,
        start.run_dir,
        usable_cores(),
        resume="--resume" in argv,
    )
    kind: Any = TrainArguments[type(start.config), type(start.settings)]  # type: ignore[misc]
    arguments: TrainArguments[Any, Any] = parse(
        kind, argv, prog="metarl train", description=__doc__ or "", default=defaults
    )
    require_first(arguments.preset, start, "train")
    config = with_settings(arguments.config, dataclasses.asdict(arguments.settings))
    if arguments.resume:
        refuse_changes(start.config, config)
    config = in_its_words(start, config)
    notes = start.notes(config, given_fields(argv))
    return _train(config, arguments, notes, shlex.join(["metarl", "train", *argv]))


def _train(config: Any, arguments: TrainArguments[Any, Any], notes: list[str], command: str) -> int:
    # From here on torch is needed, which takes its time to import.
    from rich.console import Console

    from metarl.api.training_session import run_training
    from metarl.reports.progress import ConsoleDisplay

    stream: Any = Forgiving(sys.stdout)
    try:
        with Interruptions() as interruptions:
            run_training(
                config,
                arguments.run_dir,
                display=ConsoleDisplay(Console(file=stream, emoji=False)),
                workers=arguments.workers,
                resume=arguments.resume,
                tensorboard=arguments.tensorboard,
                wandb=arguments.wandb,
                worker_timeout=arguments.worker_timeout,
                worker_memory=arguments.worker_memory,
                notes=notes,
                command=command,
                interruptions=interruptions,
            )
    except Interrupted as interruption:
        if not interruption.told:
            say(f"metarl train: {interruption.name} before training began")
        return interruption.exit_code
    finally:
        stream.release()
    return 0
