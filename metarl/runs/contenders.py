"""Which runs are seeds of one experiment, and which experiments can share a figure."""

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from metarl.config.base import ExperimentConfig, with_settings
from metarl.config.comparability import baselines_of
from metarl.config.plugins import load_preset, preset_names, settings_of
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_config

SEEDS_DIFFER_IN = (
    "seed",
    "iterations",
    "env_steps",
    "checkpoint_interval",
    "max_rejections",
    "device",
    "gpus_per_worker",
    "description",
    "source",
    "published",
)
"""What seeds of one experiment need not have in common: how long each was trained is told beside
its returns, and words change with the project."""


@dataclass(frozen=True)
class Contender:
    """Runs of one agent that differ in their seed."""

    config: ExperimentConfig
    """Of the first run."""
    run_dirs: tuple[Path | None, ...]
    """None stands for a policy as it was initialised, of an agent that trains nothing."""
    seeds: tuple[int, ...]
    """The seed that each run was trained with."""


def group_runs(run_dirs: Sequence[Path]) -> list[Contender]:
    """Group runs by their agent, in the order in which the agents first appear.

    Raises:
        ConfigError: the runs of an agent differ in more than their seed and what
            `SEEDS_DIFFER_IN` names, or two have the same seed; or
            agents were trained on different tasks.
        RunFolderError: a folder is missing or holds no readable configuration.

    """
    recorded = [(run_dir, read_config(run_dir)) for run_dir in run_dirs]
    # Settings that did not exist yet when a run was made are at their defaults.
    configs = [(it, with_settings(config, asdict(settings_of(config)))) for it, config in recorded]
    contenders: list[Contender] = []
    for agent in dict.fromkeys(config.agent for _, config in configs):
        runs = [(run_dir, config) for run_dir, config in configs if config.agent == agent]
        first_dir, first = runs[0]
        seeds: dict[int, Path] = {}
        for run_dir, config in runs:
            _require_one_kind(first_dir, first, run_dir, config)
            if config.seed in seeds:
                raise ConfigError(
                    f"{seeds[config.seed]} and {run_dir} are both {agent} with seed {config.seed}; "
                    "runs of one agent must be seeds of one experiment"
                )
            seeds[config.seed] = run_dir
            names = [item.name for item in dataclasses.fields(first)]
            names = [name for name in names if name not in SEEDS_DIFFER_IN]
            _require_equal(first_dir, first, run_dir, config, names)
        contenders.append(Contender(first, tuple(seeds.values()), tuple(seeds)))
    _require_same_tasks(contenders)
    return contenders


def with_baselines(
    contenders: Sequence[Contender], beside: Path, tested: ExperimentConfig | None = None
) -> list[Contender]:
    """Add the baselines that are not among the contenders.

    Args:
        contenders: of one experiment at least.
        beside: a run folder; baselines that are trained lie beside it, as PRESET-AGENT (without
            a preset, as ENVIRONMENT-AGENT). One that trains nothing needs no folder.
        tested: the first run's configuration, with what was asked for this evaluation; only
            baselines that fit it are added. None: as it is.

    Raises:
        ConfigError: a baseline is missing, or was trained on other tasks.

    """
    first = contenders[0]
    present = {contender.config.agent for contender in contenders}
    added, missing = [], []
    for baseline in baselines_of(tested or first.config):
        folder = beside.parent / f"{first.config.name}-{baseline.agent}"
        if baseline.agent in present:
            continue
        if folder.is_dir():
            (found,) = group_runs([folder])
            if found.config.agent != baseline.agent:
                raise ConfigError(f"{folder} is not a run of agent {baseline.agent!r}")
            added.append(found)
        elif baseline.trained:
            of_tasks = _flags_of_tasks(first.config)
            missing.append(f"`metarl train {of_tasks} --agent {baseline.agent} --run-dir {folder}`")
        else:
            config = dataclasses.replace(first.config, agent=baseline.agent, **baseline.changes)
            added.append(Contender(config, (None,) * len(first.seeds), first.seeds))
    if missing:
        raise ConfigError(f"baselines are not trained yet; first: {' and '.join(missing)}")
    _require_same_tasks([*contenders, *added])
    return [*contenders, *added]


def _flags_of_tasks(config: ExperimentConfig) -> str:
    """Give what `metarl train` is given to train another agent on a run's tasks."""
    if config.preset not in ("", *(origin.name for origin in preset_names())):
        return f"{config.preset}.toml"
    if not isinstance(config, Config):
        return config.preset
    words = [config.preset] if config.preset else []
    plain = load_preset(config.preset) if config.preset else None
    for name, flag in (("env_id", "--env-id"), ("horizon", "--horizon")):
        value = getattr(config, name)
        if value != getattr(plain, name, None):
            words.append(f"{flag} {value}")
    return " ".join(words)


def _require_same_tasks(contenders: Sequence[Contender]) -> None:
    first = contenders[0]
    for other in contenders[1:]:
        _require_one_kind(first.run_dirs[0], first.config, other.run_dirs[0], other.config)
        names = first.config.same_tasks
        _require_equal(first.run_dirs[0], first.config, other.run_dirs[0], other.config, names)


def _require_one_kind(
    first_dir: Path | None, first: ExperimentConfig, run_dir: Path | None, config: ExperimentConfig
) -> None:
    if type(first) is not type(config):
        raise ConfigError(
            f"{first_dir} and {run_dir} cannot be evaluated together: one was trained on an "
            "environment, the other on a supervised problem"
        )


def _require_equal(
    first_dir: Path | None,
    first: ExperimentConfig,
    run_dir: Path | None,
    config: ExperimentConfig,
    names: Sequence[str],
) -> None:
    for name in names:
        before, now = getattr(first, name), getattr(config, name)
        if before != now:
            raise ConfigError(
                f"{first_dir} and {run_dir} cannot be evaluated together: {name} is {before!r} in "
                f"one and {now!r} in the other"
            )
