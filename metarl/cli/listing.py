"""List presets, trained policies, environments, problems and agents of each package.

A preset's protocol: its horizon in time steps, tasks × episodes of a batch, inner steps and their
step size α, and meta-iterations.

Examples:
  metarl list
  metarl list --sources
"""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl.cli.parsing import parse
from metarl.config.plugins import (
    Origin,
    agent_names,
    environment_ids,
    load_agent,
    load_any_preset,
    load_problem,
    preset_names,
    problem_names,
    trained_names,
)
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import make_environment, task_space

WIDTH_WITHOUT_TERMINAL = 120


@dataclass(frozen=True)
class ListArguments:
    """The arguments of `metarl list`."""

    sources: bool = False
    """Say also where each preset's task, protocol and hyperparameters come from."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ListArguments, argv, prog="metarl list", description=__doc__ or "")
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    for package, names in _by_package(preset_names()):
        presets = _table(f"presets of {package}", "preset", "what is learned", "tasks", "protocol")
        for name in names:
            try:
                config = load_any_preset(name)
            except ConfigError as error:
                presets.add_row(name, escape(f"cannot be read: {error}"))
                continue
            if isinstance(config, SupervisedConfig):
                described = _described(config.description, config.source * arguments.sources)
                shown = escape(_problem_tasks(config)), _supervised_protocol(config)
                presets.add_row(name, described, *shown)
                continue
            presets.add_row(
                name,
                _described(config.description, config.source if arguments.sources else ""),
                escape(_preset_tasks(config)),
                _protocol(config),
            )
        console.print(presets)
    for package, names in _by_package(trained_names()):
        policies = _table(f"trained policies of {package}", "for evaluate, render, report, export")
        for name in names:
            policies.add_row(name)
        console.print(policies)
    for package, names in _by_package(environment_ids()):
        environments = _table(f"environments of {package}", "environment", "tasks")
        for name in names:
            environments.add_row(name, escape(_tasks(name, {})))
        console.print(environments)
    for package, names in _by_package(problem_names()):
        problems = _table(f"problems of {package}", "problem", "tasks")
        for name in names:
            try:
                text = (load_problem(name).__doc__ or "").partition("\n")[0]
            except ConfigError as error:
                text = str(error)
            problems.add_row(name, escape(text))
        console.print(problems)
    for package, names in _by_package(agent_names()):
        agents = _table(f"agents of {package}", "agent", "what it does")
        for name in names:
            try:
                spec = load_agent(name)
                agents.add_row(name, _described(spec.description, spec.source))
            except ConfigError as error:
                agents.add_row(name, escape(str(error)))
        console.print(agents)
    return 0


def _by_package(origins: Sequence[Origin]) -> list[tuple[str, list[str]]]:
    packages = sorted({origin.package for origin in origins})
    return [(name, [it.name for it in origins if it.package == name]) for name in packages]


def _protocol(config: Config) -> str:
    steps = "step" if config.adaptation_steps == 1 else "steps"
    return (
        f"horizon {config.horizon}, {config.tasks_per_batch} × {config.episodes_per_task} "
        f"episodes, {config.adaptation_steps} {steps} of α {config.inner_learning_rate:g}, "
        f"{config.iterations} iterations"
    )


def _problem_tasks(config: SupervisedConfig) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in config.problem_settings.items())
    return f"problem {config.problem}" + (f"\n{settings}" if settings else "")


def _supervised_protocol(config: SupervisedConfig) -> str:
    steps = "step" if config.adaptation_steps == 1 else "steps"
    return (
        f"{config.tasks_per_batch} tasks, {config.shots} shots, {config.adaptation_steps} {steps} "
        f"of α {config.inner_learning_rate:g}, {config.iterations} iterations"
    )


def _described(description: str, source: str) -> str:
    return escape(description) + (f"\n[dim]{escape(source)}[/]" if source else "")


def _preset_tasks(config: Config) -> str:
    whole = _tasks(config.env_id, config.env_kwargs)
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


def _tasks(env_id: str, env_kwargs: Mapping[str, Any]) -> str:
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


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    return table
