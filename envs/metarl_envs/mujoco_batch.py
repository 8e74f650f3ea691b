"""Many simulations of a MuJoCo family in one native batch, as a Gymnasium vector environment."""

from collections.abc import Sequence
from typing import Any, final

import mujoco
import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float
from mujoco.batch import Batch

from metarl_envs.mujoco_family import (
    DIVERGED_NAMES,
    DIVERGED_WARNINGS,
    Transition,
    load_family,
    load_model,
)
from metarl_envs.mujoco_messages import without_messages
from metarl_envs.task_vector import Observations, Slots, TaskVector

Flags = Bool[np.ndarray, " slot"]


@final
class MujocoTaskVector(TaskVector):
    """Many `MujocoTask` side by side, a task for each; bit-equal to single ones.

    A slot whose episode ended stands still until it is reset (its last observation, reward 0).
    A slot whose simulation MuJoCo reports as unstable terminates with the observation before and
    reward 0; `info["unstable"]` names what was NaN, infinite or huge, `info["_unstable"]` where.

    Args:
        family: the function that specifies the family, "module:function".
        num_envs: how many simulations.
        max_episode_steps: the time limit in control steps; None for none.
        threads: how many threads step them; the results do not depend on it.
        family_kwargs: passed on to the family's function.

    """

    def __init__(
        self,
        family: str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        threads: int = 1,
        **family_kwargs: Any,
    ) -> None:
        self._family = load_family(family, **family_kwargs)
        self._body = self._family.body
        self._model = load_model(self._body)
        self._batch = Batch(self._model, num_envs, nthread=threads)
        self._fields = {
            name: self._batch.bind(name) for name in ("qpos", "qvel", *self._body.fields)
        }
        self._controls = self._batch.bind("ctrl")
        self._stage = (
            mujoco.mjtStage.mjSTAGE_ACC if self._body.up_to_date else mujoco.mjtStage.mjSTAGE_NONE
        ).value
        self._control_step = self._model.opt.timestep * self._body.frame_skip
        self._terminated = np.zeros(num_envs, dtype=bool)
        self._ended = np.zeros(num_envs, dtype=bool)
        self._batch.reset()
        self._last = self._body.observe(self._fields)
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

    def _start(self, slots: Slots) -> Observations:
        """Put the bodies of some slots where their episodes start."""
        if self._family.parameters is not None:
            changed = self._family.parameters(self._model, self._task_numbers[slots])
            for name, values in changed.items():
                self._batch.expand(name)[slots] = values
            self._batch.set_const(slots)
        self._batch.reset(slots, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        for slot in slots:
            positions, velocities = self._body.start(self._generators[slot], self._model)
            if self._family.place is not None:
                self._family.place(positions, self._task_numbers[slot])
            self._fields["qpos"][slot], self._fields["qvel"][slot] = positions, velocities
        self._batch.forward(slots)
        self._terminated[slots] = self._ended[slots] = False
        self._last[slots] = self._body.observe(self._fields)[slots]
        return self._last.copy()

    def step(
        self, actions: Float[np.ndarray, "slot act"]
    ) -> tuple[Observations, Float[np.ndarray, " slot"], Flags, Flags, dict[str, Any]]:
        """Make one control step in every slot whose episode goes on."""
        actions = np.asarray(actions, dtype=np.float64)
        standing = self._ended.copy()
        before = self._body.position(self._fields).copy()
        self._controls[:] = actions
        with without_messages("unstable"):
            self._batch.step(
                np.flatnonzero(~standing) if standing.any() else None,
                nstep=self._body.frame_skip,
                stage=self._stage,
            )
        # What an unstable simulation computes may be anything; none of it is given out.
        with np.errstate(all="ignore"):
            healthy = (
                np.ones(self.num_envs, dtype=bool)
                if self._body.healthy is None
                else self._body.healthy(self._fields)
            )
            velocity = (self._body.position(self._fields) - before) / self._control_step
            transition = Transition(velocity, self._fields, actions, self._task_numbers, healthy)
            rewards = self._family.reward(transition)
            observations = self._body.observe(self._fields)
        diverged = self._batch.warning[:, DIVERGED_WARNINGS, 1] > 0
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
