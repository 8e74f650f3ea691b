"""Finds what a CUDA graph cannot hold, on any device: what would wait for the device."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metarl.foundation.cuda_graphs import GraphedCall

_WAIT = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "lift_fresh")


class Watch(TorchDispatchMode):
    """Refuses what waits for the device, and what sends something there."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in _WAIT, f"{name} waits for the device, or sends something there"
        if name.startswith("index"):
            places = args[1] if isinstance(args[1], list | tuple) else ()
            assert not any(place is not None and place.dtype == torch.bool for place in places), (
                "an index of booleans waits for the device"
            )
        found = function(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, found)) if isinstance(each, Tensor)]
        devices = {str(each.device) for each in tensors}
        assert len(devices) <= 1, f"{name} has tensors on {devices}; a graph keeps such a number"
        return found


def refuse_waiting(monkeypatch):
    """Let whatever is to be a graph fail where it could not be one; give the functions called."""
    called = []

    def call(graphed):
        called.append(graphed._function.__qualname__)
        with Watch():
            graphed._function()

    monkeypatch.setattr(GraphedCall, "__call__", call)
    return called
