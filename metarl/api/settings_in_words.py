"""Settings of a configuration, an agent or a problem: values, defaults and what they mean."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from metarl.config.base import ExperimentConfig
from metarl.config.fields import meanings
from metarl.config.plugins import load_agent, load_problem
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """A value that can be set, and what it means."""

    name: str
    value: Any
    default: Any
    """None: it has none, or that is its default."""
    meaning: str

    @property
    def changed(self) -> bool:
        """Whether it is not the default."""
        return bool(self.value != self.default)


_SAID_ELSEWHERE = {"preset", "description", "source", "env_id", "problem", "agent", "published"}


def settings_of(config: ExperimentConfig) -> tuple[Setting, ...]:
    """Give the values of a configuration, and of the settings of its agent or problem."""
    own = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    leave_out = {*_SAID_ELSEWHERE, config.settings_field}
    found = settings_of_class(type(config), own, leave_out)
    try:
        kind = (
            load_problem(config.problem)
            if isinstance(config, SupervisedConfig)
            else load_agent(config.agent).settings
        )
    except ConfigError:  # which is said of the agent
        return found
    return found + settings_of_class(kind, config.settings)


def settings_of_class(
    kind: type[Any], values: Mapping[str, Any] | None = None, leave_out: Collection[str] = ()
) -> tuple[Setting, ...]:
    """Give the fields of a dataclass as settings, with their defaults where no value is given."""
    texts, given = meanings(kind), values or {}
    found = []
    for item in dataclasses.fields(kind):
        if item.name in leave_out:
            continue
        default = _default_of(item)
        value = given.get(item.name, default)
        found.append(Setting(item.name, _plain(value), _plain(default), texts.get(item.name, "")))
    return tuple(found)


def _default_of(item: Any) -> Any:
    """Give the default of a dataclass's field; None: it has none."""
    if item.default is not dataclasses.MISSING:
        return item.default
    return None if item.default_factory is dataclasses.MISSING else item.default_factory()


def _plain(value: Any) -> Any:
    """Give a value as JSON has it: a tuple as a list, a path as text."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return value if isinstance(value, str | int | float | None) else str(value)
