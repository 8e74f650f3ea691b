"""A configuration as the text of a preset's file."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from metarl.config.base import ExperimentConfig
from metarl.foundation.errors import ConfigError

_NAMED_BY_THE_FILE = "preset"


def preset_text(config: ExperimentConfig) -> str:
    """Give TOML that `metarl train FILE.toml` reads as the same configuration.

    Raises:
        ConfigError: a table holds what TOML cannot, which no preset's does.

    """
    table = dataclasses.asdict(config)
    del table[_NAMED_BY_THE_FILE]
    settings = table.pop(config.settings_field)
    lines = _lines(table)
    if settings:
        lines += ["", f"[{config.settings_field}]", *_lines(settings)]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items()]


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(name)} = {_value(it)}' for name, it in value.items())}}}"
    raise ConfigError(f"{value!r} cannot be written in a preset")


def _text(text: str) -> str:
    # Its escapes are those of TOML, but for one sign that TOML wants escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
