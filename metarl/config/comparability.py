"""What a run's agent is compared with, and in which unit."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metarl.config.base import ExperimentConfig
from metarl.config.plugins import AgentSpec, agent_names, load_agent, load_preset, settings_of
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True)
class Baseline:
    """An agent that others are compared with."""

    agent: str
    trained: bool
    """Whether there is anything to train."""
    changes: Mapping[str, Any]
    """Fields of the configuration of one that is not trained."""


def baselines_of(config: ExperimentConfig) -> list[Baseline]:
    """List what `metarl evaluate --baselines` compares a run with.

    On an environment those that fit it, and that count adaptation in the unit of the run's agent:
    a table whose rows differ in protocol would compare nothing.
    """
    if isinstance(config, SupervisedConfig):
        # As it was initialised, and adapted by a number: there is no learned α.
        found = [Baseline("random", False, {"learn_step_sizes": False})]
        told = settings_of(config).numbers_told
        names = ["pretrained", "oracle"] if told else ["pretrained"]
        return [*found, *(Baseline(name, True, {}) for name in names)]
    assert isinstance(config, Config)
    unit = unit_of(config.agent)
    found = []
    for origin in agent_names():
        with contextlib.suppress(ConfigError):  # of a plug-in nobody asked for
            spec = load_agent(origin.name)
            if spec.baseline and spec.unit == unit and not spec.reason_against(config):
                found.append(Baseline(origin.name, spec.trained, {"agent_settings": {}}))
    return found


def unit_of(agent: str) -> str:
    """Say what an agent counts adaptation in; a gradient step, where it is not installed."""
    try:
        return load_agent(agent).unit
    except ConfigError:  # of a package that has gone
        return AgentSpec.unit


def family_of(config: ExperimentConfig) -> str:
    """Say which family the agent of a configuration is of; the agents of problems are MAML's."""
    if isinstance(config, SupervisedConfig):
        return AgentSpec.family
    try:
        return load_agent(config.agent).family
    except ConfigError:  # of a package that has gone
        return "unknown"


def published_returns(config: Config) -> dict[str, list[float]]:
    """Give the source's numbers, as the installed preset has them, if the tasks are still its."""
    try:
        preset = load_preset(config.preset)
    except ConfigError:  # a preset file of the user's, or of a package that has gone
        return config.published
    same = ("env_id", "env_kwargs", "horizon", "train_range", "action_scale")
    alike = isinstance(preset, Config) and all(
        getattr(preset, name) == getattr(config, name) for name in same
    )
    return preset.published if alike else {}
