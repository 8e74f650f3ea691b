"""Meta-train a policy from a preset, or on any environment.

The run folder (default: runs/PRESET or runs/ENVIRONMENT, with --agent runs/PRESET-AGENT) gets
config.json, metrics.jsonl (one record an iteration) and checkpoints/. Every field can be changed by
a flag; `metarl train PRESET --help` shows the preset's own values, and `metarl train --env-id ID
--help` those that are chosen from the environment's spaces where there is no preset.

Examples:
  metarl train navigation-2d
  metarl train half-cheetah-dir --iterations 200 --workers 2 --run-dir runs/cheetah
  metarl train --env-id my_package:MyEnv-v0                 an environment without a preset
  metarl train navigation-2d --seed 7 --max-kl 0.02 --adaptation-steps 2 --run-dir runs/other
  metarl train navigation-2d --iterations 500 --resume      go on with runs/navigation-2d
  metarl train --run-dir runs/other --resume                go on with any run
  metarl train navigation-2d --agent pretrained             a baseline: one policy for all tasks
  metarl train navigation-2d --initial-policy model.zip     start from a stable-baselines3 model
  metarl train sinusoid                                     a supervised problem, by the same core
"""

import argparse
import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from metarl.cli import supervised_train
from metarl.cli.cores import usable_cores
from metarl.cli.parsing import parse
from metarl.config.fields import read_fields
from metarl.config.plugins import load_agent, load_preset, preset_names
from metarl.config.reinforcement import Config, environment_name
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_config
from metarl.tasks.environment_defaults import Guess, environment_defaults

S = TypeVar("S")

_PRESET_OF_THE_HELP = "navigation-2d"
_MAY_CHANGE_ON_RESUME = {"iterations", "checkpoint_interval", "max_rejections", "on_env_error"}


@dataclass(frozen=True)
class TrainArguments(Generic[S]):
    """The arguments of `metarl train`."""

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    """A preset of `metarl list`, or the path of a TOML file of your own. Empty: none; defaults are
    chosen from the spaces of --env-id, and those that are guesses are said."""
    config: tyro.conf.OmitArgPrefixes[Config]
    """What the preset fixes."""
    settings: tyro.conf.OmitArgPrefixes[S]
    """What the agent decides."""
    run_dir: Path
    """The run folder."""
    workers: int | str
    """Worker processes; 0: this process does all the work, and dies with an environment that
    crashes. Or ray, or the address of a Ray cluster: one on each of its CPUs. The numbers do not
    depend on it."""
    worker_timeout: float = 0.0
    """Seconds without a sign of life after which a worker is replaced; 0: at least 60, and more
    where an iteration takes long."""
    worker_memory: int = 0
    """MiB above which a worker is replaced between two iterations; 0: no limit."""
    tensorboard: bool = True
    """Write TensorBoard events beside metrics.jsonl."""
    wandb: str = ""
    """A project of Weights & Biases to log to as well; needs pip install "metarl-suite[wandb]"."""
    resume: bool = False
    """Go on with the run in the run folder, from its newest checkpoint."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    known, preset = _named(argv)
    if (code := supervised_train.run(argv, preset, known.run_dir, known.resume)) is not None:
        return code
    defaults, guesses = _defaults(argv, known, preset)
    kind: Any = TrainArguments[type(defaults.settings)]  # type: ignore[misc]
    arguments: TrainArguments[Any] = parse(
        kind,
        argv,
        prog="metarl train",
        description=__doc__ or "",
        default=defaults,
    )
    if arguments.preset != defaults.preset:  # hidden behind the value of a flag
        load_preset(arguments.preset)
        raise ConfigError(f"name the preset first: metarl train {arguments.preset} …")
    config = dataclasses.replace(
        arguments.config, agent_settings=dataclasses.asdict(arguments.settings)
    )
    if arguments.resume:
        _refuse_changes(defaults.config, config)
    notes = [line for guess in guesses if (line := guess.describe(config, _given(argv)))]
    # From here on torch is needed, which takes its time to import.
    from metarl.cli.supervision import failures_kept, supervise
    from metarl.cli.training_run import run_training

    run_dir = arguments.run_dir
    supervision = supervise(
        "metarl train", run_dir, arguments.worker_timeout, arguments.worker_memory
    )
    with failures_kept(run_dir):
        return run_training(
            config,
            run_dir,
            arguments.workers,
            supervision,
            resume=arguments.resume,
            tensorboard=arguments.tensorboard,
            wandb_project=arguments.wandb,
            notes=notes,
            command=shlex.join(["metarl", "train", *argv]),
        )


def _named(argv: list[str]) -> tuple[argparse.Namespace, str]:
    """Find what decides on the defaults of all flags, and the preset."""
    before = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    before.add_argument("--run-dir", "--run_dir", type=Path)
    before.add_argument("--resume", action="store_true")
    before.add_argument("--agent")
    before.add_argument("--env-id", "--env_id")
    try:
        known, rest = before.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}; see `metarl train --help`") from error
    return known, _find_preset(rest)


def _defaults(
    argv: list[str], known: argparse.Namespace, preset: str
) -> tuple[TrainArguments[Any], list[Guess]]:
    """Give the defaults of all flags, and which of them are guesses.

    They are the preset's, or those chosen for an environment, or on resume those that the run was
    started with.
    """
    guesses: list[Guess] = []
    run_dir: Path | None = known.run_dir
    if known.resume:
        run_dir = run_dir or Path("runs") / _run_name(preset, known.env_id, known.agent)
        config = read_config(run_dir)
    elif preset:
        config = load_preset(preset)
    elif known.env_id:
        config, guesses = environment_defaults(known.env_id)
    elif {"-h", "--help"} & set(argv):
        preset = _PRESET_OF_THE_HELP
        config = load_preset(preset)
    else:
        raise _nothing_named()
    if preset and config.preset != Path(preset).stem:
        raise ConfigError(f"{run_dir} is a run of {_kind(config)}, not of preset {preset!r}")
    run_dir = run_dir or Path("runs") / _run_name(preset, known.env_id, known.agent)
    agent = known.agent or config.agent
    spec = load_agent(agent)
    # What the preset sets holds for every agent that has the same settings.
    alike = agent == config.agent or spec.settings is load_agent(config.agent).settings
    table = config.agent_settings if alike else {}
    settings = read_fields(spec.settings, table, f"agent {agent!r}")
    # The record of a run holds every setting, a preset only those that differ from the default.
    config = dataclasses.replace(config, agent_settings=dataclasses.asdict(settings), **spec.fixes)
    arguments = TrainArguments(
        preset, config, settings, run_dir, usable_cores(), resume=known.resume
    )
    return arguments, guesses


def _run_name(preset: str, env_id: str | None, agent: str | None) -> str:
    """Name the run folder after preset or environment, and after the agent if it is another."""
    if preset:
        name, usual = Path(preset).stem, load_preset(preset).agent
    elif env_id:
        name, usual = environment_name(env_id), Config.agent
    else:
        raise _nothing_named()
    return name if agent is None or agent == usual else f"{name}-{agent.replace(':', '-')}"


def _find_preset(argv: list[str]) -> str:
    """Find the preset among the arguments: the first of them, or the first that names one."""
    if argv and not argv[0].startswith("-"):
        return argv[0]
    names = [origin.name for origin in preset_names()]
    for argument in argv:
        if argument in names or argument.endswith(".toml"):
            return argument
    return ""


def _nothing_named() -> ConfigError:
    names = ", ".join(origin.name for origin in preset_names())
    return ConfigError(
        f"name a preset first: metarl train PRESET; there are {names}. Or name an environment, "
        "metarl train --env-id PACKAGE:ID, or the run to go on with: --run-dir DIR --resume"
    )


def _kind(config: Config) -> str:
    return f"preset {config.preset!r}" if config.preset else f"{config.env_id} without a preset"


def _given(argv: list[str]) -> set[str]:
    """Give the names of the fields that flags set."""
    return {
        argument.partition("=")[0].lstrip("-").replace("-", "_")
        for argument in argv
        if argument.startswith("--")
    }


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
