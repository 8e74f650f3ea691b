"""`metarl train` for supervised problems.

Meta-train a model from a preset of a supervised problem. The run folder (default: runs/PRESET, with
--agent runs/PRESET-AGENT) gets config.json, metrics.jsonl (a record every --record-interval
iterations) and checkpoints/. One process trains; --workers does not matter.

Examples:
  metarl train sinusoid
  metarl train sinusoid --agent pretrained          a baseline: one model for all tasks
  metarl train sinusoid --iterations 80000 --resume
  metarl train characters-5-way-1-shot --first-order --run-dir runs/first-order
"""

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from metarl.cli.parsing import parse
from metarl.config.fields import read_fields
from metarl.config.plugins import load_any_preset, load_problem
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_any_config

S = TypeVar("S")

_MAY_CHANGE_ON_RESUME = {"iterations", "checkpoint_interval"}


@dataclass(frozen=True)
class SupervisedArguments(Generic[S]):
    """The arguments of `metarl train` for a supervised problem."""

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    """A preset of `metarl list`, or the path of a TOML file of your own."""
    config: tyro.conf.OmitArgPrefixes[SupervisedConfig]
    """What the preset fixes."""
    settings: tyro.conf.OmitArgPrefixes[S]
    """What the problem decides."""
    run_dir: Path | None = None
    """The run folder. None: runs/PRESET, and runs/PRESET-AGENT for an agent that is not maml."""
    workers: int | str = 1
    """Does not matter: one process trains."""
    tensorboard: bool = True
    """Write TensorBoard events beside metrics.jsonl."""
    wandb: str = ""
    """A project of Weights & Biases to log to as well; needs pip install "metarl-suite[wandb]"."""
    resume: bool = False
    """Go on with the run in the run folder, from its newest checkpoint."""


def run(argv: list[str], preset: str, run_dir: Path | None, resume: bool) -> int | None:
    """Run the verb if a supervised problem is meant; give the exit code, or None if it is not.

    Args:
        argv: the arguments.
        preset: the preset among them; empty: none.
        run_dir: what they say of it.
        resume: likewise.

    """
    if preset:
        config = load_any_preset(preset)
    elif resume and run_dir:
        config = read_any_config(run_dir)
    else:
        return None
    if not isinstance(config, SupervisedConfig):
        return None
    if resume and run_dir:
        recorded = read_any_config(run_dir)
        if not isinstance(recorded, SupervisedConfig) or recorded.preset != config.preset:
            raise ConfigError(f"{run_dir} is not a run of preset {preset!r}")
        config = recorded
    kind = load_problem(config.problem)
    settings = read_fields(kind, config.problem_settings, f"problem {config.problem!r}")
    arguments: SupervisedArguments[Any] = parse(
        SupervisedArguments[kind],  # type: ignore[valid-type]
        argv,
        prog="metarl train",
        description=__doc__ or "",
        default=SupervisedArguments(preset, config, settings, resume=resume),
    )
    wanted = dataclasses.replace(
        arguments.config, problem_settings=dataclasses.asdict(arguments.settings)
    )
    suffix = "" if wanted.agent == "maml" else f"-{wanted.agent}"
    folder = arguments.run_dir or Path("runs") / f"{wanted.preset}{suffix}"
    if resume:
        wanted = _with_what_was_recorded(folder, wanted, argv)
    # From here on torch is needed, which takes its time to import.
    from metarl.cli.supervised_training import run_supervised_training

    return run_supervised_training(
        wanted,
        folder,
        arguments.resume,
        arguments.tensorboard,
        arguments.wandb,
        shlex.join(["metarl", "train", *argv]),
    )


def _with_what_was_recorded(
    run_dir: Path, wanted: SupervisedConfig, argv: list[str]
) -> SupervisedConfig:
    """Give the recorded configuration with what a resumed run may change; refuse other changes."""
    recorded = read_any_config(run_dir)
    if not isinstance(recorded, SupervisedConfig) or recorded.preset != wanted.preset:
        raise ConfigError(f"{run_dir} is not a run of preset {wanted.preset!r}")
    given = {part.partition("=")[0].lstrip("-").replace("-", "_") for part in argv}
    changes = {}
    for name, now in _flat(wanted).items():
        before = _flat(recorded).get(name)
        if name not in given or now == before:
            continue
        if name not in _MAY_CHANGE_ON_RESUME:
            raise ConfigError(
                f"a resumed run keeps its configuration, but {name} was {before!r} and is now "
                f"{now!r}; start a new run in another --run-dir instead"
            )
        changes[name] = now
    return dataclasses.replace(recorded, **changes)


def _flat(config: SupervisedConfig) -> dict[str, Any]:
    fields = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    return {**fields.pop("problem_settings"), **fields}
