"""Observations of any numeric space, as the flat vectors that everything here works with.

A dictionary, a tuple, an image or a choice becomes one row of numbers, and a *layout* remembers
what they were: vectors, which a policy reads as they are, and images, which it reads by
convolutions. The numbers stand in the order of `gymnasium.spaces.flatten`; choices are one-hot.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from metarl.foundation.errors import ConfigError

WHOLE = "observation"
"""The name of an observation that has no parts."""
_SMALLEST_SIDE = 3
"""Height and width of the smallest image."""
_NAMED_AT_MOST = 12


@dataclass(frozen=True)
class Image:
    """How the numbers of a picture are ordered, and how large they get."""

    height: int
    width: int
    channels: int
    channels_first: bool
    """Channels before rows and columns (CHW), or behind them (HWC)."""
    bound: float
    """The largest absolute value that the space allows; infinite if there is none."""


@dataclass(frozen=True)
class Part:
    """Neighbouring numbers of a flat observation that belong together."""

    name: str
    """Its place in the observation, as `goal` or `camera.image`."""
    shape: tuple[int, ...]
    image: Image | None = None
    """None: a vector."""
    one_hot: bool = False
    """Whether the numbers are choices, each 0 or 1."""

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """What the numbers of a flat observation are, in order."""

    parts: tuple[Part, ...]
    left_out: tuple[str, ...] = ()
    """Parts that are no fixed list of numbers, each with the name of its space."""

    @property
    def size(self) -> int:
        """How many numbers an observation has."""
        return sum(part.size for part in self.parts)

    @property
    def has_images(self) -> bool:
        """Whether any part is an image."""
        return any(part.image for part in self.parts)

    def slices(self) -> Iterator[tuple[Part, slice]]:
        """Give each part with its place in the flat observation."""
        start = 0
        for part in self.parts:
            yield part, slice(start, start + part.size)
            start += part.size

    def describe(self) -> str:
        """Say in words what there is."""
        words = [
            f"{part.name} (an image of {image.height}×{image.width}, channels {image.channels})"
            if (image := part.image)
            else f"{part.name} ({part.size})"
            for part in self.parts
        ]
        left_out = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        return ", ".join(words) + left_out

    def name_elements(self, indices: Sequence[int]) -> str:
        """Name elements by their part and place there, as `image[3, 2, 0]`; a few of many."""
        if len(self.parts) == 1 and len(self.parts[0].shape) == 1:
            names = [str(index) for index in indices]  # the place says it all
        else:
            names = [
                f"{part.name}{[*map(int, np.unravel_index(index - at.start, part.shape))]}"
                for part, at in self.slices()
                for index in indices
                if at.start <= index < at.stop
            ]
        more = len(names) - _NAMED_AT_MOST
        shown = names[:_NAMED_AT_MOST] + [f"and {more} more"] * (more > 0)
        return f"[{', '.join(shown)}]"


class FlatObservations(gym.ObservationWrapper[np.ndarray, Any, Any]):
    """An environment whose observations are flat vectors in float32.

    Args:
        environment: of any observation space with numbers in it.
        name: of the environment, for messages.

    Raises:
        ConfigError: no part of the observations is a fixed list of numbers.

    """

    def __init__(self, environment: gym.Env[Any, Any], name: str) -> None:
        super().__init__(environment)
        leaves = list(_leaves(environment.observation_space))
        self._numeric = [leaf for leaf in leaves if leaf.numeric]
        if not self._numeric:
            raise ConfigError(
                f"environment {name!r}: its observations, {environment.observation_space}, hold no "
                "fixed list of numbers for a policy to read; wrap it so that they do"
            )
        self.observation_layout = Layout(
            tuple(_part(leaf) for leaf in self._numeric),
            tuple(
                f"{leaf.name} ({type(leaf.space).__name__})" for leaf in leaves if not leaf.numeric
            ),
        )
        flat = [_flat_bounds(leaf.space) for leaf in self._numeric]
        self.observation_space = gym.spaces.Box(
            np.concatenate([low for low, _ in flat]), np.concatenate([high for _, high in flat])
        )

    def observation(self, observation: Any) -> Float[np.ndarray, " obs"]:
        """Flatten one observation.

        Raises:
            ValueError: a part has not the shape, or is not one of the choices, that its space says.

        """
        parts = [_flatten(leaf, leaf.of(observation)) for leaf in self._numeric]
        flat: np.ndarray = np.concatenate(parts)
        return flat


def flat_observations(environment: gym.Env[Any, Any], name: str) -> gym.Env[Any, Any]:
    """Wrap an environment if its observations are not flat vectors already.

    Args:
        environment: any.
        name: of the environment, for messages.

    Raises:
        ConfigError: no part of the observations is a fixed list of numbers.

    """
    if is_flat(environment.observation_space):
        return environment
    return FlatObservations(environment, name)


def flatten_observations(
    space: gym.Space[Any], observation: Any
) -> tuple[Float[np.ndarray, "row obs"], bool]:
    """Flatten one observation of a space, or a batch with the rows first.

    Args:
        space: of a single observation.
        observation: one, or a batch of them.

    Returns:
        The observations as rows, and whether it was one alone.

    Raises:
        ConfigError: it is neither.

    """
    leaves = [leaf for leaf in _leaves(space) if leaf.numeric]
    try:
        values = [np.asarray(leaf.of(observation)) for leaf in leaves]
        shapes = [leaf.space.shape or () for leaf in leaves]
        if all(value.shape == shape for value, shape in zip(values, shapes, strict=True)):
            batches, alone = [value[None] for value in values], True
        elif all(value.shape[1:] == shape for value, shape in zip(values, shapes, strict=True)):
            batches, alone = values, False
        else:
            raise ValueError(f"it has shape {', '.join(str(value.shape) for value in values)}")
        if is_flat(space):
            return batches[0].astype(np.float64), alone
        rows = [
            np.concatenate([_flatten(leaf, part) for leaf, part in zip(leaves, row, strict=True)])
            for row in zip(*batches, strict=True)
        ]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"this is no observation of {space}: {error}") from error
    return np.stack(rows).astype(np.float64), alone


def unflattened(environment: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Give the environment before its observations were flattened."""
    return environment.env if isinstance(environment, FlatObservations) else environment


def is_flat(space: gym.Space[Any] | None) -> bool:
    """Tell whether a space is a Box of one dimension."""
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 1


def observation_layout(environment: gym.Env[Any, Any]) -> Layout:
    """Give the layout of an environment from `metarl.tasks.distribution.make_environment`."""
    if environment.has_wrapper_attr("observation_layout"):
        layout = environment.get_wrapper_attr("observation_layout")
        if isinstance(layout, Layout):
            return layout
    return flat_layout(environment.observation_space)


def flat_layout(space: gym.Space[Any]) -> Layout:
    """Give the layout of a Box of one dimension.

    Raises:
        TypeError: it is another space.

    """
    if not is_flat(space):
        raise TypeError(
            f"observation space {space} is not supported: a policy here takes a one-dimensional "
            "Box; metarl.tasks.observations.flat_observations makes one"
        )
    return Layout((Part(WHOLE, space.shape or ()),))


def with_vector(layout: Layout, name: str, size: int) -> Layout:
    """Append a vector to a layout."""
    return replace(layout, parts=(*layout.parts, Part(name, (size,))))


def raw_parts(space: gym.Space[Any], observation: Any) -> Iterator[tuple[str, gym.Space[Any], Any]]:
    """Give the parts of an observation that are numbers: name, space and value of each."""
    for leaf in _leaves(space):
        if leaf.numeric:
            yield leaf.name, leaf.space, leaf.of(observation)


@dataclass(frozen=True)
class _Leaf:
    """A space without parts of its own, inside another."""

    name: str
    path: tuple[Any, ...]
    """The keys and positions that lead to it."""
    space: gym.Space[Any]

    @property
    def numeric(self) -> bool:
        """Whether its members are fixed lists of numbers."""
        kinds = (
            gym.spaces.Box,
            gym.spaces.Discrete,
            gym.spaces.MultiDiscrete,
            gym.spaces.MultiBinary,
        )
        return isinstance(self.space, kinds) and gym.spaces.flatdim(self.space) > 0

    def of(self, observation: Any) -> Any:
        """Give its value in an observation of the whole space."""
        for key in self.path:
            observation = observation[key]
        return observation


def _leaves(space: gym.Space[Any], path: tuple[Any, ...] = ()) -> Iterator[_Leaf]:
    inner: list[tuple[Any, gym.Space[Any]]]
    if isinstance(space, gym.spaces.Dict):
        inner = list(space.spaces.items())
    elif isinstance(space, gym.spaces.Tuple):
        inner = list(enumerate(space.spaces))
    else:
        yield _Leaf(".".join(map(str, path)) or WHOLE, path, space)
        return
    for key, part in inner:
        yield from _leaves(part, (*path, key))


def _part(leaf: _Leaf) -> Part:
    if isinstance(leaf.space, gym.spaces.Box):
        image = _image(leaf.space)
        return Part(leaf.name, leaf.space.shape or (1,), image)
    one_hot = not isinstance(leaf.space, gym.spaces.MultiBinary)
    return Part(leaf.name, (gym.spaces.flatdim(leaf.space),), one_hot=one_hot)


def _image(space: gym.spaces.Box) -> Image | None:
    """Give the order of a Box's elements if it is an image, else None.

    An image is a Box of three dimensions or, of bytes, of two. The channels are the axis beside
    the two that are equal; failing that the shorter one of first and last, and the last of equals.
    """
    bounds = np.abs([space.low.astype(np.float64), space.high.astype(np.float64)])
    bound = float(bounds.max(initial=0.0))
    if len(space.shape) == 2 and space.dtype == np.uint8:
        shape = (*space.shape, 1)
    elif len(space.shape) == 3:
        shape = space.shape
    else:
        return None
    first, middle, last = shape
    one_pair_is_equal = (first == middle) != (middle == last)
    channels_first = middle == last if one_pair_is_equal else first < last
    height, width, channels = (middle, last, first) if channels_first else shape
    if min(height, width) < _SMALLEST_SIDE:
        return None
    return Image(height, width, channels, channels_first, bound)


def _flat_bounds(space: gym.Space[Any]) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(space, gym.spaces.Box):
        with np.errstate(over="ignore"):  # the largest of float64 is infinite in float32
            return tuple(end.astype(np.float32).ravel() for end in (space.low, space.high))  # type: ignore[return-value]
    size = gym.spaces.flatdim(space)
    return np.zeros(size, np.float32), np.ones(size, np.float32)


def _flatten(leaf: _Leaf, value: Any) -> np.ndarray:
    space, given = leaf.space, np.asarray(value)
    if given.shape != (space.shape or ()):
        raise ValueError(
            f"{leaf.name} has shape {given.shape} where the observation space says {space.shape}"
        )
    if isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        return given.astype(np.float32).ravel()
    sizes = np.ravel(space.n if isinstance(space, gym.spaces.Discrete) else space.nvec)  # type: ignore[attr-defined]
    chosen = given.ravel() - np.ravel(space.start)  # type: ignore[attr-defined]
    if ((chosen < 0) | (chosen >= sizes)).any():
        raise ValueError(f"{leaf.name} = {value} is not one of the choices of {space}")
    flat = np.zeros(int(sizes.sum()), np.float32)
    flat[np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(int) + chosen.astype(int)] = 1.0
    return flat
