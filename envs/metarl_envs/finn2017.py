"""Half-cheetah and ant tasks as the authors' code of Finn, Abbeel, Levine 2017 has them.

They differ from the tasks at Gymnasium's control rate in the control step, the observation, the
start and the velocity: vx is that of the centre of mass at the end of the step (m/s). Costs take
the action clipped to its bounds. The bodies are Gymnasium's.
"""

from jaxtyping import Bool, Float

from metarl_envs import ant, half_cheetah, starts
from metarl_envs.mujoco_family import (
    Array,
    Body,
    Family,
    Fields,
    Transition,
    all_finite,
    beside,
    clipped,
    sum_of_squares,
)
from metarl_envs.task_distributions import backward_or_forward, goals_in_square, velocities

TORSO = 1
_VELOCITY_SENSOR = (("subtreelinvel", {"body": "torso"}),)


def _observe_half_cheetah(fields: Fields) -> Float[Array, "slot 20"]:
    centre = fields["subtree_com"][:, TORSO]
    return beside(fields["qpos"][:, 1:], fields["qvel"], centre)


def _observe_ant(fields: Fields) -> Float[Array, "slot 125"]:
    return beside(
        fields["qpos"],
        fields["qvel"],
        ant.clipped_forces(fields),
        fields["xmat"][:, TORSO],
        fields["subtree_com"][:, TORSO],
    )


def _ant_is_healthy(fields: Fields) -> Bool[Array, " slot"]:
    height = fields["qpos"][:, 2]
    finite = all_finite(fields["qpos"]) & all_finite(fields["qvel"])
    return finite & (height >= 0.2) & (height <= 1.0)


_HALF_CHEETAH = Body(
    model_file="half_cheetah.xml",
    frame_skip=1,
    start=starts.finn2017,
    observe=_observe_half_cheetah,
    fields=("subtree_com", "sensordata"),
    sensors=_VELOCITY_SENSOR,
    up_to_date=True,
    constant_observation=(18,),  # the centre of mass's y, in a body that moves in the plane
    camera=half_cheetah.BODY.camera,
)
_ANT = Body(
    model_file="ant.xml",
    frame_skip=1,
    start=starts.finn2017,
    observe=_observe_ant,
    healthy=_ant_is_healthy,
    fields=("subtree_com", "sensordata", "cfrc_ext", "xmat"),
    sensors=(*_VELOCITY_SENSOR, *ant.CONTACT_SENSORS),
    up_to_date=True,
    timestep=0.02,
    constant_observation=tuple(range(29, 29 + ant.CONTACT_FORCES)),
    camera={"distance": 4.0},
)


def _centre_velocity(step: Transition) -> Float[Array, " slot"]:
    """Give the centre of mass's x velocity; its sensor is the model's first."""
    return step.fields["sensordata"][:, 0]


def _half_cheetah_cost(step: Transition) -> Float[Array, " slot"]:
    return 0.05 * sum_of_squares(clipped(step.actions, -1.0, 1.0))


def _ant_cost(step: Transition) -> Float[Array, " slot"]:
    actions = clipped(step.actions, -1.0, 1.0)
    return 0.005 * sum_of_squares(actions) + ant.contact_cost(step.fields)


def half_cheetah_dir_finn2017() -> Family:
    """Run forward or backward, as the authors of MAML had it.

    ===========  ==================================================================
    observation  (20,) joint positions without x (8, m and rad), velocities (9, m/s
                 and rad/s), centre of mass (3, m)
    action       (6,) joint torques, each in [-1, 1]
    reward       d·vx − 0.05·Σa²
    terminates   never; truncated at the time limit
    control step 0.01 s (1 physics step)
    task         0: backward (d = −1), 1: forward (d = +1), equal odds
    start        positions + N(0, 0.01²), velocities N(0, 0.1²)
    source       Finn, Abbeel, Levine 2017, section 5.3, and the authors' code
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        return step.tasks[:, 0] * _centre_velocity(step) - _half_cheetah_cost(step)

    return Family(_HALF_CHEETAH, backward_or_forward(), reward)


def half_cheetah_vel_finn2017() -> Family:
    """Run at a given speed, as the authors of MAML had it.

    ===========  ==================================================================
    observation  (20,) as in HalfCheetahDirFinn2017
    action       (6,) joint torques, each in [-1, 1]
    reward       −|vx − v*| − 0.05·Σa²
    terminates   never; truncated at the time limit
    control step 0.01 s (1 physics step)
    task         (1,) goal velocity v*, uniform in [0, 2] m/s
    start        as in HalfCheetahDirFinn2017
    source       Finn, Abbeel, Levine 2017, section 5.3, and the authors' code
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        error = abs(_centre_velocity(step) - step.tasks[:, 0])
        return -error - _half_cheetah_cost(step)

    return Family(_HALF_CHEETAH, velocities(0.0, 2.0), reward)


def ant_vel_finn2017() -> Family:
    """Run at a given speed, as the authors of MAML had it.

    ===========  ==================================================================
    observation  (125,) joint positions (15: x, y, height in m, orientation
                 quaternion, angles in rad), velocities (14, m/s and rad/s), contact
                 torques and forces on 14 bodies clipped to [-1, 1] (84; the first
                 body is the world, whose six are always 0), the torso's rotation
                 matrix (9), centre of mass (3, m)
    action       (8,) joint torques, each in [-1, 1]
    reward       −|vx − v*| + 1 − c + 0.05, where the cost c is
                 0.005·Σa² + 0.0005·Σ(clipped contact torques and forces)²
    terminates   when the torso's z is outside [0.2, 1] m; truncated at the time limit
    control step 0.02 s (1 physics step, Runge-Kutta)
    task         (1,) goal velocity v*, uniform in [0, 3] m/s
    start        positions N(p, 0.01²) around the pose p = `init_qpos` of the model,
                 velocities N(0, 0.1²)
    source       Finn, Abbeel, Levine 2017, section 5.3, and the authors' code
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        near = -abs(_centre_velocity(step) - step.tasks[:, 0]) + 1.0
        return near - _ant_cost(step) + 0.05

    return Family(_ANT, velocities(0.0, 3.0), reward)


def ant_dir_finn2017() -> Family:
    """Run forward or backward, as the authors of MAML had it.

    ===========  ==================================================================
    observation  (125,) as in AntVelFinn2017
    action       (8,) joint torques, each in [-1, 1]
    reward       d·vx − c + 0.05, c as in AntVelFinn2017
    terminates   when the torso's z is outside [0.2, 1] m; truncated at the time limit
    control step 0.02 s (1 physics step, Runge-Kutta)
    task         0: backward (d = −1), 1: forward (d = +1), equal odds
    start        as in AntVelFinn2017
    source       Finn, Abbeel, Levine 2017, section 5.3, and the authors' code
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        moved = step.tasks[:, 0] * _centre_velocity(step)
        return moved - _ant_cost(step) + 0.05

    return Family(_ANT, backward_or_forward(), reward)


def ant_goal_finn2017() -> Family:
    """Walk to a goal in a square, as the authors of MAML had it.

    ===========  ==================================================================
    observation  (125,) as in AntVelFinn2017
    action       (8,) joint torques, each in [-1, 1]
    reward       −(|x − gx| + |y − gy|) + 4 − c + 0.05, x, y the torso's centre of
                 mass (m), c as in AntVelFinn2017
    terminates   when the torso's z is outside [0.2, 1] m; truncated at the time limit
    control step 0.02 s (1 physics step, Runge-Kutta)
    task         (2,) goal gx, gy, uniform in [-3, 3]² m
    start        as in AntVelFinn2017
    source       the authors' code of Finn, Abbeel, Levine 2017 (not in the paper)
    ===========  ==================================================================
    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        centre = step.fields["subtree_com"][:, TORSO, :2]
        distance = abs(centre - step.tasks).sum(axis=1)
        return 4.0 - distance - _ant_cost(step) + 0.05

    return Family(_ANT, goals_in_square(3.0), reward)
