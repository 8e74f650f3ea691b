"""Simulations of a body in MuJoCo's native batch, on the CPU's threads."""

from collections.abc import Callable

import mujoco
import numpy as np
from jaxtyping import Bool, Float
from mujoco.batch import Batch

from metarl_envs.mujoco_family import DIVERGED_WARNINGS, Body, Fields, load_model
from metarl_envs.mujoco_messages import without_messages
from metarl_envs.task_vector import Slots


class NativeWorlds:
    """`metarl_envs.mujoco_batch.Worlds` by `mujoco.batch`, in double precision.

    Args:
        body: what is simulated.
        worlds: how many.
        threads: that step them.

    """

    def __init__(self, body: Body, worlds: int, threads: int) -> None:
        self._body = body
        self._batch = Batch(load_model(body), worlds, nthread=threads)
        names = ("qpos", "qvel", *body.fields)
        self.fields: Fields = {name: self._batch.bind(name) for name in names}
        self._controls = self._batch.bind("ctrl")
        self._stage = (
            mujoco.mjtStage.mjSTAGE_ACC if body.up_to_date else mujoco.mjtStage.mjSTAGE_NONE
        ).value
        self._batch.reset()

    def start(
        self,
        slots: Slots,
        positions: Float[np.ndarray, "chosen nq"],
        velocities: Float[np.ndarray, "chosen nv"],
        parameters: dict[str, np.ndarray],
    ) -> None:
        """Begin anew in some slots, with model parameters of their own."""
        for name, values in parameters.items():
            self._batch.expand(name)[slots] = values
        if parameters:
            self._batch.set_const(slots)
        self._batch.reset(slots, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self.fields["qpos"][slots], self.fields["qvel"][slots] = positions, velocities
        self._batch.forward(slots)

    def steer(self, actions: Float[np.ndarray, "slot act"]) -> None:
        """Take the controls of the next control step."""
        self._controls[:] = actions

    def advance(self, standing: Bool[np.ndarray, " slot"]) -> None:
        """Make one control step."""
        with without_messages("unstable"):
            self._batch.step(
                np.flatnonzero(~standing) if standing.any() else None,
                nstep=self._body.frame_skip,
                stage=self._stage,
            )

    def settle(self, standing: Bool[np.ndarray, " slot"]) -> Bool[np.ndarray, "slot cause"]:
        """Give what diverged, by MuJoCo's warnings."""
        diverged: np.ndarray = self._batch.warning[:, DIVERGED_WARNINGS, 1] > 0
        return diverged

    def repeated(self, function: Callable[[], None]) -> Callable[[], None]:
        """Give the function itself."""
        return function

    def of_host(self, array: np.ndarray) -> np.ndarray:
        """Give the array itself."""
        return array

    def on_host(self, array: np.ndarray) -> np.ndarray:
        """Give the array itself."""
        return array
