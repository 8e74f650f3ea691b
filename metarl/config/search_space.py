"""What a search for hyperparameters varies: fields of a run, each in a span or over choices.

0.01..1        a span of numbers
0.01..1:log    the same on a logarithmic scale
relu,tanh      choices, each written as the field's flag takes it
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import tyro

from metarl.config.base import ExperimentConfig
from metarl.foundation.errors import ConfigError

FORMS = "FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C"
"""How to write what a field is varied over."""
_SPAN = re.compile(r"(.*?)\.\.(.*?)(:log)?")
_LOG_TEXT = ":log"
_TESTED = "test_"
_BUDGET = "is the budget, which all trials share"
_COMPUTES = "says how the run is computed, not what is learned"
_OTHER_TASKS = "decides on the tasks, and so on what the score measures"
_NOT_VARIED = {
    "seed": "is not a matter of better or worse; to train each trial with several, give the seeds",
    "iterations": _BUDGET,
    "env_steps": _BUDGET,
    "agent": "decides which settings there are; tune each agent by itself",
    "training_tasks": _OTHER_TASKS,
    "observe_task": _OTHER_TASKS,
    "shots": _OTHER_TASKS,
    "device": _COMPUTES,
    "dtype": _COMPUTES,
    "physics": _COMPUTES,
    "record_interval": _COMPUTES,
}
"""Fields that may not be varied, and why."""


@dataclass(frozen=True)
class Span:
    """All numbers from one to another."""

    low: int | float
    high: int | float
    log: bool = False
    """Equal ratios are equally probable, not equal differences."""

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"{self.low!r}..{self.high!r}{_LOG_TEXT * self.log}"

    @property
    def ends(self) -> tuple[Any, ...]:
        """What the field must be able to take."""
        return (self.low, self.high)

    def to_table(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Choices:
    """A few values."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Write it as it is read."""
        return ",".join(map(as_text, self.values))

    @property
    def ends(self) -> tuple[Any, ...]:
        """What the field must be able to take."""
        return self.values

    def to_table(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return {"choices": list(self.values)}


Variation = Span | Choices
Space = Mapping[str, Variation]
"""By the field's name, in alphabetical order."""


def as_text(value: Any) -> str:
    """Write a value as the field's flag takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return " ".join(map(as_text, value))
    return value if isinstance(value, str) else repr(value)


def read_space(vary: Mapping[str, Any], config: ExperimentConfig, settings: Any) -> Space:
    """Read what is varied.

    Args:
        vary: by the field's name a text, or a list of choices.
        config: of the run.
        settings: of the agent or the problem, a dataclass.

    Raises:
        ConfigError: nothing is varied; there is no such field (the nearest is named), or it may not
            be varied; the text is neither a span nor choices of the field's type.

    """
    if not vary:
        raise ConfigError(f"name what to vary: {FORMS}")
    kinds = _types_of_fields(config, settings)
    space: dict[str, Variation] = {}
    for name in sorted(vary):
        if name not in kinds:
            near = get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see the flags of metarl train PRESET"
            raise ConfigError(f"vary {name}: there is no field {name!r} that a flag sets; {hint}")
        if reason := _reason_against(name, config):
            raise ConfigError(f"vary {name}: this field {reason}")
        try:
            space[name] = _variation(vary[name], kinds[name])
        except ConfigError as error:
            raise ConfigError(f"vary {name} = {vary[name]!r}: {error}") from error
    return space


def _types_of_fields(config: ExperimentConfig, settings: Any) -> dict[str, Any]:
    """Give the type of each field that is a flag."""
    found = {}
    for owner in (config, settings):
        hints = get_type_hints(type(owner), include_extras=True)
        for item in dataclasses.fields(owner):
            hint = hints[item.name]
            marks = getattr(hint, "__metadata__", ())
            if tyro.conf.Suppress not in marks:
                found[item.name] = get_args(hint)[0] if marks else hint
    return found


def _reason_against(name: str, config: ExperimentConfig) -> str:
    """Say why a field may not be varied; empty: it may."""
    if name in _NOT_VARIED:
        return _NOT_VARIED[name]
    of_tasks = name in config.same_tasks
    if of_tasks or (config.settings_field in config.same_tasks and name in config.settings):
        return _OTHER_TASKS
    if name in config.may_change_on_resume:
        return _COMPUTES
    return "is for evaluations alone, and no trial is evaluated" * name.startswith(_TESTED)


def _variation(wanted: Any, kind: Any) -> Variation:
    if isinstance(wanted, str):
        numeric = _plain(kind) in (int, float)
        if found := _SPAN.fullmatch(wanted) if numeric or _is_span(wanted) else None:
            if not numeric:
                raise ConfigError("this field takes no number; list choices, as FIELD=A,B,C")
            low, high, log = found.groups()
            return _span(low, high, bool(log), _plain(kind))
        return _choices([_read(part.strip(), kind) for part in wanted.split(",")])
    if isinstance(wanted, Sequence):
        return _choices([_converted(value, kind) for value in wanted])
    raise ConfigError("must be a text, as LOW..HIGH, or a list of choices")


def _is_span(text: str) -> bool:
    """Say whether a text reads as a span of numbers, where a field takes other texts."""
    return re.fullmatch(r"[-+\d.eE]+\.\.[-+\d.eE]+(:log)?", text) is not None


def _span(low: str, high: str, log: bool, kind: Any) -> Span:
    found = Span(_read(low, kind), _read(high, kind), log)
    if not found.low < found.high:
        raise ConfigError(f"{found.low!r} is not below {found.high!r}")
    if found.log and found.low <= 0:
        raise ConfigError(f"on a logarithmic scale {found.low!r} must be above 0")
    return found


def _choices(values: list[Any]) -> Choices:
    texts = [as_text(value) for value in values]
    for text in texts:
        if texts.count(text) > 1:
            raise ConfigError(f"{text!r} is there twice")
    if len(values) < 2:
        raise ConfigError(f"one value is nothing to vary; write {FORMS}")
    return Choices(tuple(values))


def _plain(kind: Any) -> Any:
    """Give the type of what a field holds; of one that may be None, the other."""
    return get_args(kind)[0] if get_origin(kind) is UnionType else kind


def _read(text: str, kind: Any) -> Any:
    """Read a value as the field's flag would."""
    kind = _plain(kind)
    if not text:
        raise ConfigError("a value is missing")
    if kind is bool:
        if text not in ("true", "false"):
            raise ConfigError(f"{text!r} must be true or false")
        return text == "true"
    if kind in (int, float):
        return _number(text, kind)
    if get_origin(kind) is tuple:
        return tuple(_read(part, get_args(kind)[0]) for part in text.split())
    return text


def _number(text: str, kind: Any) -> Any:
    try:
        value = kind(text)
    except ValueError as error:
        said = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{text!r} is not {said}") from error
    if not math.isfinite(value):
        raise ConfigError(f"{text!r} is not finite")
    return value


def _converted(value: Any, kind: Any) -> Any:
    """Give a value of Python's as the field holds it."""
    if isinstance(value, list):
        return tuple(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and _plain(kind) is float else value


def flags_of(
    fields: Mapping[str, Any], config: ExperimentConfig, settings: Any
) -> list[str] | None:
    """Give the flags of `metarl train` that set some fields; None: one of them has no flag.

    Args:
        fields: values by name.
        config: that has the fields.
        settings: of the agent or the problem, a dataclass.

    """
    kinds = _types_of_fields(config, settings)
    flags = []
    for name, value in fields.items():
        if name not in kinds:
            return None
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple | list):
            flags += [f"--{flag}", *map(as_text, value)]
        else:
            flags += [f"--{flag}", as_text(value)]
    return flags
