"""Worlds as torch's tensors, where mujoco_warp is not installed."""

import warnings

import torch

from metarl.foundation.cuda_graphs import GraphedCall
from metarl.tasks import physics as physics_of_tasks
from metarl_envs import mujoco_batch
from metarl_envs.mujoco_family import DIVERGED_NAMES
from metarl_envs.native_worlds import NativeWorlds


class TorchWorlds:
    """`metarl_envs.mujoco_batch.Worlds`: MuJoCo's native batch, its memory seen by torch."""

    def __init__(self, body, worlds):
        self._native = NativeWorlds(body, worlds, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of memory that is read alone
            self.fields = {
                name: torch.from_numpy(each) for name, each in self._native.fields.items()
            }
        self.start = self._native.start
        self._diverged = torch.zeros(worlds, len(DIVERGED_NAMES), dtype=torch.bool)

    def steer(self, actions):
        self._native.steer(actions.numpy())

    def advance(self, standing):
        self._native.advance(standing.numpy())

    def settle(self, standing):
        self._diverged.numpy()[:] = self._native.settle(standing.numpy())
        return self._diverged

    def repeated(self, function):
        return GraphedCall(function, torch.device("cpu"))

    def of_host(self, array):
        return torch.from_numpy(array)

    def on_host(self, array):
        return array.numpy()


def use_torch_worlds(monkeypatch):
    """Let `physics="warp"` be these, in this process."""
    made = mujoco_batch.make_worlds

    def make(physics, body, worlds, device, threads):
        if physics == "warp":
            return TorchWorlds(body, worlds)
        return made(physics, body, worlds, device, threads)

    monkeypatch.setattr(mujoco_batch, "make_worlds", make)
    monkeypatch.setattr(physics_of_tasks, "find_spec", lambda name: True)
