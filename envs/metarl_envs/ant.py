"""Ant tasks on the physics of Gymnasium's Ant-v5.

In all of them vx, vy are the mean velocities of the torso over the control step (m/s), x, y, z its
position after it (m).
"""

from collections.abc import Callable

from gymnasium.envs.mujoco.ant_v5 import DEFAULT_CAMERA_CONFIG
from jaxtyping import Bool, Float

from metarl_envs import starts
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
    xy_position,
)
from metarl_envs.task_distributions import (
    angles,
    backward_or_forward,
    goals_in_disc,
    goals_in_square,
    velocities,
)

CONTACT_COST_WEIGHT = 0.0005
CONTACT_SENSORS = (("framelinacc", {"objtype": "body", "objname": "torso"}),)
"""A sensor whose only use is that MuJoCo computes contact forces for models that have it."""
CONTACT_FORCES = 84
"""Contact torques and forces on 14 bodies; the first is the world, whose six are always 0."""
JOINTS = 29
"""Joint positions and velocities."""

Reward = Callable[[Transition], Float[Array, " slot"]]


def clipped_forces(fields: Fields) -> Float[Array, "slot force"]:
    """Give the contact forces and torques on every body, each clipped to [-1, 1]."""
    forces = fields["cfrc_ext"]
    return clipped(forces, -1.0, 1.0).reshape(len(forces), -1)


def contact_cost(fields: Fields) -> Float[Array, " slot"]:
    """Give 0.0005 times the sum of the squares of the clipped contact forces."""
    return CONTACT_COST_WEIGHT * sum_of_squares(clipped_forces(fields))


def _finite_and_between(low: float, high: float) -> Callable[[Fields], Bool[Array, " slot"]]:
    def healthy(fields: Fields) -> Bool[Array, " slot"]:
        height = fields["qpos"][:, 2]
        finite = all_finite(fields["qpos"]) & all_finite(fields["qvel"])
        return finite & (low <= height) & (height <= high)

    return healthy


def _body(
    contact_forces: bool,
    healthy: Callable[[Fields], Bool[Array, " slot"]] | None,
    first_observed: int = 2,
) -> Body:
    def observe(fields: Fields) -> Float[Array, "slot obs"]:
        parts = [fields["qpos"][:, first_observed:], fields["qvel"]]
        if contact_forces:
            parts.append(clipped_forces(fields))
        return beside(*parts)

    unforced = JOINTS - first_observed
    return Body(
        model_file="ant.xml",
        frame_skip=5,
        start=starts.uniform_and_normal(0.1),
        observe=observe,
        healthy=healthy,
        position=xy_position,
        fields=("cfrc_ext",) if contact_forces else (),
        sensors=CONTACT_SENSORS if contact_forces else (),
        up_to_date=contact_forces,
        constant_observation=(
            tuple(range(unforced, unforced + CONTACT_FORCES)) if contact_forces else ()
        ),
        camera=DEFAULT_CAMERA_CONFIG,
    )


def _with_contact_cost(reward: Reward, contact_forces: bool) -> Reward:
    if not contact_forces:
        return reward
    return lambda step: reward(step) - contact_cost(step.fields)


def ant_dir(contact_forces: bool = False) -> Family:
    """Run forward or backward.

    ===========  ==================================================================
    observation  (27,) joint positions without x, y (13: height in m, orientation
                 quaternion, angles in rad) and velocities (14, m/s and rad/s), as
                 in Ant-v5 without its contact forces
    action       (8,) joint torques, each in [-1, 1]
    reward       d·vx − 0.5·Σa² + 1
    terminates   when z is outside [0, 1]; truncated at the time limit
    control step 0.05 s (5 physics steps of 0.01 s)
    task         0: backward (d = −1), 1: forward (d = +1), equal odds
    start        positions + U(−0.1, 0.1), velocities + N(0, 0.1²)
    source       Finn, Abbeel, Levine 2017, section 5.3, in the form of Rothfuss et
                 al. 2019 (ProMP)
    ===========  ==================================================================

    Args:
        contact_forces: observe the contact forces on every body too, clipped to [-1, 1] (84
            numbers more), and subtract 0.0005 times the sum of their squares, as ProMP does. They
            are those of the state after the step.

    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        moved = step.tasks[:, 0] * step.velocity[:, 0]
        return moved - 0.5 * sum_of_squares(step.actions) + 1.0

    body = _body(contact_forces, _finite_and_between(0.0, 1.0))
    return Family(body, backward_or_forward(), _with_contact_cost(reward, contact_forces))


def ant_dir_2d(contact_forces: bool = False) -> Family:
    """Run in a direction of the plane.

    ===========  ==================================================================
    observation  (27,) as in AntDir, like action, control step and start
    reward       cos φ·vx + sin φ·vy − 0.5·Σa² + 1
    terminates   when z is outside [0, 1]; truncated at the time limit
    task         (1,) angle φ, uniform in [0, 2π] rad
    source       Rothfuss et al. 2019 (ProMP)
    ===========  ==================================================================

    Args:
        contact_forces: as in AntDir.

    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        moved = (step.tasks * step.velocity).sum(axis=1)
        return moved - 0.5 * sum_of_squares(step.actions) + 1.0

    body = _body(contact_forces, _finite_and_between(0.0, 1.0))
    return Family(body, angles(), _with_contact_cost(reward, contact_forces))


def ant_vel(contact_forces: bool = False) -> Family:
    """Run at a given speed.

    ===========  ==================================================================
    observation  (27,) as in AntDir, like action, control step and start
    reward       −|vx − v*| + 1 − 0.005·Σa² + 0.05
    terminates   when z is outside [0.2, 1]; truncated at the time limit
    task         (1,) goal velocity v*, uniform in [0, 3] m/s
    source       Finn, Abbeel, Levine 2017, section 5.3: the reward of their code, at
                 Gymnasium's control step (theirs: AntVelFinn2017)
    ===========  ==================================================================

    Args:
        contact_forces: as in AntDir.

    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        near = -abs(step.velocity[:, 0] - step.tasks[:, 0]) + 1.0
        return near - 0.005 * sum_of_squares(step.actions) + 0.05

    body = _body(contact_forces, _finite_and_between(0.2, 1.0))
    return Family(body, velocities(0.0, 3.0), _with_contact_cost(reward, contact_forces))


def ant_goal(contact_forces: bool = False) -> Family:
    """Walk to a goal in a square.

    ===========  ==================================================================
    observation  (29,) joint positions (15: x, y, height in m, orientation
                 quaternion, angles in rad) and velocities (14, m/s and rad/s);
                 action, control step and start as in AntDir
    reward       −(|x − gx| + |y − gy|) + 4 − 0.005·Σa² + 0.05
    terminates   when z is outside [0.2, 1]; truncated at the time limit
    task         (2,) goal gx, gy, uniform in [-3, 3]² m
    source       the code of Finn, Abbeel, Levine 2017 (not in the paper), at
                 Gymnasium's control step (theirs: AntGoalFinn2017)
    ===========  ==================================================================

    Args:
        contact_forces: as in AntDir.

    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        distance = abs(xy_position(step.fields) - step.tasks).sum(axis=1)
        return 4.0 - distance - 0.005 * sum_of_squares(step.actions) + 0.05

    body = _body(contact_forces, _finite_and_between(0.2, 1.0), first_observed=0)
    return Family(body, goals_in_square(3.0), _with_contact_cost(reward, contact_forces))


def ant_goal_disc(contact_forces: bool = False) -> Family:
    """Walk to a goal in a disc.

    ===========  ==================================================================
    observation  (29,) as in AntGoal, like action, control step and start
    reward       −(|x − gx| + |y − gy|) − 0.1·Σa²
    terminates   never; truncated at the time limit
    task         (2,) goal gx, gy, uniform over the disc of radius 3 m
    source       Rothfuss et al. 2019 (ProMP); also Rakelly et al. 2019 (PEARL)
    ===========  ==================================================================

    Args:
        contact_forces: as in AntDir.

    """

    def reward(step: Transition) -> Float[Array, " slot"]:
        distance = abs(xy_position(step.fields) - step.tasks).sum(axis=1)
        return -distance - 0.1 * sum_of_squares(step.actions)

    body = _body(contact_forces, healthy=None, first_observed=0)
    return Family(body, goals_in_disc(3.0), _with_contact_cost(reward, contact_forces))
