"""What installed packages bring: presets, agents, environments, problems, trained policies."""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.config.plugins import (
    agent_names,
    environment_ids,
    load_agent,
    load_preset,
    load_problem,
    preset_names,
    problem_names,
    trained_names,
    unit_of,
)
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import make_environment, task_space


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


def presets() -> list[Entry]:
    """List the presets of all installed packages."""
    found = []
    for origin in preset_names():
        try:
            config = load_preset(origin.name)
        except ConfigError as error:
            found.append(Entry(origin.name, origin.package, f"cannot be read: {error}"))
            continue
        describe = _of_problem if isinstance(config, SupervisedConfig) else _of_environment
        tasks, protocol = describe(config)
        entry = Entry(
            origin.name, origin.package, config.description, config.source, tasks, protocol
        )
        found.append(entry)
    return found


def agents() -> list[Entry]:
    """List the agents of all installed packages."""
    found = []
    for origin in agent_names():
        try:
            spec = load_agent(origin.name)
            found.append(Entry(origin.name, origin.package, spec.description, spec.source))
        except ConfigError as error:
            found.append(Entry(origin.name, origin.package, str(error)))
    return found


def environments() -> list[Entry]:
    """List the task-distributed environments of all installed packages."""
    return [
        Entry(origin.name, origin.package, tasks=describe_tasks(origin.name, {}))
        for origin in environment_ids()
    ]


def problems() -> list[Entry]:
    """List the supervised problems of all installed packages."""
    found = []
    for origin in problem_names():
        try:
            text = (load_problem(origin.name).__doc__ or "").partition("\n")[0]
        except ConfigError as error:
            text = str(error)
        found.append(Entry(origin.name, origin.package, text))
    return found


def trained() -> list[Entry]:
    """List the policies that come trained with installed packages; `metarl.load` takes a name."""
    return [Entry(origin.name, origin.package) for origin in trained_names()]


def _of_environment(config: Any) -> tuple[str, str]:
    assert isinstance(config, Config)
    protocol = f"horizon {config.horizon}, {config.tasks_per_batch} × {config.episodes_per_task} "
    if unit_of(config.agent) == "episode":
        count = config.adaptation_steps + 1
        episodes = "1 episode" if count == 1 else f"{count} episodes"
        protocol += f"trials of {episodes}, {config.iterations} iterations"
    else:
        protocol += f"episodes, {_steps(config)}"
    return preset_tasks(config), protocol


def _of_problem(config: Any) -> tuple[str, str]:
    assert isinstance(config, SupervisedConfig)
    settings = ", ".join(f"{name} {value}" for name, value in config.problem_settings.items())
    tasks = f"problem {config.problem}" + (f"\n{settings}" if settings else "")
    return tasks, f"{config.tasks_per_batch} tasks, {config.shots} shots, {_steps(config)}"


def _steps(config: Any) -> str:
    steps = "step" if config.adaptation_steps == 1 else "steps"
    return (
        f"{config.adaptation_steps} {steps} of α {config.inner_learning_rate:g}, "
        f"{config.iterations} iterations"
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
        return f"cannot be made: {error}"
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
