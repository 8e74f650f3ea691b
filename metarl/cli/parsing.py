"""Arguments by tyro, its complaints as one line."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from metarl.errors import ConfigError

T = TypeVar("T")

_BOX = re.compile(r"[╭╮╰╯│─]+")
_SUGGESTION = "Perhaps you meant:"


def parse(
    kind: type[T],
    argv: Sequence[str],
    prog: str,
    description: str,
    default: Any = tyro.MISSING_NONPROP,
) -> T:
    """Parse arguments into a dataclass.

    Args:
        kind: the dataclass.
        argv: the arguments.
        prog: the command, for help.
        description: text at the top of the help.
        default: an instance that gives the default of every field, in place of the class's.

    Raises:
        ConfigError: the arguments do not fit, in one line.
        SystemExit: with code 0, after help was printed.

    """
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            parsed: T = tyro.cli(
                kind, args=list(argv), prog=prog, description=description, default=default
            )
    except SystemExit as error:
        if not error.code:
            raise
        raise ConfigError(_one_line(complaints.getvalue(), prog)) from None
    return parsed


def _one_line(complaint: str, prog: str) -> str:
    """Take what matters out of tyro's box: the first paragraph and the first suggestion."""
    lines = [_BOX.sub("", line).strip() for line in complaint.splitlines()]
    content = [line for line in lines[1:] if line]  # the first line is the box's title
    message: list[str] = []
    for line in lines[1:]:
        if not line:
            break
        message.append(line)
    text = " ".join(message)
    if _SUGGESTION in content and content.index(_SUGGESTION) + 1 < len(content):
        near = content[content.index(_SUGGESTION) + 1].split(",")[0].split()[0]
        text += f"; did you mean {near}?"
    return f"{text}; see `{prog} --help`"
