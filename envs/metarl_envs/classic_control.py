"""Classic control with randomised physics."""

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from metarl_envs.drawing import AGENT, FAINT, INK, PATH, Canvas
from metarl_envs.slots import Frame, Generators, Moment, Outcome, SlotEnv, SlotVector
from metarl_envs.task_vector import Observations

LARGEST_TORQUE = 2.0
LARGEST_SPEED = 8.0
CONTROL_STEP = 0.05

States = Float[np.ndarray, "slot 2"]


class PendulumRandParams(SlotEnv):
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
    source       this project, with the physics of Gymnasium's Pendulum-v1: a test
                 holds observations bit-equal and rewards within 1e-9
    ===========  ==================================================================
    """

    def __init__(self, render_mode: str | None = None) -> None:
        low, high = np.array([5.0, 0.5, 0.5]), np.array([15.0, 1.5, 1.5])
        self.task_space = spaces.Box(low, high, (3,), np.float64)
        bounds = np.array([1.0, 1.0, LARGEST_SPEED], dtype=np.float32)
        self.observation_space = spaces.Box(-bounds, bounds, (3,), np.float32)
        self.action_space = spaces.Box(-LARGEST_TORQUE, LARGEST_TORQUE, (1,), np.float32)
        super().__init__(np.array([10.0, 1.0, 1.0]), render_mode)

    def start(self, generators: Generators) -> States:
        """Start at a random angle, turning slowly."""
        high = np.array([np.pi, 1.0])
        return np.array([generator.uniform(-high, high) for generator in generators])

    def observe(self, states: States) -> Observations:
        """See the angle as a direction, and the angular velocity."""
        angle, speed = states.T
        return np.stack([np.cos(angle), np.sin(angle), speed], axis=1).astype(np.float32)

    def advance(
        self,
        states: States,
        tasks: Float[np.ndarray, "slot 3"],
        actions: Float[np.ndarray, "slot 1"],
        _: Generators,
    ) -> Outcome:
        """Apply the torque for one control step."""
        angle, speed = states.T
        gravity, mass, length = tasks.T
        torque = np.clip(actions[:, 0], -LARGEST_TORQUE, LARGEST_TORQUE)
        # Gymnasium's products of a number and a torque are in the torque's single precision.
        per_torque = (3.0 / (mass * (length * length))).astype(torque.dtype)
        acceleration = 3 * gravity / (2 * length) * np.sin(angle) + per_torque * torque
        upright = (angle + np.pi) % (2 * np.pi) - np.pi
        costs = upright * upright + 0.1 * (speed * speed) + 0.001 * (torque * torque)
        speed = np.clip(speed + acceleration * CONTROL_STEP, -LARGEST_SPEED, LARGEST_SPEED)
        turned = np.stack([angle + speed * CONTROL_STEP, speed], axis=1)
        return Outcome(turned, -costs, np.zeros(len(turned), dtype=bool))

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw the rod at its length, the mass at its size, and the pendulum's reach."""
        gravity, mass, length = (float(value) for value in self.task)
        canvas = Canvas(1.9)
        canvas.ring((0.0, 0.0), length, FAINT)
        angle = float(moments[-1].state[0])
        end = np.array([-np.sin(angle), np.cos(angle)]) * length
        canvas.line([(0.0, 0.0), end], PATH, pixels=8)
        canvas.disc(end, 0.15 * float(np.cbrt(mass)), AGENT)
        canvas.dot((0.0, 0.0), 5, INK)
        canvas.text((0, 1.7), f"g {gravity:.1f} m/s/s   m {mass:.2f} kg   l {length:.2f} m")
        if moments[-1].action is not None:
            canvas.text((0, -1.7), f"torque {float(moments[-1].action[0]):+.2f} N·m")
        return canvas.frame()


def pendulum_rand_params_vector(
    num_envs: int = 1, max_episode_steps: int | None = None
) -> SlotVector:
    """Make many `PendulumRandParams` side by side."""
    return SlotVector(PendulumRandParams(), num_envs, max_episode_steps)
