"""Workers as actors of a Ray cluster, for more cores than one machine has.

The same functions run on the same shards, with the same results to the last bit. An actor or a
machine that is lost is replaced: the new actor repeats what was mapped since the last function that
starts anew, from the same random streams, and the run goes on with the same numbers.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from metarl.foundation.errors import ConfigError, WorkerError
from metarl.foundation.stopwatch import PhaseSeconds, Profile
from metarl.workers.partition import cut, worker_name
from metarl.workers.process_main import CHILD_ENVIRONMENT, Failure
from metarl.workers.process_pool import (
    CONSTRUCTION,
    FIRST_PATIENCE_SECONDS,
    Supervision,
    failure_of,
    remembered_durations,
)
from metarl.workers.ray_resources import gpus_of_worker, on_own_card, room_for_workers
from metarl.workers.replies import Reply
from metarl.workers.shards import ShardSpec

# Read by Ray as it is imported: metarl sends nothing to anybody.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray.exceptions import (
        GetTimeoutError,
        ObjectLostError,
        RayActorError,
        RayError,
        RayTaskError,
    )
except ModuleNotFoundError as error:
    if error.name != "ray":
        raise
    raise ConfigError("workers on Ray need the package: pip install 'metarl-suite[ray]'") from error

R = TypeVar("R")

LOCAL = "ray"
"""The address that means: $RAY_ADDRESS, or where that is not set a cluster of this machine."""

_OBJECT_STORE_BYTES = 200 * 2**20
_REPLACEMENTS = 3
_CONNECT_SECONDS = 5


class _Host:
    """The actor: one shard, and one request after the other."""

    def __init__(self, spec: ShardSpec, expected: Mapping[str, str]) -> None:
        self._spec = spec
        self._expected = expected
        self._shard: Any = None

    def build(self) -> Failure | None:
        """Build the shard; give what went wrong, such as other versions than those expected."""
        here = package_versions()
        if here != self._expected:
            differ = ", ".join(
                f"{name} {version} and {here.get(name)}"
                for name, version in self._expected.items()
                if here.get(name) != version
            )
            text = f"machine {socket.gethostname()} has other versions than the one in front: "
            return Failure(f"{text}{differ}; install the same on all, or numbers differ", "")
        import torch

        from metarl.workers.process_main import describe
        from metarl.workers.shards import Shard

        torch.set_num_threads(1)
        try:
            self._shard = Shard(self._spec)
        except Exception as error:
            return describe(error)
        return None

    def run(self, call: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
        """Run `function(shard, *args)`; give results and times, or what went wrong."""
        from metarl.workers.process_main import describe
        from metarl.workers.replies import run_timed

        if self._shard is None and (failure := self.build()):
            return failure
        function, args = call
        try:
            return run_timed(self._shard, function, args)
        except Exception as error:
            return describe(error)


class RayWorkers:
    """A shard in each of several actors, one on each CPU of the cluster.

    Where what is learned lies on a GPU, each actor has one of the cluster's for itself, or the part
    of one that `gpus_per_worker` says; Ray shows it no other.

    Args:
        spec: what all shards have in common, with the task indices of the whole meta-batch.
        address: "ray", or the address of a cluster ("10.0.0.1:6379", "ray://10.0.0.1:10001").
        supervision: what to do about lost workers; Ray itself watches over memory, and its actors
            give no sign of life but their replies.

    Raises:
        ConfigError: there is no cluster at the address, or it has no GPU where one is wanted.
        WorkerError: an actor could not build its shard, or Ray failed.

    """

    def __init__(self, spec: ShardSpec, address: str, supervision: Supervision) -> None:
        self._supervision = supervision
        self._connected_here = not ray.is_initialized()
        if self._connected_here:
            _connect(address)
        self._profile = Profile()
        self._durations = remembered_durations()
        self._calls: list[Any] = []
        """What was mapped since the last function that starts anew, in Ray's object store."""
        self._actors: list[Any] = []
        with self._closed_by_errors(CONSTRUCTION):
            self._gpus = gpus_of_worker(spec.config)
            room = room_for_workers(ray.nodes(), self._gpus)
            if self._gpus and not room:
                own, device = spec.config.gpus_per_worker, spec.config.device
                raise ConfigError(
                    f"each worker is to have {self._gpus:g} GPUs (device = {device!r}, "
                    f"gpus_per_worker = {own:g}), and no machine of the Ray cluster has a CPU and "
                    "as much of a GPU; see `ray status`"
                )
            self._specs = cut(spec, max(1, room))
            self.count = len(self._specs)
            self._actors = [_start(spec, 1, self._gpus) for spec in self._specs]
            builds = [actor.build.remote() for actor in self._actors]
            for worker, build in enumerate(builds):
                self._receive(worker, build, CONSTRUCTION, [])

    def map(self, function: Callable[..., list[R]], *args: Any) -> list[R]:
        """Run `function(shard, *args)` in every actor at once.

        Raises:
            WorkerError: the function raised, an actor was lost again and again, or Ray failed. The
                pool cannot be used any more, unless what was to be sent cannot be pickled.

        """
        started = time.perf_counter()
        job = function.__name__
        try:
            # A stored call reaches each machine once, however many actors it has.
            call = ray.put((function, args))
        except TypeError as error:
            raise WorkerError(
                f"{job} or its arguments cannot be sent to workers: {error.__cause__ or error}"
            ) from error
        with self._closed_by_errors(job):
            if getattr(function, "starts_anew", False):
                self._calls.clear()
            replies = [actor.run.remote(call) for actor in self._actors]
            results: list[Reply] = [
                self._receive(worker, reply, job, [*self._calls, call])
                for worker, reply in enumerate(replies)
            ]
            self._calls.append(call)
        seconds = time.perf_counter() - started
        self._durations[job].append(seconds)
        self._profile.add(seconds, [reply.phases for reply in results])
        for reply in results:
            self._supervision.tell(reply)
        return [result for reply in results for result in reply.results]

    def take_profile(self) -> PhaseSeconds:
        """Give the seconds that maps took since last asked, by phase."""
        return self._profile.take()

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        self._calls = []
        if self._connected_here:
            ray.shutdown()
            self._connected_here = False

    @contextlib.contextmanager
    def _closed_by_errors(self, job: str) -> Iterator[None]:
        """End the actors after an error; tell Ray's own as one of ours."""
        try:
            yield
        except RayError as error:
            self.close()
            raise WorkerError(
                f"Ray failed during {job}: {_in_a_line(error)}; look after the cluster, then "
                "continue the run with --resume"
            ) from error
        except BaseException:
            self.close()
            raise

    def _receive(self, worker: int, reply: Any, job: str, calls: list[Any]) -> Any:
        """Wait for a worker's reply to `job`; replace the worker when it was lost or hangs.

        Args:
            worker: its number.
            reply: that is waited for.
            job: what to call it.
            calls: what a new worker has to do for that reply; empty: to be built.

        """
        patience = self._supervision.patience(self._durations[job])
        for_new = patience and FIRST_PATIENCE_SECONDS + patience * len(calls)
        if not calls:
            patience = for_new
        for _ in range(_REPLACEMENTS + 1):
            try:
                result = ray.get(reply, timeout=patience)
            except (RayActorError, ObjectLostError, GetTimeoutError) as error:
                hangs = isinstance(error, GetTimeoutError)
                reason = f"no reply to {job} for {patience:.0f} s" if hangs else _in_a_line(error)
                self._supervision.report(
                    f"{self._name(worker)} was lost ({reason}); replaced, its work is repeated"
                )
                reply, patience = self._replace(worker, calls), for_new
                continue
            if isinstance(result, Failure):
                raise failure_of(self._name(worker), result)
            return result
        raise WorkerError(
            f"{self._name(worker)} was lost {_REPLACEMENTS + 1} times in a row, the last time: "
            f"{reason}; look after the cluster, then continue the run with --resume"
        )

    def _replace(self, worker: int, calls: list[Any]) -> Any:
        """Start a worker's actor again; give its reply to the last of the calls."""
        ray.kill(self._actors[worker])  # it may be alive and out of reach
        if self._gpus and room_for_workers(ray.nodes(), self._gpus) < self.count:
            raise WorkerError(
                f"{self._name(worker)} was lost with its GPU, and the cluster has too few of them "
                "left; continue the run with --resume, on those that are there"
            )
        # A cluster that lost a machine may have no CPU left: actors then share one.
        free = ray.available_resources().get("CPU", 0) >= 1
        self._actors[worker] = _start(self._specs[worker], 1 if free else 0, self._gpus)
        reply = self._actors[worker].build.remote()  # all there is to do while nothing was mapped
        for call in calls:
            reply = self._actors[worker].run.remote(call)
        return reply

    def _name(self, worker: int) -> str:
        return worker_name(worker, self._specs[worker].task_indices)


def _in_a_line(error: RayError) -> str:
    if isinstance(error, RayTaskError):  # which tells a whole traceback
        return f"{type(error.cause).__name__}: {error.cause}"
    return str(error).partition("\n")[0]


def package_versions() -> dict[str, str]:
    """Give the versions that must be the same on all machines."""
    from metarl.foundation.versions import versions

    return {name: found for name, found in versions().items() if name != "machine"}


def _start(spec: ShardSpec, cpus: int, gpus: float) -> Any:
    host: Any = ray.remote(_Host)
    options = host.options(
        num_cpus=cpus,
        num_gpus=gpus,
        scheduling_strategy="SPREAD",
        runtime_env={"env_vars": CHILD_ENVIRONMENT},
    )
    return options.remote(on_own_card(spec), package_versions())


def _connect(address: str) -> None:
    quietly: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    address = os.environ.get("RAY_ADDRESS", "local") if address == LOCAL else address
    if address == "local":
        quietly |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    elif ":" in address:
        _require_somebody_at(address)
    with _own_signal_handlers():
        try:
            ray.init(address=address, **quietly)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(f"no Ray cluster at {address!r}: {reason}") from error


def _require_somebody_at(address: str) -> None:
    """Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep the handlers of signals, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
