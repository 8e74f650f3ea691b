"""What one family of MuJoCo tasks is: written once, run alike by one simulation and by many.

A `Family` is a body, a task distribution and a reward. All its functions take arrays whose first
axis is the simulation ("slot"), so that `MujocoTask` (one slot) and `MujocoTaskVector` (many, in
one native batch) compute the same bits. What observes, rewards and judges health takes numpy's
arrays and torch's tensors alike (`namespace_of`), so that `WarpWorlds` runs it on a device.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import gymnasium.envs.mujoco as gymnasium_mujoco
import mujoco
import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float

from metarl.foundation.errors import ConfigError
from metarl_envs.mujoco_messages import without_messages
from metarl_envs.task_distributions import Tasks

Array = Any
"""numpy's array, or torch's tensor."""
Fields = Mapping[str, Float[Array, "slot ..."]]
"""Arrays of MuJoCo's `MjData`, by name, with a leading slot axis."""
Start = tuple[Float[np.ndarray, " nq"], Float[np.ndarray, " nv"]]
"""Positions and velocities to start an episode from."""

_DIVERGED = {
    "position": mujoco.mjtWarning.mjWARN_BADQPOS,
    "velocity": mujoco.mjtWarning.mjWARN_BADQVEL,
    "acceleration": mujoco.mjtWarning.mjWARN_BADQACC,
}
"""What was NaN, infinite or huge when MuJoCo calls a simulation unstable, and its warning."""
DIVERGED_NAMES = tuple(_DIVERGED)
DIVERGED_WARNINGS = [int(warning) for warning in _DIVERGED.values()]


def namespace_of(array: Array) -> Any:
    """Give the module with the array's functions, which have the array API standard's names."""
    return np if isinstance(array, np.ndarray) else array_namespace(array)


def x_position(fields: Fields) -> Float[Array, "slot 1"]:
    """Give the first joint's position, which is x for the bodies of the plane."""
    return fields["qpos"][:, :1]


def xy_position(fields: Fields) -> Float[Array, "slot 2"]:
    """Give the first two joints' positions, which are x, y for the free bodies."""
    return fields["qpos"][:, :2]


@dataclass(frozen=True)
class Body:
    """A body and its physics: how it is built, starts, is measured and seen."""

    model_file: str
    """A file of Gymnasium's MuJoCo assets."""
    frame_skip: int
    """Physics steps in a control step."""
    start: Callable[[np.random.Generator, mujoco.MjModel], Start]
    """Draws the start of an episode."""
    observe: Callable[[Fields], Float[Array, "slot obs"]]
    """The observation."""
    healthy: Callable[[Fields], Bool[Array, " slot"]] | None = None
    """Whether the episode may go on; None: it always may."""
    position: Callable[[Fields], Float[Array, "slot axes"]] = x_position
    """The position whose mean velocity over a control step the reward may use."""
    fields: tuple[str, ...] = ()
    """Fields beside qpos and qvel that these functions and the reward read."""
    sensors: tuple[tuple[str, Mapping[str, str]], ...] = ()
    """Sensors added to the model: XML element and attributes."""
    up_to_date: bool = False
    """Compute the fields anew after the step. Otherwise all but qpos and qvel are what MuJoCo's
    last physics step left: one physics step behind, as in Gymnasium's environments."""
    timestep: float | None = None
    """The physics step in seconds, where it is not the model file's."""
    constant_observation: tuple[int, ...] = ()
    """Observation elements that may stay constant for long, as contact forces on a hip do."""
    camera: Mapping[str, Any] = field(default_factory=dict)
    """The camera's position when rendering."""


@dataclass(frozen=True)
class Transition:
    """One control step of all slots, as the reward sees it."""

    velocity: Float[Array, "slot axes"]
    """The mean velocity of the body's `position` over the control step."""
    fields: Fields
    """The fields after the step."""
    actions: Float[Array, "slot act"]
    """The actions, as given."""
    tasks: Float[Array, "slot ..."]
    """The tasks, as `Tasks.to_numbers` gives them."""
    healthy: Bool[Array, " slot"]
    """Whether the slot is healthy after the step."""


@dataclass(frozen=True)
class Family:
    """A body, a task distribution and a reward."""

    body: Body
    tasks: Tasks
    reward: Callable[[Transition], Float[Array, " slot"]]
    """The reward of the step."""
    place: Callable[[Float[np.ndarray, " nq"], Float[np.ndarray, " number"]], None] | None = None
    """Puts what belongs to the task into the positions an episode starts from."""
    parameters: (
        Callable[[mujoco.MjModel, Float[np.ndarray, "slot number"]], dict[str, np.ndarray]] | None
    ) = None
    """The task's model parameters by name, (slot, …), given the unchanged model."""


def load_family(name: str, **kwargs: Any) -> Family:
    """Build a family from the function that specifies it, "module:function".

    Raises:
        ConfigError: no environment is registered with it; a configuration, which may come from
            anybody, would call any function of any module.

    """
    if not any(spec.kwargs.get("family") == name for spec in gym.registry.values()):
        raise ConfigError(f"env_kwargs: family = {name!r} is none of a registered environment")
    module, _, function = name.partition(":")
    family: Family = getattr(import_module(module), function)(**kwargs)
    return family


def load_model(body: Body) -> mujoco.MjModel:
    """Build the body's model from Gymnasium's file and what the body adds to it."""
    file = Path(gymnasium_mujoco.__file__).parent / "assets" / body.model_file
    root = ElementTree.parse(file).getroot()
    if body.sensors:
        sensors = ElementTree.SubElement(root, "sensor")
        for kind, attributes in body.sensors:
            ElementTree.SubElement(sensors, kind, dict(attributes))
    with without_messages("deprecated"):
        model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))
    if body.timestep is not None:
        model.opt.timestep = body.timestep
    return model


def sum_of_squares(values: Float[Array, "slot ..."]) -> Float[Array, " slot"]:
    """Sum the squares of each slot's values."""
    return namespace_of(values).square(values).reshape(len(values), -1).sum(axis=1)


def beside(*parts: Float[Array, "slot _"]) -> Float[Array, "slot obs"]:
    """Put the numbers of each slot side by side."""
    return namespace_of(parts[0]).concat(parts, axis=1)


def clipped(values: Float[Array, "*slot"], low: float, high: float) -> Float[Array, "*slot"]:
    """Clip every value to [low, high]."""
    return values.clip(low, high)


def all_finite(values: Float[Array, "slot number"]) -> Bool[Array, " slot"]:
    """Say for each slot whether all its values are finite."""
    return namespace_of(values).isfinite(values).all(axis=1)
