"""By what the bodies of an environment are simulated: MuJoCo, or another engine on a device."""

from importlib.util import find_spec
from inspect import signature
from typing import Any

from gymnasium.envs.registration import load_env_creator

from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import registered

PHYSICS_PACKAGES = {"warp": ("mujoco-warp", "warp-lang")}
"""The distributions that numbers depend on, beside MuJoCo's."""


def require_physics(config: Config) -> None:
    """Refuse physics that the environment does not have, or that is not installed.

    An environment has it where its `vector_entry_point` takes `physics` and `device`.

    Raises:
        ConfigError: it is so.

    """
    if config.physics == "mujoco":
        return
    made_by = _vector_maker(config.env_id)
    if made_by is None or not {"physics", "device"} <= signature(made_by).parameters.keys():
        raise ConfigError(
            f"physics = {config.physics!r}: environment {config.env_id!r} is not simulated by it; "
            "the families of MuJoCo bodies are (half-cheetah, ant, walker, hopper, humanoid, "
            "swimmer, reacher); leave it away"
        )
    if find_spec("mujoco_warp") is None:
        raise ConfigError(
            f"physics = {config.physics!r} needs mujoco-warp, which is not installed; "
            'pip install "metarl-suite[gpu]"'
        )


def bytes_on_device(config: Config, slots: int) -> int:
    """Say what the simulations of so many slots take on their device, as far as it is known.

    What makes the native batch says it, by `bytes_on_device`, a function of `num_envs` and of the
    arguments that the environment is registered with.
    """
    if config.physics == "mujoco":
        return 0
    says = getattr(_vector_maker(config.env_id), "bytes_on_device", None)
    if says is None:
        return 0
    arguments = {**registered(config.env_id).kwargs, **config.env_kwargs}
    return int(says(num_envs=slots, **arguments))


def _vector_maker(env_id: str) -> Any:
    """Give what makes an environment's native batch; None: there is none."""
    entry = registered(env_id).vector_entry_point
    return load_env_creator(entry) if isinstance(entry, str) else entry
