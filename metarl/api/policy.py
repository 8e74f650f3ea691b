"""A policy as it has become on a task: acts, and is saved for other libraries."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from metarl.agent.protocol import AgentState, Memory
from metarl.agent.stable_baselines import export_policy, require_perceptron
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.environment_experiment import EnvironmentExperiment
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.foundation.files import MEBIBYTE, read_bytes, write_whole
from metarl.tasks.action_map import ActionMap
from metarl.tasks.observations import flatten_observations
from metarl.tasks.policy_environment import policy_environment

FORMATS = {"sb3": ".zip", "metarl": ".safetensors"}
"""Formats of a saved policy, and what their files end in."""
_LARGEST_FILE = 4096 * MEBIBYTE
_THETA = "theta"


class AdaptedPolicy:
    """A policy that has adapted to a task, or not yet to any.

    `predict` has the signature of stable-baselines3's policies, so that
    `stable_baselines3.common.evaluation.evaluate_policy` takes it. It acts in the units of the
    environment. What it carries from step to step, if it does, is the `state`; where an episode
    starts, that begins again as adaptation has left it.

    Args:
        experiment: the run's.
        state: what the agent has become.

    """

    def __init__(self, experiment: EnvironmentExperiment, state: AgentState) -> None:
        self.config = experiment.config
        self.state = state
        """The agent's arrays, by name."""
        self._experiment = experiment
        self._actor = experiment.actor(state)
        self._map = ActionMap(experiment.environment.action_space, experiment.config.action_scale)
        self._space = experiment.raw_observation_space

    def predict(
        self,
        observation: Any,
        state: Memory | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        generator: np.random.Generator | None = None,
    ) -> tuple[np.ndarray, Memory | None]:
        """Choose an action for an observation, or for several, one a row.

        Args:
            observation: of the environment's observation space, or a batch of them.
            state: what the call before gave; None at the start.
            episode_start: which rows begin an episode; None: those without a state.
            deterministic: the most likely action, instead of a sampled one.
            generator: to sample with; None: a new one.

        Returns:
            The actions, shaped as the observations were, and the state afterwards.

        Raises:
            ConfigError: the observation is not of the observation space.

        """
        rows, alone = flatten_observations(self._space, observation)
        fresh = self._actor.begin(len(rows))
        memory = fresh if state is None else state
        if state is not None and episode_start is not None:
            starts = np.asarray(episode_start, dtype=bool)
            memory = tuple(
                np.where(starts.reshape(-1, *[1] * (old.ndim - 1)), new, old)
                for old, new in zip(state, fresh, strict=True)
            )
        draw = None if deterministic else generator or np.random.default_rng()
        chosen, memory = self._actor.act(rows, memory, draw)
        actions = self._map(chosen)
        return (actions[0] if alone else actions), memory or None

    def observe(self, state: Memory | None, rewards: Any, ended: Any) -> Memory | None:
        """Tell a policy with a memory what its actions brought; give the state afterwards.

        Args:
            state: what `predict` gave.
            rewards: the reward of each row.
            ended: whether each row's episode has ended.

        """
        if state is None:
            return None
        return self._actor.observe(state, np.atleast_1d(rewards), np.atleast_1d(ended))

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Write the policy; give the file.

        A file that ends in .zip is a PPO model of stable-baselines3, whose `PPO.load(file).predict`
        acts alike in the policy's units; in .safetensors, metarl's own, which takes every agent's
        policy and is read by `metarl.load_policy`.

        Raises:
            ConfigError: the file ends in neither, or the policy is not one that the other library
                has.
            RunFolderError: it cannot be written.

        """
        target = Path(file)
        if target.suffix == FORMATS["sb3"]:
            parameters = self._actor.plain_policy
            if parameters is None:
                raise ConfigError(
                    f"agent {self.config.agent} carries a memory, which no model of "
                    "stable-baselines3 holds; save it as .safetensors "
                    "(metarl export --format metarl)"
                )
            require_perceptron(self.config)
            export_policy(target, policy_environment(self.config), self.config, parameters)
        elif target.suffix == FORMATS["metarl"]:
            _write(target, self.config, self.state)
        else:
            raise ConfigError(f"output = {target} must end in {' or '.join(FORMATS.values())}")
        return target


def load_policy(file: str | os.PathLike[str]) -> AdaptedPolicy:
    """Read a policy that was saved as .safetensors.

    Raises:
        RunFolderError: the file cannot be read, is damaged, or is no such policy.
        ConfigError: its environment or agent is not installed here.

    """
    path = Path(file)
    try:
        data = read_bytes(path, _LARGEST_FILE)
        length = int.from_bytes(data[:8], "little")
        about = json.loads(data[8 : 8 + length])["__metadata__"]
        arrays = load(data)
        if _checksum(arrays) != about["sha256"]:
            raise ValueError("its checksum differs")
        table = json.loads(about["config"])
    except RunFolderError:
        raise
    except Exception as error:  # what somebody else wrote may break its reader anywhere
        raise RunFolderError(f"{path} is no policy of metarl's: {error}") from error
    config: Config = read_fields(Config, table, str(path))
    experiment = build_experiment(config)
    others = {name: array for name, array in arrays.items() if name != _THETA}
    size = sum(value.numel() for value in experiment.initial.values())
    if _THETA not in arrays or arrays[_THETA].shape != (size,):
        raise RunFolderError(f"{path} is no policy of metarl's: its layers differ")
    return AdaptedPolicy(experiment, AgentState(arrays[_THETA], others=others))


def _write(file: Path, config: Config, state: AgentState) -> None:
    arrays = {_THETA: state.theta, **state.others}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {"config": config.to_json(), "sha256": _checksum(arrays)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror}") from error
    write_whole(file, save(arrays, metadata))


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(name.encode() + arrays[name].tobytes())
    return total.hexdigest()
