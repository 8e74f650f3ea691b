"""Values inside an object by a dotted path, such as `world.goal[0]`: found, replaced, cast.

A value that is replaced takes the type of the one that is there. Containers are replaced whole and
never written into, since environments may share one (a list on a class, a constant of a module).
"""

import copy
import re
from difflib import get_close_matches
from typing import Any

import numpy as np

from metarl.foundation.errors import ConfigError

Path = tuple[str | int, ...]
"""Names of attributes and indices, from the outermost inwards."""

_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(-?\d+)\]")


def parse_path(text: str) -> Path:
    """Read a dotted path with indices in brackets.

    Raises:
        ConfigError: it is none, or leads into Python's own attributes, as `__class__` does: what a
            configuration sets is an environment's alone.

    """
    steps: list[str | int] = []
    position = 0
    while found := _STEP.match(text, position):
        steps.append(found[1] if found[1] is not None else int(found[2]))
        position = found.end()
    inner = any(isinstance(step, str) and step.startswith("__") for step in steps)
    if position != len(text) or not steps or text.startswith((".", "[")) or inner:
        raise ConfigError(f"{text!r} is no path of attributes, such as 'g' or 'world.goal[0]'")
    return tuple(steps)


def shown(path: Path) -> str:
    """Write a path as `parse_path` reads it."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".")


def find(root: Any, path: Path, owner: str) -> Any:
    """Give the value at a path.

    Args:
        root: where the path starts.
        path: the path.
        owner: what the root is, for messages.

    Raises:
        ConfigError: there is none; the nearest name is given.

    """
    value = root
    for depth, step in enumerate(path):
        try:
            value = getattr(value, step) if isinstance(step, str) else value[step]
        except (AttributeError, IndexError, TypeError, KeyError) as error:
            where = f"{shown(path[:depth])} of {owner}" if depth else owner
            raise ConfigError(f"{where} has no {_named(step)}{_nearest(step, value)}") from error
    return value


def replace(root: Any, path: Path, value: Any) -> None:
    """Put a value at a path that `find` knows, or at a new attribute of what it knows."""
    *outer, last = path
    owner = find(root, tuple(outer), "the environment")
    if isinstance(last, str):
        setattr(owner, last, value)
        return
    changed = list(owner) if isinstance(owner, tuple) else copy.copy(owner)
    changed[last] = value
    replace(root, tuple(outer), tuple(changed) if isinstance(owner, tuple) else changed)


def cast_like(value: Any, present: Any, where: str) -> Any:
    """Give a new value the type of the one that is there.

    Args:
        value: an array of numbers, of no axis for a single one; or anything else, which stays.
        present: what is there now; None says nothing.
        where: what is set, for messages.

    Raises:
        ConfigError: its shape does not fit, or it has fractions where integers are.

    """
    if not isinstance(value, np.ndarray):
        return copy.deepcopy(value)
    if isinstance(present, bool | np.bool_):
        raise ConfigError(f"{where} is true or false: give choices = [false, true] for it")
    if isinstance(present, int | float | np.number):
        if value.size != 1:
            raise ConfigError(f"{where} is one number, and the task gives {value.size}")
        number = value.item()
        if isinstance(number, int) or isinstance(present, np.floating):
            return type(present)(number)
        return number  # a whole number in the code may stand for any, as `mass = 1` does
    if isinstance(present, np.ndarray):
        fitting = _fitting(value, present.shape, where)
        if np.issubdtype(present.dtype, np.integer) and not np.issubdtype(value.dtype, np.integer):
            raise ConfigError(f"{where} holds integers: add integer = true to its space")
        return fitting.astype(present.dtype)
    if isinstance(present, tuple | list):
        return type(present)(_fitting(value, (len(present),), where).tolist())
    return natural(value)


def same(one: Any, other: Any) -> bool:
    """Compare two values bit for bit, numbers quickly."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return bool(np.array_equal(one, other))


def natural(value: Any) -> Any:
    """Give a value as Python code would write it: a number as a number, several as an array."""
    if isinstance(value, np.ndarray):
        return value.item() if value.ndim == 0 else value.copy()
    return copy.deepcopy(value)


def as_argument(value: Any) -> Any:
    """Give a value as code would write it for a constructor: several numbers as a tuple."""
    plain = natural(value)
    if not isinstance(plain, np.ndarray):
        return plain
    return tuple(plain.tolist()) if plain.ndim == 1 else plain.tolist()


def _fitting(value: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    if value.size != int(np.prod(shape)):
        holds = int(np.prod(shape))
        raise ConfigError(f"{where} holds {holds} numbers, and the task gives {value.size}")
    return value.reshape(shape)


def _named(step: str | int) -> str:
    return f"attribute {step!r}" if isinstance(step, str) else f"element {step}"


def _nearest(step: str | int, owner: Any) -> str:
    if isinstance(step, int):
        return f": it has {len(owner)}" if hasattr(owner, "__len__") else ": it has no elements"
    names = [name for name in dir(owner) if not name.startswith("__")]
    near = get_close_matches(step, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
