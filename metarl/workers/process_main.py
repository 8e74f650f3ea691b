"""The child's side of a process pool, and what parent and child share: output and location."""

import contextlib
import ctypes
import faulthandler
import mmap
import multiprocessing
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from typing import Any

import torch

from metarl.foundation.device_errors import device_failure
from metarl.foundation.errors import MetarlError
from metarl.foundation.rollout_location import SIZE, RolloutLocation
from metarl.tasks.failed_episodes import FailedEpisode
from metarl.workers.replies import Reply, run_timed
from metarl.workers.shards import Shard, ShardSpec

CHILD_ENVIRONMENT = {
    # One thread for each worker: more make processes fight for cores, and change bits of results.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # glibc gives large blocks back to the kernel at once, and every tensor begins with page faults.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
DUMP_SIGNAL = signal.SIGUSR1
"""Has a worker write its Python stack to its standard error."""
_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 50
_TAIL_BYTES = 16 * 1024
_POLL_SECONDS = 0.2
_READ_SECONDS = 2.0


@dataclass(frozen=True)
class Failure:
    """An exception, as it travels."""

    text: str
    trace: str
    episode: FailedEpisode | None = None
    device_failure: str | None = None


def describe(error: Exception) -> Failure:
    """Turn the exception being handled into something that travels."""
    # Our own errors say all that is needed; others are told by their type as well.
    text = str(error) if isinstance(error, MetarlError) else f"{type(error).__name__}: {error}"
    episode = getattr(error, "episode", None)
    return Failure(text, traceback.format_exc(), episode, device_failure(error))


class Handle:
    """A file descriptor on its way to a child."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], "Handle"], tuple[Any]]:
        assert get_spawning_popen() is not None
        return _received, (DupFd(self._descriptor),)

    def detach(self) -> int:
        """Give the descriptor, in the child."""
        return self._descriptor


def _received(duplicate: Any) -> Handle:
    return Handle(duplicate.detach())


class SharedLocation:
    """RolloutLocation that a child writes and the parent reads, in memory without a name."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("metarl")
            os.ftruncate(self.descriptor, SIZE)
        else:
            with tempfile.TemporaryFile() as file:
                file.write(bytes(SIZE))  # room that is had can be written without a fault
                file.flush()
                self.descriptor = os.dup(file.fileno())
        self._map = mmap.mmap(self.descriptor, SIZE)
        self._view = memoryview(self._map)
        self.here = RolloutLocation(self._view)

    def close(self) -> None:
        """Give the memory back."""
        self.here.release()
        self._view.release()
        self._map.close()
        os.close(self.descriptor)


class OutputTail:
    """A pipe for a worker's standard output and error, of which the last lines are kept."""

    def __init__(self) -> None:
        self._reading, self.descriptor = os.pipe()
        self._tail = b""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def only_the_worker_writes(self) -> None:
        """Close the parent's own end, once the worker has it."""
        os.close(self.descriptor)
        self.descriptor = -1

    def text(self) -> str:
        """Give the last lines of a worker that is dead."""
        self._thread.join(_READ_SECONDS)  # it ends with the pipe
        lines = self._tail.decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def close(self) -> None:
        """Stop reading."""
        if self.descriptor >= 0:
            self.only_the_worker_writes()
        self._closed.set()
        self._thread.join()

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._reading], [], [], _POLL_SECONDS)
            data = os.read(self._reading, _TAIL_BYTES) if ready else b""
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
            # A process that the worker started may hold the pipe open for ever.
            if (ready and not data) or (not ready and self._closed.is_set()):
                break
        os.close(self._reading)


@contextlib.contextmanager
def environment_of_children() -> Iterator[None]:
    """Set the variables that a process reads as it starts, for as long as children are started."""
    before = {name: os.environ.get(name) for name in CHILD_ENVIRONMENT}
    os.environ.update(CHILD_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def serve(pipe: Connection, spec: ShardSpec, output: Handle, location: Handle) -> None:
    """Build the shard, then answer one request after the other until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent()
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # what the environments start can be ended with this process
    _write_to(output.detach())
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=False)
    torch.set_num_threads(1)
    try:
        memory = mmap.mmap(location.detach(), SIZE)
        shard = Shard(spec, RolloutLocation(memoryview(memory)))
        pipe.send(Reply([], {}))
    except Exception as error:
        pipe.send(describe(error))
        return
    with contextlib.suppress(EOFError, OSError):
        while (request := pipe.recv()) is not None:
            function, args = request
            try:
                pipe.send(run_timed(shard, function, args))
            except Exception as error:
                pipe.send(describe(error))
    shard.close()


def _write_to(descriptor: int) -> None:
    """Send standard output and error down a pipe; environments may write what they like."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="replace", closefd=False)


def _die_with_parent() -> None:
    """End this process when its parent dies.

    Linux does it by itself; elsewhere, and where a server forked this process, a thread watches.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and sys.platform == "linux" and os.getppid() == parent.pid:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch_parent, daemon=True).start()
    if parent is None or not parent.is_alive():  # it died before the kernel was told
        os._exit(1)


def _watch_parent() -> None:
    """End this process as its parent does, where the kernel does not."""
    watched = multiprocessing.parent_process()
    if watched is not None:
        wait([watched.sentinel])
    os._exit(1)
