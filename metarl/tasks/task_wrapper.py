"""A wrapper that gives tasks to an environment that knows nothing of them.

`metarl.tasks.task_parameters` says what a task may set, `metarl.tasks.foreign_environments` makes
such environments by id.
"""

import copy
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.foundation.errors import ConfigError
from metarl.tasks.attribute_paths import as_argument, cast_like, find, natural, replace, same
from metarl.tasks.distribution import Task
from metarl.tasks.model_fields import ModelField, ModelFields
from metarl.tasks.task_parameters import (
    Attribute,
    Keyword,
    Option,
    fixed_value,
    joined,
    parts_of,
    read_parameters,
    space_of_tasks,
)

DECLARATIONS = ("observes_task", "fixed_start", "constant_observation")
"""What an environment may declare about itself for `metarl check`."""

Env = gym.Env[Any, Any]
Parts = dict[str, Any]
"""A task's part for each parameter, by name."""


class TaskWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose task sets attributes, keyword arguments, options or model fields.

    A task takes effect with the next reset. Until one is given it is the middle of the space.

    Args:
        environment: to be wrapped; if there is a `build`, what that gave for the middle of the
            space.
        task: a table of parameters, as `metarl.tasks.task_parameters` says.
        build: builds the environment with keyword arguments; only for parameters of that kind.
        options: of every reset, beside those that the task gives.
        declare: what it declares for `metarl check`, such as {"fixed_start": True}.

    Raises:
        ConfigError: the table is wrong, or does not fit the environment.

    """

    def __init__(
        self,
        environment: Env,
        task: Mapping[str, Any],
        build: Callable[[Mapping[str, Any]], Env] | None = None,
        options: Mapping[str, Any] | None = None,
        declare: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(environment)
        self._parameters = read_parameters(task)
        self.task_space = space_of_tasks(self._parameters)
        for name, value in (declare or {}).items():
            _require_declaration(name)
            setattr(self, name, value)
        self._parts = {name: each.default for name, each in self._parameters.items()}
        self._options = {name: fixed_value(value) for name, value in (options or {}).items()}
        self._build = build
        self._built_for = self._of(Keyword)
        if self._built_for and build is None:
            raise ConfigError(
                f"task parameter {next(iter(self._built_for))!r} is a keyword of the constructor: "
                "give the environment's id instead of an instance, so that it can be built anew"
            )
        self._fields: ModelFields | None = None
        self._fields_for: Parts = {}
        self._fields_hold: list[np.ndarray] = []
        self._attributes = tuple(self._of(Attribute))
        self._attributes_hold: Parts = {}
        for name in self._attributes:
            # What reset makes is not there yet.
            if not (self._target(name).after_reset and not self._has(name)):
                self._set_attribute(name)
        self._set_fields()

    @property
    def task(self) -> Task:
        """The current task."""
        return joined(self._parts)

    @task.setter
    def task(self, task: Task) -> None:
        self._parts = parts_of(self._parameters, task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode of the task, which `options["task"]` gives, or else stays as it was.

        Raises:
            ConfigError: the reset itself overwrites what the task sets.

        """
        passed = {**self._options, **(options or {})}
        if "task" in passed:
            self.task = passed.pop("task")
        for name in self._of(Option):
            passed[self._target(name).name] = natural(self._value(name))
        if self._built_for:
            self._rebuild()
        for name in self._attributes:
            if not self._target(name).after_reset or self._has(name):
                self._set_attribute(name)
        self._set_fields()
        started = self.env.reset(seed=seed, options=passed or None)
        self._settle_attributes()
        self._check_fields()
        return started

    def _of(self, kind: type[Any]) -> Parts:
        """Give the parts of the task that one kind of target takes."""
        return {
            name: self._parts[name]
            for name, parameter in self._parameters.items()
            if isinstance(parameter.target, kind)
        }

    def _target(self, name: str) -> Any:
        return self._parameters[name].target

    def _value(self, name: str) -> Any:
        return self._parameters[name].value(self._parts[name])

    def _rebuild(self) -> None:
        """Build the environment anew if the task changes a keyword argument."""
        parts = self._of(Keyword)
        assert self._build is not None
        if _equal(parts, self._built_for):
            return
        new = self._build(
            {self._target(name).name: as_argument(self._value(name)) for name in parts}
        )
        for space in ("observation_space", "action_space"):
            if getattr(new, space) != getattr(self.env, space):
                new.close()
                raise ConfigError(
                    f"{space} depends on the keyword {' or '.join(parts)}, and a policy needs one: "
                    f"{getattr(self.env, space)} became {getattr(new, space)}"
                )
        # Random numbers go on where they were, for a reset that gives no seed.
        new.unwrapped._np_random = self.env.unwrapped._np_random
        new.unwrapped.spec = self.env.unwrapped.spec
        self.env.close()
        self.env = new
        self._built_for = parts
        self._fields = None

    def _has(self, name: str) -> bool:
        try:
            find(self.env.unwrapped, self._target(name).path, "")
        except ConfigError:
            return False
        return True

    def _set_attribute(self, name: str) -> None:
        world, target = self.env.unwrapped, self._target(name)
        try:
            present = find(world, target.path, type(world).__name__)
            value = cast_like(self._value(name), present, str(target))
            self._attributes_hold[name] = value
            # What the environment gets it may write into.
            replace(world, target.path, copy.copy(value))
        except (ConfigError, AttributeError) as error:  # a property without a setter
            raise ConfigError(f"task parameter {name!r}: {error}") from error

    def _settle_attributes(self) -> None:
        """Find what the reset has overwritten; set again what is meant to be set after it."""
        world = self.env.unwrapped
        for name in self._attributes:
            target = self._target(name)
            if target.after_reset:
                self._set_attribute(name)
                continue
            present = find(world, target.path, type(world).__name__)
            if not same(present, self._attributes_hold[name]):
                raise ConfigError(
                    f"task parameter {name!r}: reset of {type(world).__name__} itself overwrites "
                    f"{target} with {present!r}; add after_reset = true to set it after reset too"
                )

    def _set_fields(self) -> None:
        """Set the model's fields, if the task or the model is another."""
        parts = self._of(ModelField)
        if not parts or (self._fields is not None and _equal(parts, self._fields_for)):
            return
        world: Any = self.env.unwrapped
        if not hasattr(world, "model"):
            raise ConfigError(
                f"task parameter {next(iter(parts))!r} is a model field, and "
                f"{type(world).__name__} has no MuJoCo model as its attribute 'model'"
            )
        try:
            if self._fields is None:
                self._fields = ModelFields(world.model, [self._target(name) for name in parts])
            self._fields.apply([self._value(name) for name in parts])
        except ConfigError as error:
            raise ConfigError(f"task parameters {', '.join(parts)}: {error}") from error
        self._fields_for, self._fields_hold = parts, self._fields.values()

    def _check_fields(self) -> None:
        if self._fields is None:
            return
        now = self._fields.values()
        for name, expected, found in zip(self._fields_for, self._fields_hold, now, strict=True):
            if not np.array_equal(expected, found):
                raise ConfigError(
                    f"task parameter {name!r}: reset of {type(self.env.unwrapped).__name__} itself "
                    f"overwrites {self._target(name)}, so that no task can set it"
                )


def _equal(one: Parts, other: Parts) -> bool:
    return all(same(one[name], other[name]) for name in one)


def _require_declaration(name: str) -> None:
    if name not in DECLARATIONS:
        near = get_close_matches(name, DECLARATIONS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(DECLARATIONS)}"
        raise ConfigError(f"nothing named {name!r} can be declared; {hint}")
