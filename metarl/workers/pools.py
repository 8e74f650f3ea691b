"""The pool: where shards live, and the map over them.

`InProcess` runs one shard here; `ProcessPool` runs each in a spawned process of its own;
`metarl.workers.ray_pool.RayWorkers` runs each in an actor of a Ray cluster. All give the same
numbers, to the last bit. Results come back in task order.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from metarl.foundation.stopwatch import PhaseSeconds, Profile
from metarl.workers.partition import cut, worker_name
from metarl.workers.process_main import describe
from metarl.workers.process_pool import ProcessPool, Supervision, failure_of
from metarl.workers.replies import run_timed
from metarl.workers.shards import Shard, ShardSpec, Workers

R = TypeVar("R")


def start_workers(
    spec: ShardSpec, count: int | str, supervision: Supervision | None = None
) -> Workers:
    """Start workers, at most one for each task.

    Args:
        spec: what all shards have in common, with the task indices of the whole meta-batch.
        count: how many processes on this machine, 0 for none but this one; or "ray" or a Ray
            cluster's address, for one on each of the cluster's CPUs.
        supervision: what to do about workers that are lost.

    Raises:
        ConfigError: there is no Ray, or no cluster at the address.
        WorkerError: a worker could not build its shard.

    """
    supervision = supervision or Supervision()
    if isinstance(count, str):
        from metarl.workers.ray_pool import RayWorkers  # Ray is heavy, and an extra

        return RayWorkers(spec, count, supervision)
    if count == 0:
        return InProcess(spec, supervision)
    parts = cut(spec, count)
    names = [worker_name(number, part.task_indices) for number, part in enumerate(parts)]
    return ProcessPool(parts, names, supervision)


class InProcess:
    """All tasks in one shard, in this process."""

    count = 1

    def __init__(self, spec: ShardSpec, supervision: Supervision) -> None:
        self._name = worker_name(0, spec.task_indices)
        self._supervision = supervision
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
            reply = run_timed(self._shard, function, args)
        except Exception as error:
            raise failure_of(self._name, describe(error)) from error
        self._profile.add(sum(reply.phases.values()), [reply.phases])
        self._supervision.tell(reply)
        return reply.results

    def take_profile(self) -> PhaseSeconds:
        """Give the seconds that maps took since last asked, by phase."""
        return self._profile.take()

    def close(self) -> None:
        """Close the environments and give torch its threads back."""
        self._shard.close()
        torch.set_num_threads(self._threads)
