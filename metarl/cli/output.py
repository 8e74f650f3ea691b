"""What the command line prints to: a terminal or file that may be gone or full."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from rich.console import Console
from rich.progress import Progress

from metarl.foundation.messages import say
from metarl.runs.interruptions import Interruptions

WIDTH_WITHOUT_TERMINAL = 120


def new_console(stream: Any = None) -> Console:
    """Make a console; without a terminal its width does not depend on where it runs."""
    console = Console(file=cast(Any, stream), emoji=False)
    if console.is_terminal:
        return console
    return Console(file=cast(Any, stream), width=WIDTH_WITHOUT_TERMINAL, emoji=False)


def print_line(console: Console, text: str) -> None:
    """Print a line as it is: names and paths may have what rich would read as markup."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


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


@contextlib.contextmanager
def passing_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on a terminal inside; give what is told what is done, and how much of how much."""
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("starting", total=None)

    def show(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total)

    with bar:
        yield show


_MANY = 100
"""Tasks from which on lines are said where there is no terminal."""
_SECONDS = 5.0
"""Between two such lines."""


class TaskProgress:
    """A bar on a terminal for work on many tasks; elsewhere a line on standard error at times."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=None)
        self._says_lines = not console.is_terminal
        self._said_at = -math.inf
        self._interruptions = Interruptions()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show what is being done, and how many of how many tasks are.

        Raises:
            Interrupted: the user has had enough.

        """
        self._interruptions.raise_if_any()
        self._bar.update(self._task, description=what, completed=done, total=total)
        now = time.monotonic()
        if self._says_lines and total > _MANY and now - self._said_at >= _SECONDS:
            self._said_at = now
            say(f"{what}: {done:,} of {total:,} tasks done")

    @contextlib.contextmanager
    def shown(self) -> Iterator["TaskProgress"]:
        """Show it inside, where a signal ends the work."""
        with self._interruptions, self._interruptions.allowed(), self._bar:
            yield self
