"""How many workers to start."""

import os
from numbers import Integral

from metarl.foundation.errors import ConfigError
from metarl.foundation.wording import counted


def usable_cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked_workers(wanted: int | str, tasks: int, memory: int = 0) -> tuple[int | str, str | None]:
    """Give the number of workers to start, and a note where it is not the number wanted.

    "ray" and the addresses of Ray clusters are given back as they are.

    Args:
        wanted: processes, "ray", or the address of a Ray cluster.
        tasks: that there are at a time.
        memory: bytes above which a worker is to be replaced; 0: no limit.

    Raises:
        ConfigError: fewer than none, or neither a number nor an address; or a limit on memory that
            nobody watches over.

    """
    if not isinstance(wanted, Integral):
        address = isinstance(wanted, str) and (wanted in ("ray", "auto") or ":" in wanted)
        if not address:
            raise ConfigError(
                f"workers = {wanted!r} must be a number, ray, or the address of a Ray cluster"
            )
        if memory:
            raise ConfigError(
                "worker_memory means nothing for workers on Ray, which watches over the memory of "
                "its machines itself: leave it away, and see RAY_memory_usage_threshold"
            )
        return wanted, None
    if wanted < 0:
        raise ConfigError(f"workers = {wanted} must be 0 or more")
    if wanted > tasks:
        return tasks, f"using {counted(tasks, 'worker')}, one for each task, instead of {wanted}"
    return int(wanted), None
