"""Walker tasks on the physics of Gymnasium's Walker2d-v5.

In all of them v is the mean x velocity over the control step (m/s).
"""

from dataclasses import replace

from gymnasium.envs.mujoco.walker2d_v5 import DEFAULT_CAMERA_CONFIG
from jaxtyping import Bool, Float

from metarl_envs import starts
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
from metarl_envs.random_parameters import RandomParameters
from metarl_envs.task_distributions import backward_or_forward, velocities


def observe(fields: Fields) -> Float[Array, "slot obs"]:
    """Observe positions without x, and velocities clipped to [-10, 10]."""
    return beside(fields["qpos"][:, 1:], clipped(fields["qvel"], -10.0, 10.0))


def _healthy(fields: Fields) -> Bool[Array, " slot"]:
    height, angle = fields["qpos"][:, 1], fields["qpos"][:, 2]
    return (height > 0.8) & (height < 2.0) & (angle > -1.0) & (angle < 1.0)


_BODY = Body(
    model_file="walker2d_v5.xml",
    frame_skip=8,
    start=starts.uniform(0.005),
    observe=observe,
    healthy=_healthy,
    camera=DEFAULT_CAMERA_CONFIG,
)


def walker2d_dir() -> Family:
    """Walk forward or backward.

    ===========  ==================================================================
    observation  (17,) joint positions without x (8: height in m, angles in rad) and
                 velocities (9, m/s and rad/s, clipped to [-10, 10]), as in
                 Walker2d-v5
    action       (6,) joint torques, each in [-1, 1]
    reward       d·v + 1 − 0.001·Σa²
    terminates   unless 0.8 < height < 2 m and |angle| < 1 rad; truncated at the time
                 limit
    control step 0.016 s (8 physics steps of 0.002 s)
    task         0: backward (d = −1), 1: forward (d = +1), equal odds
    start        positions and velocities + U(−0.005, 0.005)
    source       Rothfuss et al. 2019 (ProMP)
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        moved = step.tasks[:, 0] * step.velocity[:, 0]
        return moved + 1.0 - 0.001 * sum_of_squares(step.actions)

    return Family(_BODY, backward_or_forward(), reward)


def walker2d_vel() -> Family:
    """Walk at a given speed.

    ===========  ==================================================================
    observation  (17,) as in Walker2dDir, like action and start
    reward       −|v − v*| + 15 − 0.001·Σa²
    terminates   unless 0.8 < height < 2 m and |angle| < 1 rad; truncated at the time
                 limit
    control step 0.016 s (8 physics steps of 0.002 s)
    task         (1,) goal velocity v*, uniform in [0, 10] m/s
    source       the code of Rothfuss et al. 2019 (ProMP)
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        error = abs(step.velocity[:, 0] - step.tasks[:, 0])
        return -error + 15.0 - 0.001 * sum_of_squares(step.actions)

    return Family(_BODY, velocities(0.0, 10.0), reward)


def forward_and_alive(step: Transition) -> Float[Array, " slot"]:
    """Reward v + 1 − 0.001·Σa², for bodies of unknown dynamics."""
    return step.velocity[:, 0] + 1.0 - 0.001 * sum_of_squares(step.actions)


def walker2d_rand_params(log_scale_limit: float = 3.0) -> Family:
    """Walk forward with unknown masses, inertias, damping and friction.

    ===========  ==================================================================
    observation  (17,) as in Walker2dDir, like action and start
    reward       v + 1 − 0.001·Σa²
    terminates   unless 0.8 < height < 2 m and |angle| < 1 rad; truncated at the time
                 limit
    control step 0.01 s (5 physics steps of 0.002 s)
    task         (61,) exponents e, each uniform in [-3, 3]: of the bodies' masses (7,
                 factor 1.5^e), principal inertias (7 × 3, 1.5^e), the joints'
                 damping (9, 1.3^e) and the geoms' friction (8 × 3, 1.5^e)
    source       Rothfuss et al. 2019 (ProMP), on rand_param_envs
    ===========  ==================================================================

    Args:
        log_scale_limit: the largest exponent.

    """

    parameters = RandomParameters(bodies=7, dofs=9, geoms=8)
    return Family(
        replace(_BODY, frame_skip=5),
        parameters.tasks(log_scale_limit),
        forward_and_alive,
        parameters=parameters.scaled,
    )
