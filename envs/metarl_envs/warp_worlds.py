"""Simulations of a body by mujoco_warp: thousands side by side on a GPU, a few on the CPU.

State and controls are torch's tensors on the device; they share memory with warp's arrays. Single
precision. Contacts, constraints and sums are put in a fixed order, so that the same device gives
the same bits again. Where a model asks for the projected Gauss-Seidel solver (the humanoid's), its
constraints are solved by Newton's method, to convergence.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import mujoco
import numpy as np
import torch
import warp
from jaxtyping import Bool, Float
from torch import Tensor

warp.config.log_level = warp.LOG_WARNING
warp.init()

import mujoco_warp  # noqa: E402  (once warp is told what to print)

from metarl.foundation.cuda_graphs import GraphedCall  # noqa: E402
from metarl_envs.mujoco_family import DIVERGED_NAMES, Body, Fields, load_model  # noqa: E402
from metarl_envs.task_vector import Slots  # noqa: E402

LARGEST = mujoco.mjMAXVAL
"""What MuJoCo calls unstable when it is exceeded."""
_CONSTANTS = ("body_subtreemass", "body_invweight0", "dof_invweight0", "actuator_acc0")
"""Model fields that follow from masses and inertias."""
_CHANGED = ("body_mass", "body_inertia", "dof_damping", "geom_friction")
"""Model fields that tasks may change."""
_SUMS_OF_INERTIA = mujoco_warp.SetConstGroup.FIXED | mujoco_warp.SetConstGroup.INERT0


class WarpWorlds:
    """`metarl_envs.mujoco_batch.Worlds` by mujoco_warp.

    On a CUDA device a control step is one graph.

    Args:
        body: what is simulated.
        worlds: how many.
        device: torch's name of it.

    """

    def __init__(self, body: Body, worlds: int, device: str) -> None:
        self._body = body
        self._device = torch.device(device)
        self._on = warp.device_from_torch(self._device)
        self._graph: warp.Graph | None = None
        nominal = _nominal(body)
        with warp.ScopedDevice(self._on):
            self._model, self._data = _model_and_data(nominal, worlds)
            self._model.opt.deterministic = mujoco_warp.DeterminismType.ALL
            mujoco_warp.forward(self._model, self._data)
        names = ("qpos", "qvel", *body.fields)
        self.fields: Fields = {name: self._view(name) for name in names}
        self._controls, self._warm_start = self._view("ctrl"), self._view("qacc_warmstart")
        self._state = (self.fields["qpos"], self.fields["qvel"])
        self._before = [each.clone() for each in self._state]
        self._control_step = nominal.opt.timestep * body.frame_skip

    def start(
        self,
        slots: Slots,
        positions: Float[np.ndarray, "chosen nq"],
        velocities: Float[np.ndarray, "chosen nv"],
        parameters: dict[str, np.ndarray],
    ) -> None:
        """Begin anew in some slots, with model parameters of their own."""
        rows = torch.from_numpy(slots).to(self._device)
        others = torch.ones(len(self._controls), dtype=torch.bool, device=self._device)
        others[rows] = False
        kept = {name: field[others] for name, field in self._left_alone().items()}
        for name, values in parameters.items():
            warp.to_torch(getattr(self._model, name))[rows] = self.of_host(values)
        self.fields["qpos"][rows] = self.of_host(positions)
        self.fields["qvel"][rows] = self.of_host(velocities)
        self._warm_start[rows] = 0.0
        self._controls[rows] = 0.0
        with warp.ScopedDevice(self._on):
            if parameters:
                mujoco_warp.set_const(self._model, self._data, _SUMS_OF_INERTIA)
            mujoco_warp.forward(self._model, self._data)
        for name, field in self._left_alone().items():
            field[others] = kept[name]

    def steer(self, actions: Float[Tensor, "slot act"]) -> None:
        """Take the controls of the next control step; remember the state before it."""
        self._controls.copy_(actions)
        for before, now in zip(self._before, self._state, strict=True):
            before.copy_(now)

    def advance(self, standing: Bool[Tensor, " slot"]) -> None:
        """Make one control step in all slots."""
        if self._device.type != "cuda":
            with warp.ScopedDevice(self._on):
                self._physics_steps()
            return
        if self._graph is None:
            self._graph = self._captured()
        # On warp's own stream: CUDA keeps it in order with the default one, which is torch's.
        warp.capture_launch(self._graph)

    def settle(self, standing: Bool[Tensor, " slot"]) -> Bool[Tensor, "slot cause"]:
        """Put back what stands still or is NaN, infinite or huge after the step; give the latter.

        The acceleration is the mean one of the step; mujoco_warp does not look at any.
        """
        acceleration = (self._state[1] - self._before[1]) / self._control_step
        bad = torch.stack([_too_large(each) for each in (*self._state, acceleration)], 1)
        assert bad.shape[1] == len(DIVERGED_NAMES)
        still = (standing | bad.any(1)).unsqueeze(1)
        for now, then in zip(self._state, self._before, strict=True):
            now.copy_(torch.where(still, then, now))
        self._warm_start.masked_fill_(still, 0.0)
        return bad

    def repeated(self, function: Callable[[], None]) -> Callable[[], None]:
        """Give the function as one graph, on a CUDA device."""
        return GraphedCall(function, self._device)

    def of_host(self, array: np.ndarray) -> Tensor:
        """Give a tensor on the device, numbers in single precision."""
        tensor = torch.from_numpy(array)
        return tensor.to(self._device, torch.float32 if tensor.is_floating_point() else None)

    def on_host(self, array: Tensor) -> np.ndarray:
        """Give numpy's array, numbers in double precision."""
        found: np.ndarray = (array.double() if array.is_floating_point() else array).cpu().numpy()
        return found

    def _left_alone(self) -> dict[str, Tensor]:
        """Give what a start in some slots must not change in others."""
        return {**self.fields, "qacc_warmstart": self._warm_start}

    def _view(self, name: str) -> Tensor:
        """Give a field of the data as a tensor with MuJoCo's own axes."""
        tensor: Tensor = warp.to_torch(getattr(self._data, name))
        return tensor.flatten(2) if tensor.dim() == 4 else tensor  # rotation matrices

    def _captured(self) -> warp.Graph:
        """Capture a control step as a graph; leave the state as it was."""
        with warp.ScopedDevice(self._on):
            kept = {name: field.clone() for name, field in self._left_alone().items()}
            self._physics_steps()  # so that all kernels are compiled before they are captured
            for name, field in self._left_alone().items():
                field.copy_(kept[name])
            with warp.ScopedCapture(device=self._on) as capture:
                self._physics_steps()
            graph: warp.Graph = capture.graph
            return graph

    def _physics_steps(self) -> None:
        for _ in range(self._body.frame_skip):
            mujoco_warp.step(self._model, self._data)
        if self._body.up_to_date:
            mujoco_warp.forward(self._model, self._data)


def bytes_of_worlds(body: Body, worlds: int) -> int:
    """Say what so many worlds take: the arrays of mujoco_warp's model and data.

    Each world takes as much as another.
    """
    nominal = _nominal(body)
    with warp.ScopedDevice("cpu"):
        one, two = (_bytes(_model_and_data(nominal, count)) for count in (1, 2))
    return one + (worlds - 1) * (two - one)


def _nominal(body: Body) -> mujoco.MjModel:
    """Give the model that all worlds start from."""
    nominal = load_model(body)
    if nominal.opt.solver == mujoco.mjtSolver.mjSOL_PGS:  # which mujoco_warp does not have
        nominal.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    return nominal


def _model_and_data(nominal: mujoco.MjModel, worlds: int) -> tuple[Any, Any]:
    own = dict.fromkeys((*_CHANGED, *_CONSTANTS), worlds)
    model = mujoco_warp.put_model(nominal, batch_sizes=own)
    return model, mujoco_warp.make_data(nominal, nworld=worlds)


def _bytes(record: Any) -> int:
    """Sum the bytes of all arrays in a record."""
    if isinstance(record, warp.array):
        return int(record.capacity)
    if is_dataclass(record):
        return sum(_bytes(getattr(record, field.name)) for field in fields(record))
    return sum(map(_bytes, record)) if isinstance(record, tuple | list) else 0


def _too_large(values: Float[Tensor, "slot number"]) -> Bool[Tensor, " slot"]:
    within: Tensor = (values.abs() <= LARGEST).all(1)
    return ~within
