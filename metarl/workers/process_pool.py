"""A pool of spawned processes, each with a shard, that survives the loss of its workers.

A worker may be killed, crash, or hang. It is replaced, and the new one repeats what was mapped
since the last function that starts anew, from the same random streams: the numbers stay the same.
"""

import contextlib
import multiprocessing
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Literal, TypeVar

from metarl.foundation.errors import WorkerError
from metarl.foundation.messages import say
from metarl.foundation.stopwatch import PhaseSeconds, Profile
from metarl.tasks.failed_episodes import FailedEpisode
from metarl.tasks.single_environments import resident_bytes
from metarl.workers.process_handle import ProcessHandle
from metarl.workers.process_main import Failure
from metarl.workers.replies import Reply
from metarl.workers.shards import ShardSpec

R = TypeVar("R")

CONSTRUCTION = "the construction of its environments"
"""What the first job of every worker is called."""
RETRIES = 2
"""How often one job is given to a new worker after the loss of the one before."""
FIRST_PATIENCE_SECONDS = 300.0
LEAST_PATIENCE_SECONDS = 60.0
PATIENCE_FACTOR = 20
"""A worker is silent for too long after so many times the median duration of such jobs."""
_REMEMBERED = 50
_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Supervision:
    """How a pool deals with the workers it loses."""

    timeout: float = 0.0
    """Seconds without a sign of life after which a worker counts as hanging; 0: chosen from how
    long jobs took so far."""
    restarts: int = 100
    """The most workers to be replaced in the life of a pool."""
    memory: int = 0
    """Bytes above which a worker is replaced between two iterations; 0: no limit."""
    report: Callable[[str], None] = lambda text: say(f"metarl: {text}")
    """Told of every worker replaced, and of every task left out."""
    report_episode: Callable[[FailedEpisode], None] = lambda episode: None
    """Told of every episode that failed and was left out."""
    start_method: Literal["spawn", "forkserver"] = "spawn"
    """How processes start; `forkserver` takes a moment, where `spawn` imports torch for seconds."""
    preload: tuple[str, ...] = ()
    """Modules that a fork server imports besides torch, once for all workers of this process."""

    def patience(self, durations: Collection[float]) -> float | None:
        """Give the seconds after which a worker counts as hanging; None: nothing is known.

        Args:
            durations: what such jobs took so far, in seconds.

        """
        if self.timeout > 0:
            return self.timeout
        if not durations:
            return None
        return max(LEAST_PATIENCE_SECONDS, PATIENCE_FACTOR * statistics.median(durations))

    def tell(self, reply: Reply) -> None:
        """Report the tasks that a reply left out."""
        for episode in reply.left_out:
            self.report(f"left out {episode.reason}")
            self.report_episode(episode)


def remembered_durations() -> defaultdict[str, deque[float]]:
    """Give room for the seconds that the newest jobs took, by their name."""
    return defaultdict(lambda: deque(maxlen=_REMEMBERED))


def refuse_imported_script() -> None:
    """Refuse to work in a worker that imports the script which started it.

    Raises:
        WorkerError: that is what is happening.

    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise WorkerError(
            "this script starts workers as it is imported, and every worker imports it again; "
            'put what the script does under `if __name__ == "__main__":`'
        )


class ProcessPool:
    """A shard in each of several processes, one duplex pipe to each.

    Args:
        specs: of each worker's shard.
        names: what to call each worker.
        supervision: what to do about lost workers.

    Raises:
        WorkerError: a worker could not build its shard.

    """

    def __init__(self, specs: list[ShardSpec], names: list[str], supervision: Supervision) -> None:
        refuse_imported_script()
        self.count = len(specs)
        self._specs, self._names, self._supervision = specs, names, supervision
        self._profile = Profile()
        self._durations = remembered_durations()
        self._restarts = 0
        self._calls: list[bytes] = []
        """What was mapped since the last function that starts anew."""
        self._workers: list[ProcessHandle] = []
        try:
            for name, spec in zip(names, specs, strict=True):
                self._workers.append(self._start(name, spec))
            self._gather(CONSTRUCTION, [])
        except BaseException:
            self._end()
            raise

    def map(self, function: Callable[..., list[R]], *args: Any) -> list[R]:
        """Run `function(shard, *args)` in every worker at once.

        Raises:
            WorkerError: the function raised, or a worker was lost again and again. The pool cannot
                be used any more, unless what was to be sent cannot be pickled.

        """
        started = time.perf_counter()
        try:
            call = bytes(ForkingPickler.dumps((function, args)))
        except Exception as error:
            raise WorkerError(
                f"{function.__name__} or its arguments cannot be sent to workers: {error}"
            ) from error
        try:
            if getattr(function, "starts_anew", False):
                self._calls.clear()
                self._recycle()
            for worker in self._workers:
                worker.give(call)
            replies = self._gather(function.__name__, [*self._calls, call])
            self._calls.append(call)
        except BaseException:
            self._end()
            raise
        seconds = time.perf_counter() - started
        self._durations[function.__name__].append(seconds)
        self._profile.add(seconds, [reply.phases for reply in replies])
        for reply in replies:
            self._supervision.tell(reply)
        return [result for reply in replies for result in reply.results]

    def take_profile(self) -> PhaseSeconds:
        """Give the seconds that maps took since last asked, by phase."""
        return self._profile.take()

    def close(self) -> None:
        """Ask the workers to leave, then make them."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        self._end()

    def _gather(self, job: str, calls: list[bytes]) -> list[Reply]:
        """Wait for one reply of each worker to `job`; give them in the workers' order.

        Args:
            job: what to call it.
            calls: what a new worker has to do for that reply; empty: to be built.

        """
        replies: dict[int, Reply] = {}
        for worker in self._workers:
            worker.attempts = 0
        while len(replies) < self.count:
            waiting = [number for number in range(self.count) if number not in replies]
            handles: list[Any] = [self._workers[number].pipe for number in waiting]
            handles += [self._workers[number].process.sentinel for number in waiting]
            wait(handles, timeout=_POLL_SECONDS)
            for number in waiting:
                worker = self._workers[number]
                try:
                    # A worker that died may have left a last word, so the pipe is read first.
                    if worker.pipe.poll():
                        reply = worker.pipe.recv()
                    elif worker.has_died():
                        raise EOFError
                    else:
                        self._require_life(number, job, calls)
                        continue
                except (EOFError, OSError):
                    self._replace(number, job, calls, worker.how_it_ended())
                    continue
                if isinstance(reply, Failure):
                    raise failure_of(worker.name, reply)
                worker.ready = True
                if worker.jobs:
                    worker.send(worker.jobs.popleft())
                else:
                    replies[number] = reply
        return [replies[number] for number in range(self.count)]

    def _require_life(self, number: int, job: str, calls: list[bytes]) -> None:
        """Replace a worker that has been silent for too long."""
        worker = self._workers[number]
        # One that was replaced is built, and repeats what came before the job.
        patience = self._patience(job if worker.ready and not worker.jobs else CONSTRUCTION)
        if worker.silent_for() > patience:
            worker.stack()
            self._replace(number, job, calls, f"gave no sign of life for {patience:.0f} s")

    def _patience(self, job: str) -> float:
        durations = self._durations[job]
        return self._supervision.patience(durations) or FIRST_PATIENCE_SECONDS

    def _replace(self, number: int, job: str, calls: list[bytes], how: str) -> None:
        """Start a worker again and have it do `calls`.

        Raises:
            WorkerError: it was lost too often, or has nothing to repeat.

        """
        lost = self._workers[number]
        lost.kill()
        event = f"{lost.name} {how} during {job}{lost.circumstances()}"
        attempts = lost.attempts + 1
        if not calls:
            raise WorkerError(event)
        if attempts > RETRIES:
            raise WorkerError(
                f"lost {attempts} times in a row, at last: {event}\n\n"
                "The run can go on with --resume once the cause is mended"
            )
        if self._restarts >= self._supervision.restarts:
            raise WorkerError(
                f"{self._restarts} workers were replaced already, and now {event}\n\n"
                "The run can go on with --resume once the cause is mended"
            )
        self._restarts += 1
        self._supervision.report(f"{event.partition(chr(10))[0]}; replaced, its work is repeated")
        self._start_again(number)
        self._workers[number].attempts = attempts
        self._workers[number].jobs.extend(calls)

    def _start_again(self, number: int) -> None:
        self._workers[number].release()
        self._workers[number] = self._start(self._names[number], self._specs[number])

    def _start(self, name: str, spec: ShardSpec) -> ProcessHandle:
        return ProcessHandle(name, spec, self._supervision.start_method, self._supervision.preload)

    def _recycle(self) -> None:
        """Replace workers that have come to hold too much memory."""
        if not self._supervision.memory:
            return
        for number, worker in enumerate(self._workers):
            held = resident_bytes(worker.pid)
            if held > self._supervision.memory:
                self._supervision.report(
                    f"{worker.name} holds {held / 2**20:.0f} MiB and is replaced"
                )
                worker.pipe.send(None)
                worker.process.join(_CLOSE_SECONDS)
                worker.kill()
                self._start_again(number)

    def _end(self) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.release()
        self._workers = []


def failure_of(name: str, failure: Failure) -> WorkerError:
    """Give the error that tells the user of a worker's failure."""
    error = WorkerError(
        f"{name} failed: {failure.text}\n\nThe worker's traceback:\n{failure.trace.rstrip()}"
    )
    error.episode, error.device_failure = failure.episode, failure.device_failure
    return error
