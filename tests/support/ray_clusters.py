"""A Ray cluster of tests, on this machine, whose workers find what lies in this folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

STORE = 100 * 2**20
"""Bytes of a node's store of objects."""
_QUICK = {
    # A worker for each CPU as a driver connects; actors, which have an environment, use none.
    "prestart_worker_first_driver": False,
    # Ray lets its workers wait for other programs, which are other tests here.
    "worker_niceness": 0,
    # A node counts as lost after five checks without an answer.
    "health_check_period_ms": 500,
}
QUICK = {
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}
"""The same for a program that starts Ray, in its environment."""


@contextmanager
def ray_cluster(**head: Any) -> Iterator[Cluster]:
    """Give a cluster of one node, whose resources `head` names."""
    paths = filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        arguments = {**head, "object_store_memory": STORE, "include_dashboard": False}
        arguments["_system_config"] = _QUICK
        started = Cluster(initialize_head=True, head_node_args=arguments)
        try:
            started.wait_for_nodes()
            yield started
        finally:
            ray.shutdown()
            started.shutdown()
