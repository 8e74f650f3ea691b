"""The swimmer on the physics of Gymnasium's Swimmer-v5."""

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
from metarl_envs.task_distributions import velocities


def _observe(fields: Fields) -> Float[Array, "slot 8"]:
    return beside(fields["qpos"][:, 2:], fields["qvel"])


_BODY = Body(
    model_file="swimmer.xml",
    frame_skip=4,
    start=starts.uniform(0.1),
    observe=_observe,
)


def swimmer_vel() -> Family:
    """Swim at a given speed.

    ===========  ==================================================================
    observation  (8,) angles (3, rad) and velocities (5, m/s and rad/s), as in
                 Swimmer-v5
    action       (2,) joint torques, each in [-1, 1]
    reward       −|v − v*| − 0.0001·Σa², v the mean x velocity over the control step
                 (m/s)
    terminates   never; truncated at the time limit
    control step 0.04 s (4 physics steps of 0.01 s)
    task         (1,) goal velocity v*, uniform in [0.1, 0.2] m/s
    start        positions and velocities + U(−0.1, 0.1)
    source       the code of Rothfuss et al. 2019 (ProMP), which rewards +|v − v*|; the
                 sign here is that of Finn, Abbeel, Levine's code
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        error = abs(step.velocity[:, 0] - step.tasks[:, 0])
        return -error - 0.0001 * sum_of_squares(step.actions)

    return Family(_BODY, velocities(0.1, 0.2), reward)
