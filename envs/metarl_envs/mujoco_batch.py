"""Many simulations of a MuJoCo family side by side, as a Gymnasium vector environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float

from metarl_envs.mujoco_family import (
    DIVERGED_NAMES,
    Array,
    Body,
    Fields,
    Transition,
    load_family,
    load_model,
    namespace_of,
)
from metarl_envs.task_vector import Observations, Slots, TaskVector

Flags = Bool[np.ndarray, " slot"]


@runtime_checkable
class Worlds(Protocol):
    """Simulations of one body, and what holds their state."""

    fields: Fields
    """Views of the state: qpos, qvel and what the body names."""

    def start(
        self,
        slots: Slots,
        positions: Float[np.ndarray, "chosen nq"],
        velocities: Float[np.ndarray, "chosen nv"],
        parameters: dict[str, np.ndarray],
    ) -> None:
        """Begin anew in some slots, with model parameters of their own; leave the others alone."""

    def steer(self, actions: Float[Array, "slot act"]) -> None:
        """Take the controls of the next control step; remember the state before it."""

    def advance(self, standing: Bool[Array, " slot"]) -> None:
        """Make one control step; the slots that stand still need not take part."""

    def settle(self, standing: Bool[Array, " slot"]) -> Bool[Array, "slot cause"]:
        """Put back what was to stand still; give what diverged in each slot.

        The causes are in the order of `metarl_envs.mujoco_family.DIVERGED_NAMES`.
        """

    def repeated(self, function: Callable[[], None]) -> Callable[[], None]:
        """Give a function of arrays that stay where they are in the form to call it often."""

    def of_host(self, array: np.ndarray) -> Array:
        """Give an array of the kind that the fields are."""

    def on_host(self, array: Array) -> np.ndarray:
        """Give it as numpy's."""


def make_worlds(physics: str, body: Body, worlds: int, device: str, threads: int) -> Worlds:
    """Make simulations by MuJoCo's native batch ("mujoco") or by mujoco_warp ("warp")."""
    if physics == "warp":
        from metarl_envs.warp_worlds import WarpWorlds  # an extra of its own

        return WarpWorlds(body, worlds, device)
    from metarl_envs.native_worlds import NativeWorlds  # needs a MuJoCo that has it

    return NativeWorlds(body, worlds, threads)


@dataclass(frozen=True)
class SlotsOnDevice:
    """A batch's slots without the way to the CPU: arrays that each step writes anew, in place."""

    observations: Float[Array, "slot obs"]
    rewards: Float[Array, " slot"]
    ended: Bool[Array, " slot"]
    """Whether the slot's episode has ended, in this step or before."""
    terminated: Bool[Array, " slot"]
    """Whether it has ended by itself, and was not cut off."""
    unstable: Bool[Array, " slot"]
    """Whether the simulation broke the episode off in this step."""
    step: Callable[[Float[Array, "slot act"]], None]
    """Makes one control step in every slot whose episode goes on."""


@final
class MujocoTaskVector(TaskVector):
    """Many `MujocoTask` side by side, a task for each; bit-equal to single ones.

    With `physics="warp"` they are simulated by mujoco_warp in single precision, on a GPU or, for
    tests, on the CPU; then they are near the single ones, and starts, rewards and the rules of an
    episode are the same.

    A slot whose episode ended stands still until it is reset (its last observation, reward 0).
    A slot whose simulation is unstable terminates with the observation before and reward 0;
    `info["unstable"]` names what was NaN, infinite or huge, `info["_unstable"]` where.

    Args:
        family: the function that specifies the family, "module:function".
        num_envs: how many simulations.
        max_episode_steps: the time limit in control steps; None for none.
        threads: how many threads step them; the results do not depend on it.
        physics: "mujoco" or "warp".
        device: torch's name of the device of "warp".
        family_kwargs: passed on to the family's function.

    """

    def __init__(
        self,
        family: str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        threads: int = 1,
        physics: str = "mujoco",
        device: str = "cpu",
        **family_kwargs: Any,
    ) -> None:
        self._family = load_family(family, **family_kwargs)
        self._body = self._family.body
        self._model = load_model(self._body)
        self._worlds = make_worlds(physics, self._body, num_envs, device, threads)
        self._control_step = self._model.opt.timestep * self._body.frame_skip
        of_host, fields = self._worlds.of_host, self._worlds.fields
        self._observations = self._copy(self._body.observe(fields))
        self._before = self._copy(self._body.position(fields))
        self._actions = of_host(np.zeros((num_envs, self._model.nu)))
        self._rewards = of_host(np.zeros(num_envs))
        self._healthy = of_host(np.ones(num_envs, dtype=bool))
        self._diverged = of_host(np.zeros((num_envs, len(DIVERGED_NAMES)), dtype=bool))
        self._unstable, self._terminated, self._truncated, self._ended = (
            of_host(np.zeros(num_envs, dtype=bool)) for _ in range(4)
        )
        tasks = self._family.tasks
        self._tasks_there = self._copy(of_host(tasks.to_rows([tasks.default] * num_envs)))
        self._prepare = self._worlds.repeated(self._before_physics)
        self._conclude = self._worlds.repeated(self._after_physics)
        self.on_device: SlotsOnDevice | None = None
        """The slots, stepped where the simulations lie; None: that is the CPU's memory."""
        if physics != "mujoco":
            self.on_device = SlotsOnDevice(
                self._observations,
                self._rewards,
                self._ended,
                self._terminated,
                self._unstable,
                self._step,
            )
        bounds = self._model.actuator_ctrlrange.astype(np.float32)
        shape = tuple(self._observations.shape[1:])
        super().__init__(
            num_envs,
            max_episode_steps,
            shared=self,
            task_space=tasks.space,
            observation_space=spaces.Box(-np.inf, np.inf, shape, np.float64),
            action_space=spaces.Box(bounds[:, 0], bounds[:, 1], dtype=np.float32),
            task=tasks.default,
        )
        self._steps = of_host(self._steps)

    @classmethod
    def bytes_on_device(cls, family: str, num_envs: int, **family_kwargs: Any) -> int:
        """Say what so many simulations by mujoco_warp take on their device."""
        from metarl_envs.warp_worlds import bytes_of_worlds  # an extra of its own

        return bytes_of_worlds(load_family(family, **family_kwargs).body, num_envs)

    def _use_tasks(self, tasks: Sequence[Any]) -> None:
        self._task_numbers = self._family.tasks.to_rows(tasks)
        self._tasks_there[:] = self._worlds.of_host(self._task_numbers)

    def _copy(self, array: Array) -> Array:
        return namespace_of(array).asarray(array, copy=True)

    def _start(self, slots: Slots) -> Observations:
        """Put the bodies of some slots where their episodes start."""
        parameters = {}
        if self._family.parameters is not None:
            parameters = self._family.parameters(self._model, self._task_numbers[slots])
        positions = np.zeros((len(slots), self._model.nq))
        velocities = np.zeros((len(slots), self._model.nv))
        for row, slot in enumerate(slots):
            positions[row], velocities[row] = self._body.start(self._generators[slot], self._model)
            if self._family.place is not None:
                self._family.place(positions[row], self._task_numbers[slot])
        self._worlds.start(slots, positions, velocities, parameters)
        self._terminated[slots] = self._ended[slots] = False
        self._observations[slots] = self._body.observe(self._worlds.fields)[slots]
        return self._on_host(self._observations)

    def step(
        self, actions: Float[np.ndarray, "slot act"]
    ) -> tuple[Observations, Float[np.ndarray, " slot"], Flags, Flags, dict[str, Any]]:
        """Make one control step in every slot whose episode goes on."""
        self._step(self._worlds.of_host(np.asarray(actions, dtype=np.float64)))
        outcome = (self._observations, self._rewards, self._terminated, self._truncated)
        observations, rewards, terminated, truncated = map(self._on_host, outcome)
        diverged, unstable = map(self._on_host, (self._diverged, self._unstable))
        info = _record(diverged, unstable) if unstable.any() else {}
        return observations, rewards, terminated, truncated, info

    def _on_host(self, array: Array) -> np.ndarray:
        return self._worlds.on_host(array).copy()

    def _step(self, actions: Float[Array, "slot act"]) -> None:
        """Make one control step, in arrays of the worlds' kind."""
        self._actions[:] = actions
        self._prepare()
        self._worlds.advance(self._ended)
        self._conclude()

    def _before_physics(self) -> None:
        self._before[:] = self._body.position(self._worlds.fields)
        self._worlds.steer(self._actions)

    def _after_physics(self) -> None:
        """Observe, reward and judge."""
        fields, standing = self._worlds.fields, self._ended
        arrays = namespace_of(self._rewards)
        self._diverged[:] = self._worlds.settle(standing)
        # What an unstable simulation computes may be anything; none of it is given out.
        with np.errstate(all="ignore"):
            if self._body.healthy is not None:
                self._healthy[:] = self._body.healthy(fields)
            velocity = (self._body.position(fields) - self._before) / self._control_step
            transition = Transition(
                velocity, fields, self._actions, self._tasks_there, self._healthy
            )
            rewards, observations = self._family.reward(transition), self._body.observe(fields)
        self._unstable[:] = self._diverged.any(axis=1) & ~standing
        still = standing | self._unstable
        self._observations[:] = arrays.where(still[:, None], self._observations, observations)
        self._rewards[:] = arrays.where(still, arrays.zeros_like(rewards), rewards)
        broken_off = ~self._healthy | self._unstable
        self._terminated[:] = arrays.where(standing, self._terminated, broken_off)
        self._steps += ~standing
        self._truncated[:] = self._steps >= self._max_episode_steps
        self._ended[:] = self._terminated | self._truncated


def _record(diverged: Bool[np.ndarray, "slot cause"], unstable: Flags) -> dict[str, Any]:
    """Give what diverged in each unstable slot, in the form of Gymnasium's vector infos."""
    names = np.array(DIVERGED_NAMES, dtype=object)[diverged.argmax(axis=1)]
    return {"unstable": np.where(unstable, names, None), "_unstable": unstable}
