"""Meta-train a policy from a preset.

The run folder (default: runs/PRESET, or runs/PRESET-AGENT with --agent) gets config.json,
metrics.jsonl (one record an iteration) and checkpoints/. Every field of the preset can be changed
by a flag; `metarl train PRESET --help` shows the preset's own values.

Examples:
  metarl train navigation-2d
  metarl train half-cheetah-dir --iterations 200 --workers 2 --run-dir runs/cheetah
  metarl train navigation-2d --seed 7 --max-kl 0.02 --adaptation-steps 2 --run-dir runs/other
  metarl train navigation-2d --iterations 500 --resume      go on with runs/navigation-2d
  metarl train navigation-2d --agent pretrained             a baseline: one policy for all tasks
  metarl train navigation-2d --initial-policy model.zip     start from a stable-baselines3 model
"""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from metarl.cli.cores import usable_cores
from metarl.cli.parsing import parse
from metarl.config import Config, read_fields
from metarl.errors import ConfigError
from metarl.plugins import load_agent, load_preset, preset_names
from metarl.run_folder import read_config

S = TypeVar("S")

_PRESET_OF_THE_HELP = "navigation-2d"
_MAY_CHANGE_ON_RESUME = {"iterations", "checkpoint_interval"}


@dataclass(frozen=True)
class TrainArguments(Generic[S]):
    """The arguments of `metarl train`."""

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    """A preset of `metarl list`, or the path of a TOML file of your own."""
    config: tyro.conf.OmitArgPrefixes[Config]
    """What the preset fixes."""
    settings: tyro.conf.OmitArgPrefixes[S]
    """What the agent decides."""
    run_dir: Path
    """The run folder."""
    workers: int | str
    """Worker processes; 1 works in this process. Or ray, or the address of a Ray cluster: one on
    each of its CPUs. The numbers do not depend on it."""
    tensorboard: bool = True
    """Write TensorBoard events beside metrics.jsonl."""
    wandb: str = ""
    """A project of Weights & Biases to log to as well; needs pip install "metarl-suite[wandb]"."""
    resume: bool = False
    """Go on with the run in the run folder, from its newest checkpoint."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    defaults = _defaults(argv)
    kind: Any = TrainArguments[type(defaults.settings)]  # type: ignore[misc]
    arguments: TrainArguments[Any] = parse(
        kind,
        argv,
        prog="metarl train",
        description=__doc__ or "",
        default=defaults,
    )
    config = dataclasses.replace(
        arguments.config, agent_settings=dataclasses.asdict(arguments.settings)
    )
    if arguments.resume:
        _refuse_changes(defaults.config, config)
    # From here on torch is needed, which takes its time to import.
    from metarl.cli.training_run import run_training

    return run_training(
        config,
        arguments.run_dir,
        arguments.workers,
        arguments.resume,
        arguments.tensorboard,
        arguments.wandb,
    )


def _defaults(argv: list[str]) -> TrainArguments[Any]:
    """Give the defaults of all flags: the preset's, or on resume those the run was started with."""
    before = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    before.add_argument("--run-dir", "--run_dir", type=Path)
    before.add_argument("--resume", action="store_true")
    before.add_argument("--agent")
    known, rest = before.parse_known_args(argv)
    preset = _find_preset(rest)
    run_dir = known.run_dir or Path("runs") / _run_name(preset, known.agent)
    config = read_config(run_dir) if known.resume else load_preset(preset)
    if config.preset != Path(preset).stem:
        raise ConfigError(f"{run_dir} is a run of preset {config.preset!r}, not of {preset!r}")
    agent = known.agent or config.agent
    spec = load_agent(agent)
    # What the preset sets holds for every agent that has the same settings.
    alike = agent == config.agent or spec.settings is load_agent(config.agent).settings
    table = config.agent_settings if alike else {}
    settings = read_fields(spec.settings, table, f"agent {agent!r}")
    # The record of a run holds every setting, a preset only those that differ from the default.
    config = dataclasses.replace(config, agent_settings=dataclasses.asdict(settings), **spec.fixes)
    return TrainArguments(preset, config, settings, run_dir, usable_cores(), resume=known.resume)


def _run_name(preset: str, agent: str | None) -> str:
    """Name the run folder after the preset, and after the agent if it is not the preset's."""
    name = Path(preset).stem
    return name if agent in (None, load_preset(preset).agent) else f"{name}-{agent}"


def _find_preset(argv: list[str]) -> str:
    """Find the preset among the arguments: the first of them, or the first that names one."""
    if argv and not argv[0].startswith("-"):
        return argv[0]
    names = [origin.name for origin in preset_names()]
    for argument in argv:
        if argument in names or argument.endswith(".toml"):
            return argument
    if {"-h", "--help"} & set(argv):
        return _PRESET_OF_THE_HELP
    raise ConfigError(f"name a preset first: metarl train PRESET; there are {', '.join(names)}")


def _refuse_changes(recorded: Config, wanted: Config) -> None:
    before, now = _flat(recorded), _flat(wanted)
    for name, value in before.items():
        if value != now[name] and name not in _MAY_CHANGE_ON_RESUME:
            raise ConfigError(
                f"a resumed run keeps its configuration, but {name} was {value!r} and is now "
                f"{now[name]!r}; start a new run in another --run-dir instead"
            )


def _flat(config: Config) -> dict[str, Any]:
    fields = {item.name: getattr(config, item.name) for item in dataclasses.fields(Config)}
    return {**fields.pop("agent_settings"), **fields}
