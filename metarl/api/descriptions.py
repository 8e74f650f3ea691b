"""What there is to know of a preset, an agent, an environment or a problem, by its name. No torch.

`metarl show` prints it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from metarl.api.catalogue import Entry, describe_tasks, preset_tasks, trained
from metarl.api.environment_pages import facts_of_environment
from metarl.api.protocols import env_steps_per_iteration, evaluation_of, training_of
from metarl.api.settings_in_words import Setting, settings_of, settings_of_class
from metarl.config.base import ExperimentConfig
from metarl.config.comparability import family_of
from metarl.config.plugins import (
    Origin,
    agent_names,
    environment_ids,
    load_agent,
    load_preset,
    load_problem,
    preset_names,
    problem_names,
    readable_presets,
)
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import registered

Facts = dict[str, str | list[str]]


@dataclass(frozen=True)
class Description:
    """What there is to know of one thing."""

    kind: str
    """preset, trained policy, agent, environment or problem."""
    name: str
    package: str
    """Empty: a file of the user's, or a module that is not installed as a plug-in."""
    description: str
    source: str
    facts: Facts
    """In words, by what they are about; names in lists."""
    settings: tuple[Setting, ...] = ()
    env_steps_per_iteration: int | None = None
    """Of a preset on an environment: the most that an iteration of training takes."""
    env_steps: int | None = None
    """Likewise for the whole run."""
    published: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Of a preset: the source's numbers, as its file has them."""
    commands: tuple[str, ...] = ()
    """What to do with it on the command line."""


def describe(name: str) -> Description:
    """Describe a preset, trained policy, agent, environment or problem; a preset goes first.

    Args:
        name: as `metarl list` gives it; or the path of a preset's TOML file, the last part of an
            environment's id, "module:ID" of an environment, or "module:NAME" of an `AgentSpec`.

    Raises:
        ConfigError: there is no such thing, or it is broken.

    """
    if name.endswith(".toml"):
        return _of_preset(Path(name).stem, "", load_preset(name), name)
    if origin := _named(name, preset_names()):
        return _of_preset(name, origin.package, load_preset(name), name)
    policies = {entry.name: entry for entry in trained()}
    if name in policies:
        return _of_trained(policies[name])
    if origin := _named(name, agent_names()):
        return _of_agent(name, origin.package)
    if origin := _named(name, problem_names()):
        return _of_problem(name, origin.package)
    known = environment_ids()
    if origin := _named(name, known) or _named(name, known, "/"):
        return _of_environment(origin.name, origin.package)
    if ":" in name:  # of a module that is no plug-in
        return _of_module(name)
    names = [it.name for it in (*preset_names(), *agent_names(), *problem_names(), *known)]
    names += policies
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"nothing is named {name!r}; {hint}`metarl list` shows all names")


def _of_module(name: str) -> Description:
    """Describe "module:ID" of an environment, or "module:NAME" of an `AgentSpec`."""
    try:
        registered(name)
    except ConfigError:
        if "/" in name:  # which no agent's has
            raise
        return _of_agent(name, "")
    return _of_environment(name, "")


def _named(name: str, origins: Sequence[Origin], before: str = "") -> Origin | None:
    """Find what has a name, or with `before` what ends in that and the name."""
    for origin in origins:
        if origin.name == name or (before and origin.name.endswith(before + name)):
            return origin
    return None


def _of_preset(name: str, package: str, config: ExperimentConfig, start: str) -> Description:
    facts: Facts = {}
    if isinstance(config, Config):
        facts["environment"] = config.env_id
        facts["tasks"] = preset_tasks(config).replace("\n", "; ")
    else:
        assert isinstance(config, SupervisedConfig)
        facts["problem"] = config.problem
    facts["agent"] = _agent_in_words(config)
    facts["training"] = training_of(config)
    facts["evaluation"] = evaluation_of(config)
    per_iteration = env_steps_per_iteration(config)
    whole = per_iteration and per_iteration * config.iterations
    if per_iteration and whole:
        facts["env steps"] = (
            f"at most {per_iteration:,} in an iteration, {whole:,} in the whole run"
        )
    facts |= _beside(name, config)
    policies = [entry.name for entry in trained() if entry.preset == name]
    if policies:
        facts["comes trained as"] = policies
    commands = [f"metarl train {start}", f"metarl evaluate runs/{name}"]
    if isinstance(config, Config):
        commands.append(f"metarl render runs/{name}")
    commands.append(f"metarl report runs/{name}")
    commands += [f"metarl evaluate {policy}" for policy in policies]
    return Description(
        "preset",
        name,
        package,
        config.description,
        config.source,
        facts,
        settings_of(config),
        per_iteration,
        whole,
        config.published,
        tuple(commands),
    )


def _agent_in_words(config: ExperimentConfig) -> str:
    family = family_of(config)
    if isinstance(config, SupervisedConfig):
        return f"{config.agent} ({family} family)"
    try:
        return f"{config.agent} ({family} family): {load_agent(config.agent).description}"
    except ConfigError as error:
        return str(error)


def _beside(name: str, config: ExperimentConfig) -> Facts:
    """Give the other presets on the same tasks, and those on the same environment or problem."""
    alike, near = [], []
    for other_name, other in readable_presets().items():
        if other_name == name or type(other) is not type(config):
            continue
        shown = f"{other_name} ({other.agent})"
        if all(getattr(other, field) == getattr(config, field) for field in config.same_tasks):
            alike.append(shown)
        elif getattr(other, config.same_tasks[0]) == getattr(config, config.same_tasks[0]):
            near.append(shown)
    facts: Facts = {}
    if alike:
        facts["same tasks"] = alike
    if near:
        facts[f"same {_subject(config)}"] = near
    return facts


def _subject(config: ExperimentConfig) -> str:
    return "environment" if isinstance(config, Config) else "problem"


def _of_trained(entry: Entry) -> Description:
    facts: Facts = {"preset": entry.preset, "environment": entry.environment, "agent": entry.agent}
    verbs = ("evaluate", "render", "report")
    return Description(
        "trained policy",
        entry.name,
        entry.package,
        entry.description,
        entry.source,
        facts,
        commands=tuple(f"metarl {verb} {entry.name}" for verb in verbs),
    )


def _of_agent(name: str, package: str) -> Description:
    spec = load_agent(name)
    facts: Facts = {"family": spec.family, "unit of adaptation": spec.unit}
    if spec.environments:
        facts["only for"] = list(spec.environments)
    if spec.fixes:
        facts["always sets"] = _as_flags(spec.fixes)
    if spec.defaults:
        facts["sets unless the preset does"] = _as_flags(spec.defaults)
    if not spec.trained:
        facts["training"] = "none: there is nothing to train"
    if spec.baseline:
        facts["baseline"] = "`metarl evaluate --baselines` compares with it where it fits"
    if users := _presets_with("agent", name):
        facts["presets"] = users
    start = users[0] if users else "PRESET"
    commands = [f"metarl train {start}" if users else f"metarl train {start} --agent {name}"]
    return Description(
        "agent",
        name,
        package,
        spec.description,
        spec.source,
        facts,
        settings_of_class(spec.settings),
        commands=tuple([*commands, f"metarl check --agent {name}"] if spec.trained else []),
    )


def _as_flags(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _presets_with(field: str, value: str) -> list[str]:
    """List the presets that have a value."""
    return [
        name for name, config in readable_presets().items() if getattr(config, field, None) == value
    ]


def _of_problem(name: str, package: str) -> Description:
    kind = load_problem(name)
    users = _presets_with("problem", name)
    text = (kind.__doc__ or "").partition("\n")[0]
    return Description(
        "problem",
        name,
        package,
        text,
        "",
        {"presets": users} if users else {},
        settings_of_class(kind),
        commands=tuple(f"metarl train {user}" for user in users[:1]),
    )


def _of_environment(name: str, package: str) -> Description:
    text, facts = facts_of_environment(name)
    users = _presets_with("env_id", name)
    found: Facts = {"tasks drawn from": describe_tasks(name, {}).replace("\n", "; "), **facts}
    if users:
        found["presets"] = users
    train = f"metarl train {users[0]}" if users else f"metarl train --env-id {name}"
    source = found.pop("source", "")
    assert isinstance(source, str)
    return Description(
        "environment",
        name,
        package,
        text,
        source,
        found,
        commands=(train, f"metarl check {name}"),
    )
