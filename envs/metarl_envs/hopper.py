"""The hopper on the physics of Gymnasium's Hopper-v5."""

from gymnasium.envs.mujoco.hopper_v5 import DEFAULT_CAMERA_CONFIG
from jaxtyping import Bool

from metarl_envs import starts, walker2d
from metarl_envs.mujoco_family import Array, Body, Family, Fields
from metarl_envs.random_parameters import RandomParameters


def _healthy(fields: Fields) -> Bool[Array, " slot"]:
    positions, velocities = fields["qpos"], fields["qvel"]
    small = (abs(positions[:, 2:]) < 100).all(axis=1) & (abs(velocities) < 100).all(axis=1)
    return small & (positions[:, 1] > 0.7) & (abs(positions[:, 2]) < 0.2)


_BODY = Body(
    model_file="hopper.xml",
    frame_skip=4,
    start=starts.uniform(0.005),
    observe=walker2d.observe,
    healthy=_healthy,
    camera=DEFAULT_CAMERA_CONFIG,
)


def hopper_rand_params(log_scale_limit: float = 3.0) -> Family:
    """Hop forward with unknown masses, inertias, damping and friction.

    ===========  ==================================================================
    observation  (11,) joint positions without x (5: height in m, angles in rad) and
                 velocities (6, m/s and rad/s, clipped to [-10, 10]), as in Hopper-v5
    action       (3,) joint torques, each in [-1, 1]
    reward       v + 1 − 0.001·Σa², v the mean x velocity over the control step (m/s)
    terminates   unless height > 0.7 m, |angle| < 0.2 rad and all else below 100;
                 truncated at the time limit
    control step 0.008 s (4 physics steps of 0.002 s)
    task         (37,) exponents e, each uniform in [-3, 3]: of the bodies' masses (4,
                 factor 1.5^e), principal inertias (4 × 3, 1.5^e), the joints'
                 damping (6, 1.3^e) and the geoms' friction (5 × 3, 1.5^e)
    start        positions and velocities + U(−0.005, 0.005)
    source       Rothfuss et al. 2019 (ProMP), on rand_param_envs
    ===========  ==================================================================

    Args:
        log_scale_limit: the largest exponent.

    """

    parameters = RandomParameters(bodies=4, dofs=6, geoms=5)
    return Family(
        _BODY,
        parameters.tasks(log_scale_limit),
        walker2d.forward_and_alive,
        parameters=parameters.scaled,
    )
