"""Worlds as torch's tensors, where mujoco_warp is not installed."""

import torch

from metarl.tasks import environment_batches
from metarl_envs import mujoco_batch
from metarl_envs.native_worlds import NativeWorlds


class TorchWorlds:
    """`metarl_envs.mujoco_batch.Worlds`: MuJoCo's native batch, its memory seen by torch."""

    def __init__(self, body, worlds):
        self._native = NativeWorlds(body, worlds, 1)
        self.fields = {name: torch.from_numpy(each) for name, each in self._native.fields.items()}
        self.start = self._native.start

    def steer(self, actions):
        self._native.steer(actions.numpy())

    def advance(self, standing):
        self._native.advance(standing.numpy())

    def settle(self, standing):
        return torch.from_numpy(self._native.settle(standing.numpy()))

    def repeated(self, function):
        return function

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
    monkeypatch.setattr(environment_batches, "find_spec", lambda name: True)
