"""What the command line prints to: a terminal or file that may be gone or full."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, cast

from rich.console import Console
from rich.progress import Progress

WIDTH_WITHOUT_TERMINAL = 120


def new_console(stream: Any = None) -> Console:
    """Make a console; without a terminal its width does not depend on where it runs."""
    console = Console(file=cast(Any, stream))
    if console.is_terminal:
        return console
    return Console(file=cast(Any, stream), width=WIDTH_WITHOUT_TERMINAL)


class Forgiving:
    """A stream whose writes may fail: what cannot be written is left out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def release(self) -> None:
        """Let go of what can never be written, so that leaving the process does not fail of it."""
        try:
            self._stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class TaskProgress:
    """A bar on a terminal for work on many tasks; elsewhere a line on standard error at times."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=None)
        self._quiet = not console.is_terminal
        self._said = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show what is being done, and how many of how many tasks are."""
        self._bar.update(self._task, description=what, completed=done, total=total)
        if self._quiet and total > _MANY and done - self._said >= total / _LINES:
            self._said = done
            print(f"{what}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def shown(self) -> Iterator["TaskProgress"]:
        """Show it inside."""
        with self._bar:
            yield self


_MANY = 100
"""Tasks from which on lines are said where there is no terminal."""
_LINES = 20
