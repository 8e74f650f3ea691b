"""Classic control with randomised physics, on Gymnasium's own equations of motion."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from jaxtyping import Float

from metarl_envs.drawing import AGENT, FAINT, INK, PATH, Canvas
from metarl_envs.slots import Frame

Observation = Float[np.ndarray, "3"]


class PendulumRandParams(PendulumEnv):
    """Swing up a pendulum of unknown gravity, mass and length.

    ===========  ==================================================================
    observation  (3,) cos θ, sin θ, angular velocity θ̇ in [-8, 8] rad/s; θ = 0 is
                 upright
    action       (1,) torque u in [-2, 2] N·m
    reward       −(θ² + 0.1·θ̇² + 0.001·u²), θ in [-π, π], before the step
    terminates   never; truncated at the time limit
    control step 0.05 s
    dynamics     θ̈ = 3g/(2l)·sin θ + 3u/(m·l²)
    task         (3,) gravity g in [5, 15] m/s², mass m in [0.5, 1.5] kg, length l in
                 [0.5, 1.5] m, independent and uniform: Pendulum-v1's values ± 50 %
    start        θ uniform in [-π, π], θ̇ uniform in [-1, 1]
    source       this project, on the physics of Gymnasium's Pendulum-v1
    ===========  ==================================================================
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        low, high = np.array([5.0, 0.5, 0.5]), np.array([15.0, 1.5, 1.5])
        self.task_space = spaces.Box(low, high, (3,), np.float64)
        self.task = np.array([10.0, 1.0, 1.0])

    @property
    def task(self) -> Float[np.ndarray, "3"]:
        """Gravity, mass and length; they stay until they are set anew."""
        return np.array([self.g, self.m, self.l])

    @task.setter
    def task(self, task: Float[np.ndarray, "3"]) -> None:
        self.g, self.m, self.l = (float(value) for value in task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start at a random angle; `options["task"]` sets the physics, which stays."""
        if options is not None and "task" in options:
            self.task = options["task"]
        result: tuple[Observation, dict[str, Any]] = super().reset(seed=seed)
        return result

    def step(self, action: Float[np.ndarray, "1"]) -> tuple[Observation, float, bool, bool, Any]:
        """Apply the torque for one control step."""
        physics: Any = super()
        observation, reward, terminated, truncated, info = physics.step(action)
        return observation, float(reward), terminated, truncated, info

    def render(self) -> Frame | None:
        """Draw the rod at its length, the mass at its size, and the pendulum's reach."""
        if self.render_mode != "rgb_array":
            return None
        gravity, mass, length = self.task
        canvas = Canvas(1.9)
        canvas.ring((0.0, 0.0), float(length), FAINT)
        angle = float(self.state[0])
        end = np.array([-np.sin(angle), np.cos(angle)]) * length
        canvas.line([(0.0, 0.0), end], PATH, pixels=8)
        canvas.disc(end, 0.15 * float(np.cbrt(mass)), AGENT)
        canvas.dot((0.0, 0.0), 5, INK)
        torque = 0.0 if self.last_u is None else float(self.last_u)
        canvas.text((0, 1.7), f"g {gravity:.1f} m/s/s   m {mass:.2f} kg   l {length:.2f} m")
        canvas.text((0, -1.7), f"torque {torque:+.2f} N·m")
        return canvas.frame()
