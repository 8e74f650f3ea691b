"""Fields of configurations: checked on construction, read from tables of TOML and JSON."""

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from metarl.foundation.errors import ConfigError

V = TypeVar("V")
NotAFlag = Annotated[V, tyro.conf.Suppress]
"""A field that the command line does not show."""

Dtype = Literal["float32", "float64"]


def require(owner: object, name: str, good: bool, reason: str) -> None:
    """Raise ConfigError, quoting field, value and reason, unless the field's value is good."""
    if not good:
        raise ConfigError(f"{name} = {getattr(owner, name)!r} {reason}")


def read_fields(kind: type[Any], table: Mapping[str, Any], origin: str) -> Any:
    """Build a configuration dataclass from a table of values, as TOML or JSON gives them.

    Args:
        kind: the dataclass; `Config`, or the settings of an agent.
        table: values by field name.
        origin: where the table comes from, for messages.

    Raises:
        ConfigError: an unknown key (the nearest field is named), a missing or an impossible value.

    """
    fields = {item.name: item for item in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in fields:
            near = get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(fields)}"
            raise ConfigError(f"{origin}: unknown key {key!r}; {hint}")
        values[key] = _convert(value, hints[key], f"{origin}: {key}")
    required = [
        name
        for name, item in fields.items()
        if item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
        and name not in values
    ]
    if required:
        raise ConfigError(f"{origin}: missing {', '.join(required)}")
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Check a value against a field's type; integers pass for floats and lists for tuples."""
    if hint is Any:
        return value
    if get_origin(hint) is UnionType:  # a kind, or None, which no table holds
        hint = get_args(hint)[0]
    value = _plain(value)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} = {value!r} must be a list")
        return tuple(_convert(item, get_args(hint)[0], where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{where} is too large") from error
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where} = {value!r} must be one of {', '.join(get_args(hint))}")
        return value
    expected: Any = get_origin(hint) or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        name = getattr(expected, "__name__", expected)
        raise ConfigError(f"{where} = {value!r} must be of type {name}")
    return value


def _plain(value: Any) -> Any:
    """Give Python's own number for one of another library's, such as numpy's."""
    if isinstance(value, Integral):
        return value if isinstance(value, int) else int(value)
    return float(value) if isinstance(value, Real) else value


def converted(kind: type[Any], name: str, value: Any, said: str) -> Any:
    """Give a value as a field of a dataclass holds it.

    Args:
        kind: the dataclass.
        name: the field's.
        value: of a type that Python or TOML has for such a field.
        said: what the caller names it, for messages.

    Raises:
        ConfigError: it is of another type.

    """
    return _convert(value, get_type_hints(kind)[name], said)


def meanings(kind: type[Any]) -> dict[str, str]:
    """Give the text under each field of a dataclass and of those it extends, by the field's name.

    A class whose source is not at hand has none.
    """
    found = {}
    for each in reversed(kind.__mro__):
        try:
            (read,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        except (OSError, TypeError, SyntaxError):
            continue
        for field, text in pairwise(getattr(read, "body", [])):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    found[name] = " ".join(words.split())
    return found
