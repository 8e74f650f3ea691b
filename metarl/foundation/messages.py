"""What a program says beside its results, to a terminal or file that may be gone or full."""

import contextlib
import sys

_said: set[str] = set()


def say(text: str) -> None:
    """Say something on standard error, if there still is one."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def say_once(text: str) -> None:
    """Say something that this process has not said yet."""
    if text not in _said:
        _said.add(text)
        say(text)
