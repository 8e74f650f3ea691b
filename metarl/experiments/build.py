"""From a configuration to an experiment."""

from dataclasses import replace
from typing import overload

import torch

from metarl.agent.gradient import policy_parameters
from metarl.agent.protocol import TrainingState
from metarl.config.base import ExperimentConfig
from metarl.config.fields import read_fields
from metarl.config.plugins import AgentSpec, load_agent, settings_of
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.environment_experiment import EnvironmentExperiment
from metarl.experiments.interface import Experiment
from metarl.experiments.problem_experiment import ProblemExperiment
from metarl.experiments.problem_learner import Learner
from metarl.foundation.errors import ConfigError
from metarl.foundation.messages import say_once
from metarl.learning.adaptation import Parameters
from metarl.learning.networks import network_of
from metarl.learning.policies import PolicySpec
from metarl.tasks.observations import observation_layout
from metarl.tasks.physics import require_physics
from metarl.tasks.policy_environment import observed_environment


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
        return _problem_experiment(config)
    assert isinstance(config, Config)
    return _environment_experiment(config, spec)


def _environment_experiment(config: Config, spec: AgentSpec | None) -> EnvironmentExperiment:
    """Build environment, policy and agent."""
    spec = spec or load_agent(config.agent)
    config = spec.as_evaluated(config)
    settings = read_fields(spec.settings, config.agent_settings, f"agent {config.agent}")
    require_physics(config)
    environment = observed_environment(config)
    layout = observation_layout(environment)
    if layout.left_out:
        say_once(
            f"metarl: the policy does not see all observations of {config.env_id}; no fixed list "
            f"of numbers, and left out: {', '.join(layout.left_out)}"
        )
    plain = PolicySpec(
        environment.observation_space,
        environment.action_space,
        config.hidden_sizes,
        config.activation,
        config.initial_std,
        config.minimum_std,
        layout,
        config.image_scale,
    )
    agent = spec.build(settings, config)
    policy = agent.family.policy(plain, config)
    try:
        initial = agent.family.initial_parameters(policy, config)
    except TypeError as error:
        raise ConfigError(f"environment {config.env_id!r}: {error}") from error
    if config.initial_policy and _shapes(initial) != _shapes(policy_parameters(plain, config)):
        raise ConfigError(
            f"initial_policy = {config.initial_policy!r}: the parameters of agent {config.agent} "
            "are not a plain policy's, which are all that a saved model has; leave it away"
        )
    return EnvironmentExperiment(config, environment, policy, agent, settings, initial)


def _shapes(parameters: Parameters) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in parameters.items()}


def _problem_experiment(config: SupervisedConfig) -> ProblemExperiment:
    """Build problem and model."""
    problem = settings_of(config)
    input_shape = problem.input_shape
    if config.agent == "oracle":
        if not problem.numbers_told or len(input_shape) != 1:
            raise ConfigError(f"problem {config.problem!r} tells an oracle nothing")
        input_shape = (input_shape[0] + problem.numbers_told,)
    network = network_of(config, input_shape, problem.outputs)
    kind = {"device": config.device, "dtype": getattr(torch, config.dtype)}
    initial = {name: value.to(**kind) for name, value in network.initial(config.seed).items()}
    tunes = config.agent in ("pretrained", "random")
    return ProblemExperiment(Learner(config, problem, network, initial, tunes))


def untrained_state(config: ExperimentConfig, seed: int) -> TrainingState:
    """Give the state before the first iteration of a run of that seed, as it was initialised."""
    config = replace(config, seed=seed)
    if isinstance(config, Config):
        config = replace(config, initial_policy="")
    return build_experiment(config).first_state()
