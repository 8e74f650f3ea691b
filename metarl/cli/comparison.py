"""Which runs are seeds of one experiment, and which experiments can share a figure."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metarl.config.plugins import baseline_names, load_agent
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_config

_SEEDS_DIFFER_IN = {"seed", "checkpoint_interval", "max_rejections", "device"}
_SAME_TASKS = ("env_id", "env_kwargs", "horizon", "train_range", "test_ranges")


@dataclass(frozen=True)
class Group:
    """Runs of one experiment that differ in their seed."""

    config: Config
    """Of the first run."""
    run_dirs: tuple[Path | None, ...]
    """None stands for a policy as it was initialised, of an agent that trains nothing."""
    seeds: tuple[int, ...]
    """The seed that each run was trained with."""


def group_runs(run_dirs: Sequence[Path]) -> list[Group]:
    """Group runs by their agent, in the order in which the agents first appear.

    Raises:
        ConfigError: the runs of an agent differ in more than their seed, or two in nothing; or
            agents were trained on different tasks.
        RunFolderError: a folder is missing or holds no readable configuration.

    """
    configs = [(run_dir, read_config(run_dir)) for run_dir in run_dirs]
    groups: list[Group] = []
    for agent in dict.fromkeys(config.agent for _, config in configs):
        runs = [(run_dir, config) for run_dir, config in configs if config.agent == agent]
        first_dir, first = runs[0]
        seeds: dict[int, Path] = {}
        for run_dir, config in runs:
            if config.seed in seeds:
                raise ConfigError(
                    f"{seeds[config.seed]} and {run_dir} are both {agent} with seed {config.seed}; "
                    "runs of one agent must be seeds of one experiment"
                )
            seeds[config.seed] = run_dir
            names = [
                item.name
                for item in dataclasses.fields(Config)
                if item.name not in _SEEDS_DIFFER_IN
            ]
            _require_equal(first_dir, first, run_dir, config, names)
        groups.append(Group(first, tuple(seeds.values()), tuple(seeds)))
    _require_same_tasks(groups)
    return groups


def with_baselines(groups: Sequence[Group], beside: Path) -> list[Group]:
    """Add the baselines that are not among the groups.

    Args:
        groups: of one experiment at least.
        beside: a run folder; baselines that are trained lie beside it, as PRESET-AGENT (without
            a preset, as ENVIRONMENT-AGENT). One that
            trains nothing needs no folder.

    Raises:
        ConfigError: a baseline is missing, or was trained on other tasks.

    """
    first = groups[0]
    present = {group.config.agent for group in groups}
    added, missing = [], []
    for name in baseline_names():
        folder = beside.parent / f"{first.config.name}-{name}"
        if name in present:
            continue
        if folder.is_dir():
            added += group_runs([folder])
        elif load_agent(name).trained:
            missing.append(f"`metarl train {first.config.start} --agent {name} --run-dir {folder}`")
        else:
            config = dataclasses.replace(first.config, agent=name, agent_settings={})
            added.append(Group(config, (None,) * len(first.seeds), first.seeds))
    if missing:
        raise ConfigError(f"baselines are not trained yet; first: {' and '.join(missing)}")
    _require_same_tasks([*groups, *added])
    return [*groups, *added]


def _require_same_tasks(groups: Sequence[Group]) -> None:
    for group in groups[1:]:
        first_dir, run_dir = groups[0].run_dirs[0], group.run_dirs[0]
        _require_equal(first_dir, groups[0].config, run_dir, group.config, _SAME_TASKS)


def _require_equal(
    first_dir: Path | None,
    first: Config,
    run_dir: Path | None,
    config: Config,
    names: Sequence[str],
) -> None:
    for name in names:
        before, now = getattr(first, name), getattr(config, name)
        if before != now:
            raise ConfigError(
                f"{first_dir} and {run_dir} cannot be evaluated together: {name} is {before!r} in "
                f"one and {now!r} in the other"
            )
