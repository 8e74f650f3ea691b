"""Which worker has which tasks."""

from dataclasses import replace
from itertools import pairwise

from metarl.workers.shards import ShardSpec


def partition(tasks: int, workers: int) -> list[range]:
    """Cut the task indices into contiguous ranges whose lengths differ by at most one."""
    size, longer = divmod(tasks, workers)
    starts = [worker * size + min(worker, longer) for worker in range(workers + 1)]
    return [range(start, stop) for start, stop in pairwise(starts)]


def cut(spec: ShardSpec, workers: int) -> list[ShardSpec]:
    """Cut the tasks into a shard for each worker, at most one for each group of tasks."""
    tasks, size = len(spec.task_indices), spec.tasks_together
    groups = -(-tasks // size)
    return [
        replace(spec, task_indices=range(part.start * size, min(part.stop * size, tasks)))
        for part in partition(groups, min(workers, groups))
    ]


def worker_name(worker: int, tasks: range) -> str:
    """Name a worker and its tasks."""
    return f"worker {worker} (tasks {tasks.start} to {tasks.stop - 1})"
