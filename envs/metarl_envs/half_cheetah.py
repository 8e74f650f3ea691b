"""Half-cheetah tasks on the physics of Gymnasium's HalfCheetah-v5."""

from gymnasium.envs.mujoco.half_cheetah_v5 import DEFAULT_CAMERA_CONFIG
from jaxtyping import Float

from metarl_envs import starts
from metarl_envs.mujoco_family import (
    Array,
    Body,
    Family,
    Fields,
    Transition,
    beside,
    sum_of_squares,
)
from metarl_envs.task_distributions import backward_or_forward, velocities

CONTROL_COST_WEIGHT = 0.05


def _observe(fields: Fields) -> Float[Array, "slot 17"]:
    return beside(fields["qpos"][:, 1:], fields["qvel"])


BODY = Body(
    model_file="half_cheetah.xml",
    frame_skip=5,
    start=starts.uniform_and_normal(0.1),
    observe=_observe,
    camera=DEFAULT_CAMERA_CONFIG,
)


def half_cheetah_dir() -> Family:
    """Run forward or backward.

    ===========  ==================================================================
    observation  (17,) joint positions without x (8, m and rad) and velocities
                 (9, m/s and rad/s), as in HalfCheetah-v5
    action       (6,) joint torques, each in [-1, 1]
    reward       d·v − 0.05·Σa², v the mean x velocity over the control step (m/s)
    terminates   never; truncated at the time limit
    control step 0.05 s (5 physics steps of 0.01 s)
    task         0: backward (d = −1), 1: forward (d = +1), equal odds
    start        positions + U(−0.1, 0.1), velocities + N(0, 0.1²)
    source       Finn, Abbeel, Levine 2017, section 5.3, in the form of Rothfuss et
                 al. 2019 (ProMP): their control step, observation and cost
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        cost = CONTROL_COST_WEIGHT * sum_of_squares(step.actions)
        return step.tasks[:, 0] * step.velocity[:, 0] - cost

    return Family(BODY, backward_or_forward(), reward)


def half_cheetah_vel() -> Family:
    """Run at a given speed.

    ===========  ==================================================================
    observation  (17,) as in HalfCheetahDir
    action       (6,) joint torques, each in [-1, 1]
    reward       −|v − v*| − 0.05·Σa², v the mean x velocity over the control step
                 (m/s)
    terminates   never; truncated at the time limit
    control step 0.05 s (5 physics steps of 0.01 s)
    task         (1,) goal velocity v*, uniform in [0, 3] m/s
    start        positions + U(−0.1, 0.1), velocities + N(0, 0.1²)
    source       Finn, Abbeel, Levine 2017, section 5.3, in the form of Rothfuss et
                 al. 2019 (ProMP): their velocity range, control step and cost
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        cost = CONTROL_COST_WEIGHT * sum_of_squares(step.actions)
        return -abs(step.velocity[:, 0] - step.tasks[:, 0]) - cost

    return Family(BODY, velocities(0.0, 3.0), reward)
