"""One simulation of a MuJoCo family as a Gymnasium environment."""

import copy
from pkgutil import resolve_name
from typing import Any

import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Float

from metarl.tasks.rendering import replace_renderer
from metarl_envs.mujoco_family import (
    DIVERGED_NAMES,
    DIVERGED_WARNINGS,
    Transition,
    load_family,
    load_model,
)
from metarl_envs.mujoco_messages import without_messages

Observation = Float[np.ndarray, " obs"]


class MujocoTask(MujocoEnv):
    """One environment of a family; bit-equal to its slot in a `MujocoTaskVector`.

    An episode whose simulation MuJoCo reports as unstable terminates: the observation is the one
    before, the reward 0, and `info["unstable"]` names what was NaN, infinite or huge. An episode
    that terminated stands still until the next reset.

    Args:
        family: the function that specifies the family, "module:function"; its docstring is the
            description of the environment.
        render_mode: as Gymnasium's MuJoCo environments take it.
        width: of rendered frames, in pixels.
        height: of rendered frames, in pixels.
        family_kwargs: passed on to the family's function.

    """

    metadata = {  # noqa: RUF012
        "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"]
    }

    def __init__(
        self,
        family: str,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        **family_kwargs: Any,
    ) -> None:
        self._family = load_family(family, **family_kwargs)
        self.__doc__ = resolve_name(family).__doc__
        self._body = self._family.body
        super().__init__(
            self._body.model_file,
            self._body.frame_skip,
            observation_space=None,
            render_mode=render_mode,
            width=width,
            height=height,
            default_camera_config=dict(self._body.camera),
        )
        replace_renderer(self)
        self.metadata = {**self.metadata, "render_fps": round(1 / self.dt)}
        self._unchanged_model = copy.copy(self.model)
        self._fields = {
            name: getattr(self.data, name)[None] for name in ("qpos", "qvel", *self._body.fields)
        }
        mujoco.mj_forward(self.model, self.data)
        self._last = self._observe()
        self._terminated = False
        self.observation_space = spaces.Box(-np.inf, np.inf, self._last.shape, np.float64)
        self.constant_observation = self._body.constant_observation
        self.task_space = self._family.tasks.space
        self.task = self._family.tasks.default
        if self._family.tasks.sample is not None:
            self.sample_task = self._family.tasks.sample

    def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = load_model(self._body)
        # The offscreen buffer must hold a frame of the size that is rendered.
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, self.width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, self.height)
        return model, mujoco.MjData(model)

    @property
    def task(self) -> Any:
        """The task; one set between resets changes rewards at once and dynamics at the reset."""
        return self._task

    @task.setter
    def task(self, task: Any) -> None:
        self._task = task
        self._task_numbers = self._family.tasks.to_rows([task])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; `options["task"]` sets the task, which stays until it is set anew."""
        if options is not None and "task" in options:
            self.task = options["task"]
        if self._family.parameters is not None:
            changed = self._family.parameters(self._unchanged_model, self._task_numbers)
            for name, values in changed.items():
                getattr(self.model, name)[:] = values[0]
            mujoco.mj_setConst(self.model, self.data)
        self._terminated = False
        result: tuple[Observation, dict[str, Any]] = super().reset(seed=seed, options=options)
        return result

    def reset_model(self) -> Observation:
        """Put the body where the episode starts."""
        positions, velocities = self._body.start(self.np_random, self.model)
        if self._family.place is not None:
            self._family.place(positions, self._task_numbers[0])
        self.data.qpos[:], self.data.qvel[:] = positions, velocities
        mujoco.mj_forward(self.model, self.data)
        self._last = self._observe()
        observation: Observation = self._last.copy()
        return observation

    def _observe(self) -> Observation:
        observation: Observation = self._body.observe(self._fields)[0]
        return observation

    def step(  # type: ignore[override]
        self, action: Float[np.ndarray, " act"]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Make one control step."""
        if self._terminated:
            return self._last.copy(), 0.0, True, False, {}
        actions = np.asarray(action, dtype=np.float64)[None]
        before = self._body.position(self._fields).copy()
        self.data.ctrl[:] = actions[0]
        with without_messages("unstable"):
            mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
            if self._body.up_to_date:
                mujoco.mj_forward(self.model, self.data)
        for name, warning in zip(DIVERGED_NAMES, DIVERGED_WARNINGS, strict=True):
            if self.data.warning[warning].number:
                self._terminated = True
                return self._last.copy(), 0.0, True, False, {"unstable": name}
        healthy = (
            np.ones(1, dtype=bool)
            if self._body.healthy is None
            else self._body.healthy(self._fields)
        )
        velocity = (self._body.position(self._fields) - before) / self.dt
        transition = Transition(velocity, self._fields, actions, self._task_numbers, healthy)
        reward = self._family.reward(transition)
        self._last = self._observe()
        self._terminated = not healthy[0]
        if self.render_mode == "human":
            self.render()  # type: ignore[no-untyped-call]
        return self._last.copy(), float(reward[0]), self._terminated, False, {}
