"""The two-link arm on the physics of Gymnasium's Reacher-v5, with the goal hidden."""

import mujoco
import numpy as np
from jaxtyping import Float

from metarl_envs.mujoco_family import (
    Array,
    Body,
    Family,
    Fields,
    Start,
    Transition,
    beside,
    namespace_of,
    sum_of_squares,
)
from metarl_envs.task_distributions import goals_in_disc

FINGERTIP = 3
RADIUS = 0.2


def _start(generator: np.random.Generator, model: mujoco.MjModel) -> Start:
    positions = model.qpos0 + generator.uniform(-0.1, 0.1, model.nq)
    velocities = generator.uniform(-0.005, 0.005, model.nv)
    velocities[2:] = 0.0
    return positions, velocities


def _observe(fields: Fields) -> Float[Array, "slot 6"]:
    joints = fields["qpos"][:, :2]
    arrays = namespace_of(joints)
    return beside(arrays.cos(joints), arrays.sin(joints), fields["qvel"][:, :2])


def _place_target(positions: Float[np.ndarray, " nq"], goal: Float[np.ndarray, "2"]) -> None:
    """Put the target, which is there to be seen in videos only, where the goal is."""
    positions[2:] = goal


_BODY = Body(
    model_file="reacher.xml",
    frame_skip=2,
    start=_start,
    observe=_observe,
    fields=("xpos",),
    camera={"distance": 1.0, "elevation": -70.0},
)


def reacher_goal() -> Family:
    """Reach a hidden goal with the fingertip.

    ===========  ==================================================================
    observation  (6,) cosines (2) and sines (2) of the joints' angles, their
                 velocities (2, rad/s): Reacher-v5's without what shows the goal
    action       (2,) joint torques, each in [-1, 1]
    reward       −√((x − gx)² + (y − gy)²) − Σa², x, y the fingertip (m), one physics
                 step old as in Reacher-v5
    terminates   never; truncated at the time limit
    control step 0.02 s (2 physics steps of 0.01 s)
    task         (2,) goal gx, gy, uniform over the disc of radius 0.2 m
    start        angles + U(−0.1, 0.1), velocities + U(−0.005, 0.005)
    source       Gymnasium's Reacher-v5, whose goal becomes the task
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        missing = step.fields["xpos"][:, FINGERTIP, :2] - step.tasks
        return -namespace_of(missing).sqrt(sum_of_squares(missing)) - sum_of_squares(step.actions)

    return Family(_BODY, goals_in_disc(RADIUS), reward, place=_place_target)
