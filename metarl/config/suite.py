"""A suite: agents × presets × seeds, and a budget, as a TOML file names them.

    [[comparison]]
    name = "navigation-2d"
    preset = "navigation-2d"
    agents = ["maml-trpo", "random", {agent = "rl2", fields = {adaptation_steps = 9}}]
    seeds = [1, 2, 3]
    env_steps = 3_200_000

docs/benchmark.md explains every key.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from metarl.config.fields import read_fields, require
from metarl.config.plugins import load_agent, load_preset
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError

ALL = "all"
"""What the results call all comparisons together."""
_NAME = r"[\w-][\w.-]*"
_NAME_REASON = "must consist of letters, digits, dots, - and _"
_RESERVED = ("agent", "preset", "seed", "iterations", "env_steps")
"""Fields of a run that the suite sets."""


@dataclass(frozen=True, kw_only=True)
class SuiteAgent:
    """One agent of a comparison."""

    name: str = ""
    """What the results call it; empty: the agent's name."""
    agent: str = ""
    """Who learns; empty: as the preset says."""
    preset: str = ""
    """On the same tasks as the comparison's, with a protocol of its own; empty: the comparison's.
    """
    fields: dict[str, Any] = field(default_factory=dict)
    """Fields of the preset and settings of the agent that differ, by name."""
    env_steps: int | None = None
    """Its own budget, where the comparison's is too dear for it; None: the comparison's."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How agents are evaluated; None: as the comparison's preset says."""

    tasks: int | None = None
    """Held-out tasks."""
    adaptation_steps: int | None = None
    """Units of adaptation."""
    episodes_per_task: int | None = None
    """Episodes per task and unit."""
    query_episodes: int | None = None
    """Episodes per task after the last unit; 0: as many."""
    task_range: str = "training"
    """The range of the preset that the tasks are drawn from."""
    seed: int = 1
    """Of the held-out tasks and their episodes."""

    def __post_init__(self) -> None:
        for name in ("tasks", "episodes_per_task"):
            require(self, name, getattr(self, name) != 0, "must be at least 1")
        for name in ("tasks", "adaptation_steps", "episodes_per_task", "query_episodes", "seed"):
            require(self, name, (getattr(self, name) or 0) >= 0, "must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What scores 0 and 1: a return, or the name of an agent, whose mean return it then is."""

    zero: Any = None
    """None: the lowest mean return of an agent."""
    one: Any = None
    """None: the highest."""

    def __post_init__(self) -> None:
        for name in ("zero", "one"):
            end = getattr(self, name)
            number = isinstance(end, int | float) and not isinstance(end, bool)
            good = end is None or isinstance(end, str) or (number and math.isfinite(end))
            require(self, name, good, "must be a return or the name of an agent")
        numbers = not isinstance(self.zero, str | None) and not isinstance(self.one, str | None)
        if numbers and self.zero >= self.one:
            raise ConfigError(f"zero = {self.zero} must lie below one = {self.one}")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Agents that learn the same tasks, with the same budget."""

    name: str
    """What the results call it."""
    preset: str
    """The task, and the protocol of all agents that name no preset of their own."""
    agents: tuple[SuiteAgent, ...]
    seeds: tuple[int, ...]
    """Of training; a run for each."""
    env_steps: int
    """Environment steps that each run trains for; the iteration that reaches them is the last."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Fields of the presets that differ for all agents, by name."""
    experience: int | None = None
    """The most environment steps in a held-out task that an agent may use to adapt before the
    return that counts; None: each adapts as long as its protocol says."""
    evaluation: HeldOut = HeldOut()
    """How the agents are evaluated."""
    scale: Scale = Scale()
    """What scores 0 and 1."""
    reach: float | None = None
    """A return after adaptation in training: the results say after how many seconds it is reached.
    """

    def __post_init__(self) -> None:
        require(self, "name", bool(re.fullmatch(_NAME, self.name)), _NAME_REASON)
        require(self, "name", self.name != ALL, "is what the results call all of them together")
        for name in ("agents", "seeds"):
            require(self, name, bool(getattr(self, name)), "must not be empty")
        seeds_differ = len(set(self.seeds)) == len(self.seeds) and min(self.seeds) >= 0
        require(self, "seeds", seeds_differ, "must be different numbers, 0 or more")
        require(self, "env_steps", self.env_steps >= 1, "must be at least 1")
        experience_is_good = self.experience is None or self.experience >= 0
        require(self, "experience", experience_is_good, "must be at least 0")
        reach_is_good = self.reach is None or math.isfinite(self.reach)
        require(self, "reach", reach_is_good, "must be a return: a finite number")


@dataclass(frozen=True)
class Suite:
    """All comparisons of a file."""

    file: Path
    comparisons: tuple[Comparison, ...]


def read_suite(file: Path) -> Suite:
    """Read a suite and look up what it names.

    Raises:
        ConfigError: the file cannot be read; a key is unknown or missing, a value impossible, a
            name taken twice; an agent or a preset does not exist, and the nearest is named.

    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the suite {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    listed = table.pop("comparison", [])
    if table:
        raise ConfigError(f"{file}: unknown key {next(iter(table))!r}; a suite has [[comparison]]s")
    if not isinstance(listed, list) or not listed or not all(isinstance(it, dict) for it in listed):
        raise ConfigError(f"{file} names no [[comparison]]; see docs/benchmark.md")
    comparisons = tuple(_comparison(file, number, it) for number, it in enumerate(listed, 1))
    _require_different([it.name for it in comparisons], f"{file}: two comparisons")
    return Suite(file, comparisons)


def _comparison(file: Path, number: int, table: Mapping[str, Any]) -> Comparison:
    origin = f"{file}: comparison {table.get('name', number)!r}"
    inner: dict[str, Any] = {}
    for key, kind in (("evaluation", HeldOut), ("scale", Scale)):
        if key in table:
            inner[key] = _read(kind, table[key], f"{origin}: {key}")
    if isinstance(table.get("agents"), list):
        inner["agents"] = [
            _read(SuiteAgent, {"agent": it} if isinstance(it, str) else it, f"{origin}: agents")
            for it in table["agents"]
        ]
    read: Comparison = read_fields(Comparison, {**table, **inner}, origin)
    try:
        return _looked_up(file, read)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def _read(kind: type[Any], table: Any, origin: str) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{origin}: {table!r} must be a table")
    return read_fields(kind, table, origin)


def _looked_up(file: Path, comparison: Comparison) -> Comparison:
    """Give the comparison with what its agents leave open, and everything that it names checked."""
    _require_free(comparison.fields)
    comparison = replace(comparison, preset=_preset(file, comparison.preset))
    agents = tuple(_agent(file, comparison, it) for it in comparison.agents)
    names = [agent.name for agent in agents]
    _require_different(names, "two agents")
    for end in (comparison.scale.zero, comparison.scale.one):
        if isinstance(end, str) and end not in names:
            raise ConfigError(f"scale: there is no agent {end!r}; {_nearest(end, names)}")
    return replace(comparison, agents=agents)


def _agent(file: Path, comparison: Comparison, read: SuiteAgent) -> SuiteAgent:
    _require_free(read.fields)
    preset = _preset(file, read.preset) if read.preset else comparison.preset
    agent = read.agent or load_preset(preset).agent
    load_agent(agent)
    name = read.name or agent.replace(":", "-")
    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"agents: name = {name!r} {_NAME_REASON}")
    if read.env_steps is not None and not 1 <= read.env_steps <= comparison.env_steps:
        raise ConfigError(
            f"agents: env_steps = {read.env_steps} of {name!r} must lie between 1 and the "
            f"comparison's {comparison.env_steps}"
        )
    return replace(read, name=name, agent=agent, preset=preset)


def _preset(file: Path, name: str) -> str:
    """Give a preset's name, or its file's path, which counts from the suite's own folder."""
    found = str(file.parent / name) if name.endswith(".toml") else name
    if not isinstance(load_preset(found), Config):
        raise ConfigError(
            f"preset {name!r} is of a supervised problem; a suite compares agents in environments"
        )
    return found


def _require_free(fields: Mapping[str, Any]) -> None:
    for name in _RESERVED:
        if name in fields:
            raise ConfigError(f"fields: {name} is not set here, but by the suite's own keys")


def _require_different(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{what} are called {name!r}; give one of them another name")


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
