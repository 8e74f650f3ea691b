"""Policies to and from stable-baselines3, whose models are zip files.

A Gaussian or categorical policy of ours and an `ActorCriticPolicy` of the same layer sizes compute
the same actions. Only the actor is ours; a critic stays where it is. Reading a model touches
nothing but its tensors and its description: no pickle is loaded.
"""

import contextlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import ACTIVATIONS, without_context
from metarl.tasks.observations import observation_layout
from metarl.tasks.policy_environment import observed_environment, policy_actions

INSTALL = 'pip install "metarl-suite[sb3]"'
_THEIR_DEFAULT_ACTIVATION = "Tanh"


def policy_arguments(config: Config, critic_sizes: tuple[int, ...]) -> dict[str, Any]:
    """Give the `policy_kwargs` of a model whose actor is a run's policy.

    Args:
        config: of the run.
        critic_sizes: widths of the critic's hidden layers.

    """
    return {
        "net_arch": {"pi": list(config.hidden_sizes), "vf": list(critic_sizes)},
        "activation_fn": ACTIVATIONS[config.activation],
        "ortho_init": False,
    }


def require_perceptron(config: Config) -> None:
    """Refuse a run whose policy has convolutions: no model made or read here has.

    Raises:
        ConfigError: its observations hold images.

    """
    with contextlib.closing(observed_environment(config)) as environment:
        layout = observation_layout(environment)
    if layout.has_images:
        raise ConfigError(
            f"environment {config.env_id!r} shows images ({layout.describe()}), and models of "
            "stable-baselines3 are made and read here for vectors alone; dictionaries without "
            "images are vectors here"
        )


def to_stable_baselines(parameters: Parameters) -> dict[str, Tensor]:
    """Give the actor's tensors under stable-baselines3's names; a context goes into a bias."""
    parameters = without_context(parameters)
    return {theirs: parameters[ours] for ours, theirs in _names(parameters).items()}


def from_stable_baselines(
    tensors: Mapping[str, Tensor], like: Parameters, origin: str
) -> Parameters:
    """Give our parameters from the tensors of an `ActorCriticPolicy`.

    Args:
        tensors: its state.
        like: names, shapes and type of our parameters.
        origin: where the tensors come from, for messages.

    Raises:
        ConfigError: a tensor is missing or has another shape.

    """
    parameters: Parameters = {}
    names = _names(like)
    for ours in like:  # in this order, in which vectors hold the parameters
        theirs, wanted = names[ours], tuple(like[ours].shape)
        if theirs not in tensors:
            raise ConfigError(f"{origin} has no {theirs} of shape {wanted}; its layers differ")
        if tuple(tensors[theirs].shape) != wanted:
            raise ConfigError(
                f"{origin}: {theirs} has shape {tuple(tensors[theirs].shape)}, this run's policy "
                f"needs {wanted}; see --hidden-sizes, and whether the environment is the same"
            )
        parameters[ours] = tensors[theirs].detach().clone().to(like[ours])
    extra = [
        name
        for name in tensors
        if name.startswith("mlp_extractor.policy_net.") and name not in names.values()
    ]
    if extra:
        raise ConfigError(f"{origin} has more layers than this run's policy: {', '.join(extra)}")
    return parameters


def read_policy(
    file: Path, config: Config, action_space: gym.Space[Any], like: Parameters
) -> Parameters:
    """Read the policy of a saved model, to start training from.

    Args:
        file: what the model's `save` wrote.
        config: of the run that is to start.
        action_space: of its environment.
        like: names, shapes and type of our parameters.

    Raises:
        ConfigError: the file is no such model, or its policy is not one of ours: other layers,
            another activation or actions in other units; or ours reads images.

    """
    require_perceptron(config)
    try:
        with zipfile.ZipFile(file) as archive:
            about = json.loads(archive.read("data"))
            with archive.open("policy.pth") as tensors_file:
                tensors = torch.load(tensors_file, map_location="cpu", weights_only=True)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{file} is no model of stable-baselines3: {reason}") from error
    except Exception as error:  # of pickle, where the tensors are more than tensors
        raise ConfigError(f"{file} holds more than tensors in policy.pth") from error
    activation = str(about.get("policy_kwargs", {}).get("activation_fn", _THEIR_DEFAULT_ACTIVATION))
    wanted = ACTIVATIONS[config.activation].__name__
    if not re.search(rf"\b{wanted}\b", activation):
        raise ConfigError(
            f"{file} has the activation {activation}, this run {wanted}; see --activation"
        )
    wanted_actions = policy_actions(action_space, config.action_scale)
    _require_same_actions(file, about.get("action_space", {}), wanted_actions)
    return from_stable_baselines(tensors, like, str(file))


def export_policy(
    file: Path, environment: gym.Env[Any, Any], config: Config, parameters: Parameters
) -> None:
    """Write a policy as a PPO model; `PPO.load(file).predict` acts as the policy does.

    Args:
        file: ends in .zip.
        environment: from `metarl.tasks.policy_environment.policy_environment`; gives the spaces.
        config: of the run.
        parameters: of the policy, in float32.

    Raises:
        ConfigError: stable-baselines3 is not installed, or the policy reads images.
        RunFolderError: the file cannot be written.

    """
    require_perceptron(config)
    try:
        from stable_baselines3 import PPO
    except ImportError as error:
        raise ConfigError(f"exporting needs stable-baselines3: {INSTALL}") from error
    model = PPO(
        "MlpPolicy", environment, policy_kwargs=policy_arguments(config, ()), seed=0, device="cpu"
    )
    tensors = to_stable_baselines(parameters)
    if "log_std" in tensors:  # ours is held from below wherever it is used
        tensors["log_std"] = tensors["log_std"].clamp(min=float(np.log(config.minimum_std)))
    model.policy.load_state_dict({**model.policy.state_dict(), **tensors})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        model.save(file)
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror}") from error


def _names(parameters: Parameters) -> dict[str, str]:
    """Give their name of each parameter of ours."""
    layers = [name.split(".") for name in parameters if name != "log_std"]
    last = max(int(index) for _, index, _ in layers)
    names = {
        f"{module}.{index}.{kind}": f"action_net.{kind}"
        if int(index) == last
        else f"mlp_extractor.policy_net.{index}.{kind}"
        for module, index, kind in layers
    }
    return names | {name: name for name in parameters if name == "log_std"}


def _require_same_actions(file: Path, described: Mapping[str, Any], space: gym.Space[Any]) -> None:
    """Refuse a model whose actions have other bounds, and so another meaning, than the policy's."""
    if not isinstance(space, gym.spaces.Box):
        return
    for ours, name in ((space.low, "low"), (space.high, "high")):
        numbers = re.findall(r"-?(?:inf|\d+\.?\d*(?:e[+-]?\d+)?)", str(described.get(name, "")))
        theirs = np.array(numbers, dtype=np.float64)
        if theirs.size != ours.size or not np.allclose(ours.ravel(), theirs, rtol=1e-4):
            raise ConfigError(
                f"{file} acts between {described.get('low')} and {described.get('high')}, this "
                f"run's policy between {space.low} and {space.high}; see --action-scale, or train "
                "the model on metarl.tasks.policy_environment.policy_environment"
            )
