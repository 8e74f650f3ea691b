"""SIGINT, SIGTERM and SIGHUP: heard at once, acted on where nothing can be torn.

The first signal ends the run, but only inside `Interruptions.allowed`: while metrics and
checkpoints are written, it waits. A second one ends the process at once.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType


class Interrupted(BaseException):
    """A signal came that ends the run."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.told = False
        """Whether the user has been told where the run was, and how it goes on."""

    @property
    def name(self) -> str:
        """The signal's name."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended."""
        return 128 + self.number


class Interruptions(contextlib.AbstractContextManager["Interruptions"]):
    """Listens to the signals between entering and leaving; one never entered hears nothing."""

    def __init__(self) -> None:
        self._came: int | None = None
        self._allowed = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruptions":
        if threading.current_thread() is threading.main_thread():  # others may not listen
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                before = signal.getsignal(number)
                if number == signal.SIGHUP and before is signal.SIG_IGN:
                    continue  # as nohup wants it
                self._before[number] = before
                signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let a signal raise Interrupted anywhere inside, one that has come already at once.

        Where something inside swallows the exception, it is raised on leaving.
        """
        self._allowed = True
        try:
            self.raise_if_any()
            yield
        finally:
            self._allowed = False
        self.raise_if_any()

    def raise_if_any(self) -> None:
        """Raise Interrupted if a signal has come, also where a library swallowed the exception."""
        if self._came is not None:
            raise Interrupted(self._came)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        for name in self._before:
            signal.signal(name, signal.SIG_DFL)
        self._came = number
        if self._allowed:
            raise Interrupted(number)
