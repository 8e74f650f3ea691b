"""The humanoid on the physics of Gymnasium's Humanoid-v5."""

from gymnasium.envs.mujoco.humanoid_v5 import DEFAULT_CAMERA_CONFIG
from jaxtyping import Bool, Float

from metarl_envs import starts
from metarl_envs.ant import CONTACT_SENSORS
from metarl_envs.mujoco_family import (
    Array,
    Body,
    Family,
    Fields,
    Transition,
    beside,
    clipped,
    sum_of_squares,
)
from metarl_envs.task_distributions import angles

TORSO = 1


def _healthy(fields: Fields) -> Bool[Array, " slot"]:
    height = fields["qpos"][:, 2]
    return (height > 1.0) & (height < 2.0)


def _centre_of_mass(fields: Fields) -> Float[Array, "slot 2"]:
    return fields["subtree_com"][:, TORSO, :2]


def humanoid_dir_2d(contact_forces: bool = False) -> Family:
    """Walk in a direction of the plane.

    ===========  ==================================================================
    observation  (257,) joint positions without x, y (22: height in m, orientation
                 quaternion, angles in rad), velocities (23, m/s and rad/s), inertias
                 (13 × 9, kg·m² and kg·m) and velocities (13 × 6, rad/s and m/s) of
                 the bodies, joint torques (17, N·m): as in Humanoid-v5 without the
                 bodies' masses, which are constant, and contact forces
    action       (17,) joint torques, each in [-0.4, 0.4]
    reward       1.25·(cos φ·vx + sin φ·vy) − 0.1·Σa² + 5, v the mean velocity of the
                 centre of mass over the control step (m/s)
    terminates   unless 1 < height < 2 m; truncated at the time limit
    control step 0.015 s (5 physics steps of 0.003 s)
    task         (1,) angle φ, uniform in [0, 2π] rad
    start        positions and velocities + U(−0.01, 0.01)
    source       Rothfuss et al. 2019 (ProMP). As in Gymnasium's environment, what is
                 not a joint's position or velocity is one physics step old
    ===========  ==================================================================

    Args:
        contact_forces: observe the contact torques and forces on the 13 bodies too (78 numbers
            more), and subtract their cost min(5e-7·Σf², 10), as ProMP does. Nothing is one physics
            step old then.

    """

    def observe(fields: Fields) -> Float[Array, "slot obs"]:
        slots = len(fields["qpos"])
        parts = [
            fields["qpos"][:, 2:],
            fields["qvel"],
            fields["cinert"][:, 1:, :9].reshape(slots, -1),
            fields["cvel"][:, 1:].reshape(slots, -1),
            fields["qfrc_actuator"][:, 6:],
        ]
        if contact_forces:
            parts.append(fields["cfrc_ext"][:, 1:].reshape(slots, -1))
        return beside(*parts)

    def reward(step: Transition) -> Float[Array, " slot"]:
        moved = 1.25 * (step.tasks * step.velocity).sum(axis=1)
        total = moved - 0.1 * sum_of_squares(step.actions) + 5.0
        if contact_forces:
            cost = 5e-7 * sum_of_squares(step.fields["cfrc_ext"])
            total = total - clipped(cost, 0.0, 10.0)
        return total

    body = Body(
        model_file="humanoid.xml",
        frame_skip=5,
        start=starts.uniform(0.01),
        observe=observe,
        healthy=_healthy,
        position=_centre_of_mass,
        fields=(
            "subtree_com",
            "cinert",
            "cvel",
            "qfrc_actuator",
            *(("cfrc_ext",) if contact_forces else ()),
        ),
        sensors=CONTACT_SENSORS if contact_forces else (),
        up_to_date=contact_forces,
        constant_observation=tuple(range(257, 335)) if contact_forces else (),
        camera=DEFAULT_CAMERA_CONFIG,
    )
    return Family(body, angles(), reward)
