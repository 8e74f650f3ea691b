"""Arguments by tyro, its complaints as one line."""

import contextlib
import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from metarl.foundation.errors import ConfigError

T = TypeVar("T")

# What tyro frames its box with, in Unicode or, where the terminal has none, in ASCII.
_SIDES = " │|╰╯"
_RULE = "─-"
_SUGGESTION = "Perhaps you meant:"


def parse(
    kind: Callable[..., T],
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
    lines = [line.strip(_SIDES) for line in complaint.splitlines()[1:]]  # without the title
    lines = [line if line.strip(_RULE) else "" for line in lines]
    message = list(itertools.takewhile(bool, itertools.dropwhile(lambda line: not line, lines)))
    text = " ".join(message)
    if _SUGGESTION in lines:
        following = lines[lines.index(_SUGGESTION) + 1]
        text += f"; did you mean {re.split(r'[ ,]', following)[0]}?"
    return f"{text}; see `{prog} --help`"


def parse_task(text: str) -> Any:
    """Read a task that the user gave as JSON; None for nothing.

    Raises:
        ConfigError: it is no JSON.

    """
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"task = {text!r} is not a task: {error}") from error
