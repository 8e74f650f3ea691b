"""Processes side by side, a few at a time, that are told to end when the caller has had enough."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from metarl.foundation.errors import RunFolderError
from metarl.workers.process_main import environment_of_children

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 120.0
"""For a process that is told to end: it may have to finish a step and save."""


@dataclass(frozen=True)
class Job:
    """One process: a module, and the line that it reads from its standard input."""

    module: str
    line: str
    log: Path
    """Gets what it says on standard error."""


class _Process:
    """A job at work."""

    def __init__(self, job: Job) -> None:
        self.job = job
        paths = [path or os.getcwd() for path in sys.path]
        with environment_of_children(), _opened(job.log) as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", job.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                process_group=0,  # Ctrl-C is the parent's to handle
            )
        assert process.stdin is not None
        assert process.stdout is not None
        # It stays open: when it closes, the process knows that nobody waits for it.
        self._process, self._stdin, self._answer = process, process.stdin, process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(job.line.encode() + b"\n")
            self._stdin.flush()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def failure(self) -> str:
        """Say why it failed, once it has ended; empty: it did not."""
        said, code = self._close(), self._process.returncode
        if said or code == 0:
            return said
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"its process ended by {how}; what it said: {self.job.log}"

    def end(self) -> None:
        if not self.has_ended():
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> str:
        """Let go of its ends; give what it answered."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        with self._answer:
            return self._answer.read().decode(errors="replace")


def _opened(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise RunFolderError(f"cannot write {log}: {error.strerror}") from error


def run_side_by_side(
    jobs: Sequence[Job],
    count: int,
    started: Callable[[Job], Any],
    ended: Callable[[Job, str], Any],
    working: Callable[[], Any],
) -> None:
    """Run jobs, so many at a time; one that fails does not stop the others.

    Each computes with one thread. If the caller is interrupted, all are told to end by SIGTERM, and
    waited for.

    Args:
        jobs: in the order in which they start.
        count: the most at a time.
        started: told of each as it starts.
        ended: told of each that has ended, and why it failed; empty: it did not.
        working: called several times a second.

    Raises:
        RunFolderError: a log cannot be written.

    """
    waiting, running = deque(jobs), list[_Process]()
    try:
        while waiting or running:
            while waiting and len(running) < count:
                running.append(_Process(waiting[0]))
                started(waiting.popleft())
            time.sleep(_POLL_SECONDS)
            for process in [it for it in running if it.has_ended()]:
                running.remove(process)
                ended(process.job, process.failure())
            working()
    finally:
        for process in running:
            process.end()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in running:
            process.wait(max(0.0, deadline - time.monotonic()))
