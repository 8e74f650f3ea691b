"""What the verbs share: from a configuration to an environment, a policy, an agent and workers."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from metarl.agents.protocol import Agent
from metarl.cli.saying import say
from metarl.config.fields import read_fields
from metarl.config.plugins import AgentSpec, load_agent
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.versions import physics_warning
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import PolicySpec, parameters_of
from metarl.runs.checkpoints import Checkpoints
from metarl.tasks.distribution import Task, task_space
from metarl.tasks.environment_packages import environment_packages
from metarl.tasks.observations import observation_layout
from metarl.tasks.policy_environment import observed_environment
from metarl.training import OwnLoop, TrainingState
from metarl.workers.pools import start_workers
from metarl.workers.process_pool import Supervision
from metarl.workers.shards import ShardSpec, Workers, to_vector


@dataclass(frozen=True)
class Experiment:
    """The light parts of a run, built in the parent."""

    config: Config
    environment: gym.Env[Any, Any]
    """Gives spaces and tasks; it is never stepped."""
    policy: PolicySpec
    initial: Parameters
    """The policy's parameters before training."""
    agent: Agent | OwnLoop

    @property
    def packages(self) -> list[str]:
        """The installed packages that the environment is of."""
        return environment_packages(self.environment, self.config.env_id, self.config.env_kwargs)

    def start_workers(
        self,
        count: int | str,
        tasks: int,
        episodes_per_task: int,
        query_episodes: int = 0,
        supervision: Supervision | None = None,
    ) -> Workers:
        """Start the pool over some tasks; 0 query episodes are as many as in the other phases."""
        spec = ShardSpec(self.config, self.policy, episodes_per_task, range(tasks), query_episodes)
        return start_workers(spec, count, supervision)


def records_of(config: Config) -> dict[str, str]:
    """Give what a checkpoint of a run says that it is of."""
    return {"agent": config.agent, "environment": config.env_id}


def load_newest_state(
    run_dir: Path, experiment: Experiment, command: str, up_to: int | None = None
) -> TrainingState:
    """Load a run's newest good checkpoint; say on standard error what is doubtful about it.

    Args:
        run_dir: the run folder.
        experiment: what was run.
        command: who says it.
        up_to: the newest iteration wanted; None: any.

    Raises:
        RunFolderError: there is no good checkpoint.

    """
    checkpoints = Checkpoints(run_dir, records_of(experiment.config))
    state, recorded, skipped = checkpoints.load_newest(experiment.initial, up_to)
    for damaged in skipped:
        say(f"{command}: passed over checkpoint {damaged}")
    if warning := physics_warning(recorded):
        say(f"{command}: {warning}")
    return state


def untrained_state(config: Config, seed: int) -> TrainingState:
    """Give the state before the first iteration of a run of that seed."""
    experiment = build_experiment(replace(config, seed=seed))
    return TrainingState(experiment.agent.initial_state(to_vector(experiment.initial)), 0, 0)


def read_task(text: str, environment: gym.Env[Any, Any]) -> Task:
    """Read a task that the user gave as JSON.

    Raises:
        ConfigError: it is no JSON, or not in the environment's task space.

    """
    space = task_space(environment)
    try:
        (task,) = space.from_jsonable([json.loads(text)])
        inside = space.contains(task)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ConfigError(f"task = {text!r} is not a task: {error}") from error
    if not inside:
        raise ConfigError(f"task = {text!r} is not in the task space {space}")
    return task


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        say(text)


def build_experiment(config: Config, spec: AgentSpec | None = None) -> Experiment:
    """Build environment, policy and agent.

    Args:
        config: the experiment.
        spec: of an agent that is not installed; None: the one that `config.agent` names.

    Raises:
        ConfigError: the configuration names something that does not exist or does not fit.

    """
    spec = spec or load_agent(config.agent)
    settings = read_fields(spec.settings, config.agent_settings, f"agent {config.agent}")
    try:
        torch.zeros(1, device=config.device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device = {config.device!r} is not to be had here: {reason}") from error
    environment = observed_environment(config)
    layout = observation_layout(environment)
    if layout.left_out:
        _say_once(
            f"metarl: the policy does not see all observations of {config.env_id}; no fixed list "
            f"of numbers, and left out: {', '.join(layout.left_out)}"
        )
    policy = PolicySpec(
        environment.observation_space,
        environment.action_space,
        config.hidden_sizes,
        config.activation,
        config.initial_std,
        config.minimum_std,
        layout,
        config.image_scale,
    )
    try:
        module = policy.build(config.seed).to(dtype=getattr(torch, config.dtype))
    except TypeError as error:
        raise ConfigError(f"environment {config.env_id!r}: {error}") from error
    return Experiment(
        config, environment, policy, parameters_of(module), spec.build(settings, config)
    )
