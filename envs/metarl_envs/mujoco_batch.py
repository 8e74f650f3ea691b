"""Many simulations of a MuJoCo family side by side, as a Gymnasium vector environment."""

from collections.abc import Sequence
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

    def advance(
        self, actions: Float[np.ndarray, "slot act"], standing: Flags
    ) -> Bool[np.ndarray, "slot cause"]:
        """Make one control step where a slot does not stand still; give what diverged in each.

        The causes are in the order of `metarl_envs.mujoco_family.DIVERGED_NAMES`.
        """

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
        self._terminated = np.zeros(num_envs, dtype=bool)
        self._ended = np.zeros(num_envs, dtype=bool)
        self._last = self._observe()
        bounds = self._model.actuator_ctrlrange.astype(np.float32)
        super().__init__(
            num_envs,
            max_episode_steps,
            shared=self,
            task_space=self._family.tasks.space,
            observation_space=spaces.Box(-np.inf, np.inf, self._last.shape[1:], np.float64),
            action_space=spaces.Box(bounds[:, 0], bounds[:, 1], dtype=np.float32),
            task=self._family.tasks.default,
        )

    def _use_tasks(self, tasks: Sequence[Any]) -> None:
        self._task_numbers = self._family.tasks.to_rows(tasks)
        self._tasks_there = self._worlds.of_host(self._task_numbers)

    def _observe(self) -> Observations:
        return self._worlds.on_host(self._body.observe(self._worlds.fields))

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
        self._last[slots] = self._observe()[slots]
        return self._last.copy()

    def step(
        self, actions: Float[np.ndarray, "slot act"]
    ) -> tuple[Observations, Float[np.ndarray, " slot"], Flags, Flags, dict[str, Any]]:
        """Make one control step in every slot whose episode goes on."""
        actions = np.asarray(actions, dtype=np.float64)
        worlds, fields, standing = self._worlds, self._worlds.fields, self._ended.copy()
        before = self._body.position(fields)
        before = namespace_of(before).asarray(before, copy=True)
        diverged = worlds.advance(actions, standing)
        # What an unstable simulation computes may be anything; none of it is given out.
        with np.errstate(all="ignore"):
            healthy = worlds.of_host(np.ones(self.num_envs, dtype=bool))
            if self._body.healthy is not None:
                healthy = self._body.healthy(fields)
            velocity = (self._body.position(fields) - before) / self._control_step
            done = worlds.of_host(actions)
            transition = Transition(velocity, fields, done, self._tasks_there, healthy)
            rewards = worlds.on_host(self._family.reward(transition))
            observations = self._observe()
        healthy = worlds.on_host(healthy)
        unstable = diverged.any(axis=1) & ~standing
        info = _record(diverged, unstable) if unstable.any() else {}
        still = standing | unstable
        if still.any():
            observations[still] = self._last[still]
            rewards[still] = 0.0
        self._terminated = np.where(standing, self._terminated, ~healthy | unstable)
        self._steps += ~standing
        truncated = self._steps >= self._max_episode_steps
        self._ended = self._terminated | truncated
        self._last = observations
        return observations.copy(), rewards, self._terminated.copy(), truncated, info


def _record(diverged: Bool[np.ndarray, "slot cause"], unstable: Flags) -> dict[str, Any]:
    """Give what diverged in each unstable slot, in the form of Gymnasium's vector infos."""
    names = np.array(DIVERGED_NAMES, dtype=object)[diverged.argmax(axis=1)]
    return {"unstable": np.where(unstable, names, None), "_unstable": unstable}
