"""Stands in for CUDA graphs on the CPU: records a function's calculations, and repeats just these.

As on a card, a capture computes nothing that stays; a replay makes the recorded calculations on the
recorded tensors, whatever Python has come to since; and nothing in between may wait for the device.
"""

import contextlib
from functools import partial
from types import SimpleNamespace

import torch
from torch.utils._pytree import tree_leaves
from waiting import Watch

from metarl.foundation import cuda_graphs
from metarl.foundation.cuda_graphs import GraphedCall


class RecordedGraph:
    """Takes the place of `torch.cuda.CUDAGraph`."""

    def __init__(self):
        self.calculations = []

    @torch.no_grad()
    def replay(self):
        for function, arguments, named, found in self.calculations:
            again = function(*arguments, **named)
            for old, new in zip(tensors_in(found), tensors_in(again), strict=True):
                if old.data_ptr() != new.data_ptr():  # neither in place nor a view
                    old.copy_(new)


class _Capture(Watch):
    """Takes the place of `torch.cuda.graph`."""

    def __init__(self, graph):
        super().__init__()
        self._graph = graph
        self._before = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        named = kwargs or {}
        for argument, value in zip(function._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tensors_in(value):
                    storage = tensor.untyped_storage()
                    self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        found = super().__torch_dispatch__(function, types, args, named)
        self._graph.calculations.append((function, args, named, found))
        return found

    def __exit__(self, *failure):
        super().__exit__(*failure)
        for storage, before in self._before.values():
            storage.copy_(before)


def tensors_in(value):
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def record_graphs(monkeypatch):
    """Let functions of tensors be graphs on the CPU; give what happens, in words."""
    told = []

    class Graph(RecordedGraph):
        def replay(self):
            told.append("replay")
            super().replay()

    def stream(name):
        return SimpleNamespace(wait_stream=lambda other: told.append(f"{name} waits"))

    @contextlib.contextmanager
    def within(there):
        told.append("aside")
        yield

    def capture(graph):
        told.append("capture")
        return _Capture(graph)

    for name, value in {
        "CUDAGraph": Graph,
        "graph": capture,
        "device": lambda device: contextlib.nullcontext(),
        "current_stream": partial(stream, "here"),
        "Stream": partial(stream, "aside"),
        "stream": within,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(
        cuda_graphs,
        "GraphedCall",
        lambda function, device: GraphedCall(function, torch.device("cuda")),
    )
    return told
