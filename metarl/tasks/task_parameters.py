"""What a task sets in an environment that knows nothing of tasks, and a space for it.

A table, as a preset or Python gives it, names the parameters. Each says what it sets by one of

===============  ============================================================================
``attribute``    a dotted path from `env.unwrapped`, such as "g" or "world.goal[0]"; with
                 ``after_reset = true`` it is set after the reset as well as before
``keyword``      a keyword argument of the constructor; a new value builds the environment anew
``option``       a name in the options of `reset`
``model_field``  a field of the MuJoCo model, such as "body_mass" or "opt.gravity[2]"; ``of``
                 names a body, geom, joint, …; ``relative = true`` multiplies the model's value
===============  ============================================================================

and its space by ``low`` and ``high``, two numbers or two lists (``integer = true``: of integers),
or by ``choices``, a list of values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.foundation.errors import ConfigError
from metarl.tasks.attribute_paths import Path, parse_path, shown
from metarl.tasks.model_fields import ModelField

_TARGETS = ("attribute", "keyword", "option", "model_field")
_GOES_WITH = {"after_reset": "attribute", "of": "model_field", "relative": "model_field"}
_SPACES = ("low", "high", "integer", "choices")


@dataclass(frozen=True)
class Attribute:
    """An attribute of the environment itself, beneath its wrappers."""

    path: Path
    after_reset: bool = False

    def __str__(self) -> str:
        return f"attribute {shown(self.path)!r}"


@dataclass(frozen=True)
class Keyword:
    """A keyword argument of the environment's constructor."""

    name: str


@dataclass(frozen=True)
class Option:
    """A name in the options of `reset`."""

    name: str


@dataclass(frozen=True)
class TaskParameter:
    """One thing that a task sets, and the values it may have."""

    target: Attribute | Keyword | Option | ModelField
    space: gym.Space[Any]
    """Of the parameter's part of a task."""
    choices: tuple[Any, ...] = ()
    """The values that the numbers of a Discrete space stand for."""
    shape: tuple[int, ...] = ()
    """Of the value: () where the table gives two numbers, whose space is of shape (1,)."""

    @property
    def default(self) -> Any:
        """The part of the task that an environment starts with: the middle, or the first choice."""
        if not isinstance(self.space, gym.spaces.Box):
            return np.int64(0)
        middle = (self.space.low + self.space.high) / 2
        return np.asarray(middle, dtype=self.space.dtype)

    def member(self, part: Any, where: str) -> Any:
        """Give a part of a task as the space has it; it may lie outside the bounds.

        Raises:
            ConfigError: it is of another kind.

        """
        try:
            if not isinstance(self.space, gym.spaces.Box):
                index = int(part)
                if not 0 <= index < len(self.choices):
                    raise ValueError
                return np.int64(index)
            return np.array(part, dtype=self.space.dtype).reshape(self.space.shape)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where} = {part!r} is no member of {self.space}") from error

    def value(self, part: Any) -> Any:
        """Give what is set for a part of a task: an array of numbers, or a choice."""
        if isinstance(self.space, gym.spaces.Box):
            return np.array(part).reshape(self.shape)
        return self.choices[int(part)]


def read_parameters(table: Mapping[str, Any]) -> dict[str, TaskParameter]:
    """Read a table of task parameters, in the order of their names.

    Raises:
        ConfigError: it is empty, or one is not as the module's text says.

    """
    if not isinstance(table, Mapping) or not table:
        raise ConfigError("task must be a table with a table for each parameter that a task sets")
    return {name: _read(f"task parameter {name!r}", table[name]) for name in sorted(table)}


def space_of_tasks(parameters: Mapping[str, TaskParameter]) -> gym.Space[Any]:
    """Give the space of tasks: a single parameter's own, or of several a Dict by their names."""
    spaces = {name: parameter.space for name, parameter in parameters.items()}
    return next(iter(spaces.values())) if len(spaces) == 1 else gym.spaces.Dict(spaces)


def parts_of(parameters: Mapping[str, TaskParameter], task: Any) -> dict[str, Any]:
    """Give a task's part for each parameter, as its space has it.

    Raises:
        ConfigError: the task is of another kind than the parameters' tasks.

    """
    if len(parameters) == 1:
        ((name, parameter),) = parameters.items()
        return {name: parameter.member(task, "task")}
    if not isinstance(task, Mapping) or set(task) != set(parameters):
        raise ConfigError(f"task {task!r} must have exactly {', '.join(parameters)}")
    return {
        name: parameter.member(task[name], f"task {name}") for name, parameter in parameters.items()
    }


def joined(parts: Mapping[str, Any]) -> Any:
    """Give the task that has these parts."""
    return next(iter(parts.values())) if len(parts) == 1 else dict(parts)


def fixed_value(value: Any) -> Any:
    """Give a value of a table as it is set: lists of numbers as arrays, the rest as it is."""
    if isinstance(value, bool | str | Mapping):
        return value
    try:
        numbers = np.asarray(value)
    except ValueError:  # lists of several lengths
        return value
    return numbers if np.issubdtype(numbers.dtype, np.number) else value


def _read(where: str, row: Any) -> TaskParameter:
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where} = {row!r} must be a table")
    known = (*_TARGETS, *_GOES_WITH, *_SPACES)
    for key in row:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}")
    named = [key for key in _TARGETS if key in row]
    if len(named) != 1:
        raise ConfigError(f"{where} must name what it sets by one of {', '.join(_TARGETS)}")
    for key, target in _GOES_WITH.items():
        if key in row and target not in row:
            raise ConfigError(f"{where}: {key} goes with {target}, not with {named[0]}")
    for key in ("after_reset", "relative", "integer"):
        if not isinstance(row.get(key, False), bool):
            raise ConfigError(f"{where}: {key} = {row[key]!r} must be true or false")
    name = row[named[0]]
    if not isinstance(name, str):
        raise ConfigError(f"{where}: {named[0]} = {name!r} must be a name")
    return _with_space(where, row, _target(where, named[0], name, row))


def _target(
    where: str, kind: str, name: str, row: Mapping[str, Any]
) -> Attribute | Keyword | Option | ModelField:
    if kind == "keyword":
        return Keyword(name)
    if kind == "option":
        return Option(name)
    try:
        path = parse_path(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if kind == "attribute":
        return Attribute(path, row.get("after_reset", False))
    of = row.get("of")
    if of is not None and (isinstance(of, bool) or not isinstance(of, str | int)):
        raise ConfigError(f"{where}: of = {of!r} must be a name or an index")
    return ModelField(path, of, row.get("relative", False))


def _with_space(where: str, row: Mapping[str, Any], target: Any) -> TaskParameter:
    if "choices" in row:
        if set(row) & {"low", "high", "integer"}:
            raise ConfigError(f"{where} must have either choices or low and high")
        choices = row["choices"]
        if not isinstance(choices, list | tuple) or len(choices) < 2:
            raise ConfigError(f"{where}: choices = {choices!r} must be a list of two or more")
        values = tuple(map(fixed_value, choices))
        return TaskParameter(target, gym.spaces.Discrete(len(values)), choices=values)
    if not {"low", "high"} <= set(row):
        raise ConfigError(f"{where} must have low and high, or choices")
    low, high = (_numbers(where, end, row[end]) for end in ("low", "high"))
    if low.shape != high.shape or not (low < high).all():
        raise ConfigError(f"{where} must have low below high, of the same shape")
    integer = row.get("integer", False)
    if integer and not (np.equal(low, np.round(low)) & np.equal(high, np.round(high))).all():
        raise ConfigError(f"{where}: integer = true, but low or high is none")
    dtype: Any = np.int64 if integer else np.float64
    least, most = (np.atleast_1d(end).astype(dtype) for end in (low, high))
    return TaskParameter(target, gym.spaces.Box(least, most, dtype=dtype), shape=low.shape)


def _numbers(where: str, end: str, value: Any) -> np.ndarray:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {end} = {value!r} must be a number or numbers") from error
    if isinstance(value, str | bool) or not np.isfinite(numbers).all():
        raise ConfigError(f"{where}: {end} = {value!r} must be a finite number or finite numbers")
    return numbers
