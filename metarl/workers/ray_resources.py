"""What an actor takes of a Ray cluster, and how many of them have room there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from metarl.config.reinforcement import Config
from metarl.workers.shards import ShardSpec


def uses_card(config: Config) -> bool:
    """Say whether what is learned lies on a GPU."""
    return torch.device(config.device).type == "cuda"


def gpus_of_worker(config: Config) -> float:
    """Give the GPUs, or the part of one, that each worker is to have for itself."""
    return config.gpus_per_worker or float(uses_card(config))


def room_for_workers(nodes: Sequence[Mapping[str, Any]], gpus: float) -> int:
    """Count the workers that a cluster has room for, one on each CPU, with so much of a GPU each.

    Args:
        nodes: as `ray.nodes` gives them.
        gpus: of each worker, 1 at most; what a worker has lies on one GPU.

    """
    room = 0
    for node in nodes:
        if node["Alive"]:
            cpus, cards = (int(node["Resources"].get(name, 0)) for name in ("CPU", "GPU"))
            # A little more, since three thirds are one.
            room += min(cpus, cards * int(1 / gpus + 1e-6)) if gpus else cpus
    return room


def on_own_card(spec: ShardSpec) -> ShardSpec:
    """Give the shard's specification as its actor must have it: the GPU that it sees is its own."""
    if not uses_card(spec.config):
        return spec
    return replace(spec, config=replace(spec.config, device="cuda"))
