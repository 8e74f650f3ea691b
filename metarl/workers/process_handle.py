"""A worker process as its parent sees it."""

import contextlib
import multiprocessing
import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from metarl.workers.process_main import (
    DUMP_SIGNAL,
    Handle,
    OutputTail,
    SharedLocation,
    environment_of_children,
    serve,
)
from metarl.workers.shards import ShardSpec

_CLOSE_SECONDS = 2.0
_DUMP_SECONDS = 0.5
_TRANSFER_SECONDS = 60
_PRELOADED = "metarl.workers.process_main"
"""What a fork server imports once for all its workers, and torch with it."""


class ProcessHandle:
    """One worker, from its start to its end.

    Args:
        name: what to call it.
        spec: of its shard.
        start_method: how the process starts.
        preload: what a fork server imports besides torch.

    """

    def __init__(
        self, name: str, spec: ShardSpec, start_method: str, preload: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.location = SharedLocation()
        self.output = OutputTail()
        self.ready = False
        """Whether it has said that its shard is built."""
        self.jobs: deque[bytes] = deque()
        """Still to be sent, one at a time; the reply to the last is wanted."""
        self.attempts = 0
        context: Any = multiprocessing.get_context(start_method)
        if start_method == "forkserver":
            context.set_forkserver_preload([_PRELOADED, *preload])
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=serve,
            args=(
                theirs,
                spec,
                Handle(self.output.descriptor),
                Handle(self.location.descriptor),
            ),
            daemon=True,
        )
        try:
            with environment_of_children():
                self.process.start()
        except BaseException:
            self.output.close()
            self.location.close()
            raise
        finally:
            theirs.close()
        self.output.only_the_worker_writes()
        _bound_transfers(self.pipe)
        self.last_sign = time.monotonic()
        self._seen = b""

    def give(self, job: bytes) -> None:
        """Send a job, now or once the shard is built."""
        if self.ready:
            self.send(job)
        else:
            self.jobs.append(job)

    def send(self, job: bytes) -> None:
        """Send a job; a worker that cannot take it is found dead or hanging later."""
        self.last_sign = time.monotonic()
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(job)

    @property
    def pid(self) -> int:
        """Give the process id."""
        assert self.process.pid is not None
        return self.process.pid

    def silent_for(self) -> float:
        """Give the seconds since the last sign of life."""
        seen = bytes(self.location.here.numbers)
        if seen != self._seen:
            self._seen, self.last_sign = seen, time.monotonic()
        return time.monotonic() - self.last_sign

    def has_died(self) -> bool:
        """Tell whether it is dead and left no last word."""
        return not self.process.is_alive() and not self.pipe.poll()

    def kill(self) -> None:
        """End it, with the processes it started, which may outlive it."""
        # A dead worker's number may be another's by now, but not while its group has a process.
        if self.process.is_alive() or not _exists(self.pid):
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join(_CLOSE_SECONDS)

    def release(self) -> None:
        """Give back what the system lent for it; it must be dead."""
        with contextlib.suppress(ValueError):  # the kernel has not ended it yet
            self.process.close()
        self.pipe.close()
        self.output.close()
        self.location.close()

    def how_it_ended(self) -> str:
        """Say how it died, or that it stands in the middle of a reply."""
        self.process.join(_CLOSE_SECONDS)
        code = self.process.exitcode
        if code is None:
            return "stopped in the middle of a reply"
        if code >= 0:
            return f"ended with exit code {code}"
        how = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += ", perhaps because the machine ran out of memory"
        return how

    def stack(self) -> None:
        """Have a hanging worker write where its Python code stands."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid, DUMP_SIGNAL)
        time.sleep(_DUMP_SECONDS)

    def circumstances(self) -> str:
        """Say where it was, and what it wrote last."""
        where = self.location.here.describe()
        said = self.output.text()
        text = f" in {where}" if where else ""
        return text + (f"\n\nThe worker's last lines of output:\n{said}" if said else "")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _bound_transfers(pipe: Connection) -> None:
    """Let no transfer wait for ever for a process that was stopped in the middle of it."""
    limit = struct.pack("ll", _TRANSFER_SECONDS, 0)
    with socket.socket(fileno=os.dup(pipe.fileno())) as both_ways:
        both_ways.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        both_ways.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
