"""From a configuration to an experiment."""

from dataclasses import replace
from typing import overload

import torch

from metarl.agent.protocol import TrainingState
from metarl.config.base import ExperimentConfig
from metarl.config.plugins import AgentSpec
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.environment_experiment import (
    EnvironmentExperiment,
    build_environment_experiment,
)
from metarl.experiments.interface import Experiment
from metarl.experiments.problem_experiment import ProblemExperiment, build_problem_experiment
from metarl.foundation.errors import ConfigError


@overload
def build_experiment(config: Config, spec: AgentSpec | None = None) -> EnvironmentExperiment: ...


@overload
def build_experiment(config: SupervisedConfig) -> ProblemExperiment: ...


@overload
def build_experiment(config: ExperimentConfig) -> Experiment: ...


def build_experiment(config: ExperimentConfig, spec: AgentSpec | None = None) -> Experiment:
    """Build what a configuration is of.

    Args:
        config: the experiment's.
        spec: of an agent that is not installed; None: the one that `config.agent` names.

    Raises:
        ConfigError: the configuration names something that does not exist or does not fit.

    """
    try:
        torch.zeros(1, device=config.device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device = {config.device!r} is not to be had here: {reason}") from error
    if isinstance(config, SupervisedConfig):
        return build_problem_experiment(config)
    assert isinstance(config, Config)
    return build_environment_experiment(config, spec)


def untrained_state(config: ExperimentConfig, seed: int) -> TrainingState:
    """Give the state before the first iteration of a run of that seed, as it was initialised."""
    config = replace(config, seed=seed)
    if isinstance(config, Config):
        config = replace(config, initial_policy="")
    return build_experiment(config).first_state()
