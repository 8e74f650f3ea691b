"""The pool: where shards live, and the map over them.

`InProcess` runs one shard here; `ProcessPool` runs each in a spawned process of its own;
`metarl.ray_workers.RayWorkers` runs each in an actor of a Ray cluster. All give the same numbers,
to the last bit. Results come back in task order.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from metarl.errors import MetarlError, WorkerError
from metarl.shards import Shard, ShardSpec, Workers, run_timed
from metarl.stopwatch import PhaseSeconds, Profile

R = TypeVar("R")

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
_POLL_SECONDS = 1.0
_CLOSE_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1


def partition(tasks: int, workers: int) -> list[range]:
    """Cut the task indices into contiguous ranges whose lengths differ by at most one."""
    size, longer = divmod(tasks, workers)
    starts = [worker * size + min(worker, longer) for worker in range(workers + 1)]
    return [range(start, stop) for start, stop in pairwise(starts)]


def start_workers(spec: ShardSpec, count: int | str) -> Workers:
    """Start workers, at most one for each task; one alone runs in this process.

    Args:
        spec: what all shards have in common, with the task indices of the whole meta-batch.
        count: how many on this machine; or "ray" or a Ray cluster's address, for one on each of
            the cluster's CPUs.

    Raises:
        ConfigError: there is no Ray, or no cluster at the address.
        WorkerError: a worker could not build its shard.

    """
    if isinstance(count, str):
        from metarl.ray_workers import RayWorkers  # Ray is heavy, and an extra

        return RayWorkers(spec, count)
    parts = cut(spec, count)
    return InProcess(spec) if len(parts) == 1 else ProcessPool(parts)


def cut(spec: ShardSpec, workers: int) -> list[ShardSpec]:
    """Cut the tasks into a shard for each worker, at most one for each task."""
    ranges = partition(len(spec.task_indices), min(workers, len(spec.task_indices)))
    return [replace(spec, task_indices=part) for part in ranges]


class InProcess:
    """All tasks in one shard, in this process."""

    count = 1

    def __init__(self, spec: ShardSpec) -> None:
        self._name = worker_name(0, spec.task_indices)
        try:
            self._shard = Shard(spec)
        except Exception as error:
            raise failure_of(self._name, describe(error)) from error
        self._profile = Profile()
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def map(self, function: Callable[..., list[R]], *args: Any) -> list[R]:
        """Run `function(shard, *args)`.

        Raises:
            WorkerError: the function raised.

        """
        try:
            results, phases = run_timed(self._shard, function, args)
        except Exception as error:
            raise failure_of(self._name, describe(error)) from error
        self._profile.add(sum(phases.values()), [phases])
        return results

    def take_profile(self) -> PhaseSeconds:
        """Give the seconds that maps took since last asked, by phase."""
        return self._profile.take()

    def close(self) -> None:
        """Close the environments and give torch its threads back."""
        self._shard.close()
        torch.set_num_threads(self._threads)


@dataclass(frozen=True)
class Failure:
    """An exception, as it travels."""

    text: str
    trace: str


def describe(error: Exception) -> Failure:
    """Turn the exception being handled into something that travels."""
    # Our own errors say all that is needed; others are told by their type as well.
    text = str(error) if isinstance(error, MetarlError) else f"{type(error).__name__}: {error}"
    return Failure(text, traceback.format_exc())


def failure_of(name: str, failure: Failure) -> WorkerError:
    """Give the error that tells the user of a worker's failure."""
    return WorkerError(
        f"{name} failed: {failure.text}\n\nThe worker's traceback:\n{failure.trace.rstrip()}"
    )


def worker_name(worker: int, tasks: range) -> str:
    """Name a worker and its tasks."""
    return f"worker {worker} (tasks {tasks.start} to {tasks.stop - 1})"


class ProcessPool:
    """A shard in each of several spawned processes, one duplex pipe to each."""

    def __init__(self, specs: list[ShardSpec]) -> None:
        self.count = len(specs)
        self._ranges = [spec.task_indices for spec in specs]
        self._profile = Profile()
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        context = multiprocessing.get_context("spawn")
        try:
            with _environment_of_children():
                for spec in specs:
                    ours, theirs = context.Pipe()
                    process = context.Process(
                        target=_serve, args=(theirs, spec, os.getpid()), daemon=True
                    )
                    self._pipes.append(ours)
                    process.start()
                    self._processes.append(process)
                    theirs.close()
            self._gather()
        except BaseException:
            self._kill()
            raise

    def map(self, function: Callable[..., list[R]], *args: Any) -> list[R]:
        """Run `function(shard, *args)` in every worker at once.

        Raises:
            WorkerError: a worker raised or died. The pool cannot be used any more.

        """
        started = time.perf_counter()
        try:
            for pipe in self._pipes:
                # A pipe to a dead worker: _gather finds the death and says how it came.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    pipe.send((function, args))
            replies = self._gather()
        except BaseException:
            self._kill()
            raise
        self._profile.add(time.perf_counter() - started, [phases for _, phases in replies])
        return [result for results, _ in replies for result in results]

    def take_profile(self) -> PhaseSeconds:
        """Give the seconds that maps took since last asked, by phase."""
        return self._profile.take()

    def close(self) -> None:
        """Ask the workers to leave, then make them."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
        self._kill()

    def _gather(self) -> list[tuple[list[Any], PhaseSeconds]]:
        """Wait for one reply of each worker; give them in the workers' order."""
        replies: dict[int, tuple[list[Any], PhaseSeconds]] = {}
        while len(replies) < self.count:
            waiting = [worker for worker in range(self.count) if worker not in replies]
            handles: list[Any] = [self._pipes[worker] for worker in waiting]
            handles += [self._processes[worker].sentinel for worker in waiting]
            wait(handles, timeout=_POLL_SECONDS)
            for worker in waiting:
                # A worker that died may have left a last word, so the pipe is read first.
                if self._pipes[worker].poll():
                    replies[worker] = self._receive(worker)
                elif not self._processes[worker].is_alive() and not self._pipes[worker].poll():
                    raise WorkerError(self._obituary(worker))
        return [replies[worker] for worker in range(self.count)]

    def _receive(self, worker: int) -> tuple[list[Any], PhaseSeconds]:
        try:
            reply = self._pipes[worker].recv()
        except (EOFError, ConnectionResetError) as error:
            self._processes[worker].join(_CLOSE_SECONDS)
            raise WorkerError(self._obituary(worker)) from error
        if isinstance(reply, Failure):
            raise failure_of(worker_name(worker, self._ranges[worker]), reply)
        results, phases = reply
        return results, phases

    def _obituary(self, worker: int) -> str:
        code = self._processes[worker].exitcode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += ", perhaps because the machine ran out of memory"
        else:
            how = f"ended with exit code {code}"
        return f"{worker_name(worker, self._ranges[worker])} {how}; continue the run with --resume"

    def _kill(self) -> None:
        for process in self._processes:
            if process.is_alive():
                process.kill()
        for process in self._processes:
            process.join()
            process.close()
        for pipe in self._pipes:
            pipe.close()
        self._processes, self._pipes = [], []


@contextlib.contextmanager
def _environment_of_children() -> Iterator[None]:
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


def _serve(pipe: Connection, spec: ShardSpec, parent: int) -> None:
    """Build the shard, then answer one request after the other until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with(parent)
    torch.set_num_threads(1)
    try:
        shard = Shard(spec)
        pipe.send(([], {}))
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


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, where the kernel can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)
