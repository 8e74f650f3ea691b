"""What installed packages bring: presets, agents, environments, problems, trained policies."""

import contextlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.config.comparability import family_of, unit_of
from metarl.config.plugins import (
    agent_names,
    environment_ids,
    load_agent,
    load_preset,
    load_problem,
    preset_names,
    problem_names,
    trained_policies,
)
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig, read_either
from metarl.foundation.errors import ConfigError
from metarl.foundation.wording import counted
from metarl.tasks.distribution import make_environment, task_space

CANNOT_BE_MADE = "cannot be made"
"""Stands where the tasks of an environment would, before the reason."""


@dataclass(frozen=True)
class Entry:
    """Something that a package brings."""

    name: str
    package: str
    description: str = ""
    """What it is, in a line; of what is broken, why it cannot be used."""
    source: str = ""
    """Where it comes from, such as a paper."""
    tasks: str = ""
    """Its tasks, in the notation of mathematics."""
    protocol: str = ""
    """Of a preset: how much is collected, and how it adapts."""
    preset: str = ""
    """Of a preset or a trained policy: the preset that it is, or was trained from."""
    environment: str = ""
    """Of a preset or a trained policy: its environment's id, or its problem's name."""
    agent: str = ""
    """Of a preset or a trained policy: who learns."""
    family: str = ""
    """Of a preset, a trained policy or an agent: the agent's family, such as gradient or memory."""


Wanted = Callable[[Entry], bool]
"""Says whether an entry is wanted, by all of it but tasks and protocol."""


def everything(entry: Entry) -> bool:
    """Want every entry."""
    return True


def presets(wanted: Wanted = everything) -> list[Entry]:
    """List the presets of all installed packages."""
    found = []
    for origin in preset_names():
        try:
            config = load_preset(origin.name)
        except ConfigError as error:
            entry = Entry(origin.name, origin.package, f"cannot be read: {error}")
            found += [entry] if wanted(entry) else []
            continue
        entry = _of_config(origin.name, origin.package, config)
        if wanted(entry):
            # Only now: it takes the environment, which takes its time to make.
            describe = _of_problem if isinstance(config, SupervisedConfig) else _of_environment
            tasks, protocol = describe(config)
            found.append(replace(entry, tasks=tasks, protocol=protocol))
    return found


def agents(wanted: Wanted = everything) -> list[Entry]:
    """List the agents of all installed packages."""
    found = []
    for origin in agent_names():
        try:
            spec = load_agent(origin.name)
        except ConfigError as error:
            found.append(Entry(origin.name, origin.package, str(error)))
        else:
            found.append(
                Entry(
                    origin.name, origin.package, spec.description, spec.source, family=spec.family
                )
            )
    return [entry for entry in found if wanted(entry)]


def environments(wanted: Wanted = everything) -> list[Entry]:
    """List the task-distributed environments of all installed packages."""
    entries = [Entry(origin.name, origin.package) for origin in environment_ids()]
    return [
        replace(entry, tasks=describe_tasks(entry.name, {})) for entry in entries if wanted(entry)
    ]


def problems(wanted: Wanted = everything) -> list[Entry]:
    """List the supervised problems of all installed packages."""
    found = []
    for origin in problem_names():
        try:
            text = (load_problem(origin.name).__doc__ or "").partition("\n")[0]
        except ConfigError as error:
            text = str(error)
        found.append(Entry(origin.name, origin.package, text))
    return [entry for entry in found if wanted(entry)]


def trained(wanted: Wanted = everything) -> list[Entry]:
    """List the policies that come trained with installed packages; `metarl.load` takes a name."""
    found = []
    for name, (package, folder) in sorted(trained_policies().items()):
        try:
            table = json.loads(folder.joinpath("config.json").read_text(encoding="utf-8"))
            entry = _of_config(name, package, read_either(table, f"trained policy {name!r}"))
        except (ConfigError, OSError, ValueError) as error:
            entry = Entry(name, package, f"cannot be read: {error}")
        found.append(entry)
    return [entry for entry in found if wanted(entry)]


KINDS = {
    "presets": presets,
    "trained": trained,
    "environments": environments,
    "problems": problems,
    "agents": agents,
}
"""What there is to list, by the names of the command line."""


def narrowed(family: str = "", search: str = "") -> Wanted:
    """Give what wants the entries of a family that hold a text.

    Args:
        family: of the agent; empty: any, and what has none.
        search: looked for in names, descriptions, agents and environments, in upper or lower case.

    """

    def wanted(entry: Entry) -> bool:
        text = f"{entry.name}\n{entry.description}\n{entry.agent}\n{entry.environment}"
        return family in ("", entry.family) and search.casefold() in text.casefold()

    return wanted


def families() -> list[str]:
    """List the families of all installed agents."""
    return sorted({entry.family for entry in agents() if entry.family})


def _of_config(name: str, package: str, config: Config | SupervisedConfig) -> Entry:
    return Entry(
        name,
        package,
        config.description,
        config.source,
        preset=config.preset,
        environment=config.env_id if isinstance(config, Config) else config.problem,
        agent=config.agent,
        family=family_of(config),
    )


def _of_environment(config: Any) -> tuple[str, str]:
    assert isinstance(config, Config)
    protocol = f"horizon {config.horizon}, {config.tasks_per_batch} × {config.episodes_per_task} "
    if unit_of(config.agent) == "episode":
        episodes = counted(config.adaptation_steps + 1, "episode")
        protocol += f"trials of {episodes}, {counted(config.iterations, 'iteration')}"
    else:
        protocol += f"episodes, {_steps(config)}"
    return preset_tasks(config), protocol


def _of_problem(config: Any) -> tuple[str, str]:
    assert isinstance(config, SupervisedConfig)
    settings = ", ".join(f"{name} {value}" for name, value in config.problem_settings.items())
    tasks = f"problem {config.problem}" + (f"\n{settings}" if settings else "")
    met = f"{counted(config.tasks_per_batch, 'task')}, {counted(config.shots, 'shot')}"
    return tasks, f"{met}, {_steps(config)}"


def _steps(config: Any) -> str:
    return (
        f"{counted(config.adaptation_steps, 'step')} of α {config.inner_learning_rate:g}, "
        f"{counted(config.iterations, 'iteration')}"
    )


def preset_tasks(config: Config) -> str:
    """Describe the tasks of a preset: of training, and of the ranges to be tested on."""
    whole = describe_tasks(config.env_id, config.env_kwargs)
    if not (config.train_range or config.test_ranges):
        return whole
    training = _range(config.train_range) if config.train_range else whole
    if "set" in config.train_range:
        training = f"{whole}\n{training}"
    tests = [f"test {name}: {_range(ends)}" for name, ends in config.test_ranges.items()]
    return "\n".join([training, *tests])


def _range(task_range: Mapping[str, Any]) -> str:
    if "set" in task_range:
        return f"set {task_range['set']}"
    low, high = (np.asarray(task_range[end], dtype=np.float64) for end in ("low", "high"))
    return describe_space(gym.spaces.Box(low, high, dtype=np.float64))


def describe_tasks(env_id: str, env_kwargs: Mapping[str, Any]) -> str:
    """Describe the tasks of an environment; one that cannot be made spoils no listing."""
    try:
        # Some packages print advice as they are imported.
        with contextlib.redirect_stderr(io.StringIO()):
            environment = make_environment(env_id, env_kwargs)
    except Exception as error:  # a stranger's plug-in may raise anything
        return f"{CANNOT_BE_MADE}: {error}"
    try:
        own = "\nits own distribution" if environment.has_wrapper_attr("sample_task") else ""
        return describe_space(task_space(environment)) + own
    finally:
        environment.close()


def describe_space(space: gym.Space[Any]) -> str:
    """Give a space of tasks in the notation of mathematics, as [0, 3] or {0 … 3}."""
    if isinstance(space, gym.spaces.Dict):
        return "\n".join(f"{key}: {describe_space(part)}" for key, part in space.items())
    if isinstance(space, gym.spaces.Tuple):
        return " × ".join(describe_space(part) for part in space)
    if isinstance(space, gym.spaces.Discrete):
        first, last = int(space.start), int(space.start) + int(space.n) - 1
        return f"{{{first}, {last}}}" if last == first + 1 else f"{{{first} … {last}}}"
    if not isinstance(space, gym.spaces.Box):
        return str(space)
    low, high = space.low.ravel(), space.high.ravel()
    if len(np.unique(low)) == len(np.unique(high)) == 1:
        power = " × ".join(map(str, space.shape)) if math.prod(space.shape) > 1 else ""
        shown = f"[{low[0]:.4g}, {high[0]:.4g}]"
        return f"{shown}^{power}" if power.isdigit() else f"{shown}^({power})" if power else shown
    return " × ".join(f"[{a:.4g}, {b:.4g}]" for a, b in zip(low, high, strict=True))


def by_package(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Give the entries of each package, the packages in alphabetical order."""
    packages = sorted({entry.package for entry in entries})
    return {name: [it for it in entries if it.package == name] for name in packages}
