"""MuJoCo tasks: rewards by hand, and where episodes terminate."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from mujoco_episodes import FAMILIES, actions_of, tasks_of


def centre_velocity(model, data):
    """Give the centre of mass's velocity as a finite difference along the motion."""
    copy = mujoco.MjData(model)
    centres = []
    for moment in (-1e-5, 1e-5):
        copy.qpos[:] = data.qpos
        mujoco.mj_integratePos(model, copy.qpos, data.qvel, moment)
        mujoco.mj_forward(model, copy)
        centres.append(copy.subtree_com[1].copy())
    return (centres[1] - centres[0]) / 2e-5


def contact_forces(model, data):
    """Give the contact forces of the present state, computed in a simulation of its own."""
    copy = mujoco.MjData(model)
    copy.qpos[:], copy.qvel[:], copy.ctrl[:] = data.qpos, data.qvel, data.ctrl
    copy.qacc_warmstart[:] = data.qacc_warmstart
    mujoco.mj_forward(model, copy)
    mujoco.mj_rnePostConstraint(model, copy)
    return copy.cfrc_ext


def ant_costs(m, d, weight):
    return 0.0005 * np.sum(np.clip(contact_forces(m, d), -1, 1) ** 2) + weight


def finn_ant(m, d, action):
    return ant_costs(m, d, 0.005 * np.sum(action**2)) - 0.05


def direction(task):
    return 1 if task == 1 else -1


BY_HAND = {
    # Arguments: qpos before and after, mass centre before and after, model, data, action, task.
    "HalfCheetahDir": lambda q, p, b, c, m, d, a, t: (
        direction(t) * (p[0] - q[0]) / 0.05 - 0.05 * sum(a**2)
    ),
    "HalfCheetahVel": lambda q, p, b, c, m, d, a, t: (
        -abs((p[0] - q[0]) / 0.05 - t[0]) - 0.05 * sum(a**2)
    ),
    "HalfCheetahDirFinn2017": lambda q, p, b, c, m, d, a, t: (
        direction(t) * centre_velocity(m, d)[0] - 0.05 * sum(a**2)
    ),
    "HalfCheetahVelFinn2017": lambda q, p, b, c, m, d, a, t: (
        -abs(centre_velocity(m, d)[0] - t[0]) - 0.05 * sum(a**2)
    ),
    "AntDir": lambda q, p, b, c, m, d, a, t: (
        direction(t) * (p[0] - q[0]) / 0.05 - 0.5 * sum(a**2) + 1
    ),
    "AntDir2D": lambda q, p, b, c, m, d, a, t: (
        (np.cos(t[0]) * (p[0] - q[0]) + np.sin(t[0]) * (p[1] - q[1])) / 0.05 - 0.5 * sum(a**2) + 1
    ),
    "AntVel": lambda q, p, b, c, m, d, a, t: (
        -abs((p[0] - q[0]) / 0.05 - t[0]) + 1 - 0.005 * sum(a**2) + 0.05
    ),
    "AntGoal": lambda q, p, b, c, m, d, a, t: (
        -abs(p[0] - t[0]) - abs(p[1] - t[1]) + 4 - 0.005 * sum(a**2) + 0.05
    ),
    "AntGoalDisc": lambda q, p, b, c, m, d, a, t: (
        -abs(p[0] - t[0]) - abs(p[1] - t[1]) - 0.1 * sum(a**2)
    ),
    "AntDirFinn2017": lambda q, p, b, c, m, d, a, t: (
        direction(t) * centre_velocity(m, d)[0] - finn_ant(m, d, a)
    ),
    "AntVelFinn2017": lambda q, p, b, c, m, d, a, t: (
        -abs(centre_velocity(m, d)[0] - t[0]) + 1 - finn_ant(m, d, a)
    ),
    "AntGoalFinn2017": lambda q, p, b, c, m, d, a, t: (
        -abs(c[0] - t[0]) - abs(c[1] - t[1]) + 4 - finn_ant(m, d, a)
    ),
    "Walker2dDir": lambda q, p, b, c, m, d, a, t: (
        direction(t) * (p[0] - q[0]) / 0.016 + 1 - 0.001 * sum(a**2)
    ),
    "Walker2dVel": lambda q, p, b, c, m, d, a, t: (
        -abs((p[0] - q[0]) / 0.016 - t[0]) + 15 - 0.001 * sum(a**2)
    ),
    "Walker2dRandParams": lambda q, p, b, c, m, d, a, t: (
        (p[0] - q[0]) / 0.01 + 1 - 0.001 * sum(a**2)
    ),
    "HopperRandParams": lambda q, p, b, c, m, d, a, t: (
        (p[0] - q[0]) / 0.008 + 1 - 0.001 * sum(a**2)
    ),
    "HumanoidDir2D": lambda q, p, b, c, m, d, a, t: (
        1.25 * (np.cos(t[0]) * (c[0] - b[0]) + np.sin(t[0]) * (c[1] - b[1])) / 0.015
        - 0.1 * sum(a**2)
        + 5
    ),
    "SwimmerVel": lambda q, p, b, c, m, d, a, t: (
        -abs((p[0] - q[0]) / 0.04 - t[0]) - 0.0001 * sum(a**2)
    ),
    "ReacherGoal": lambda q, p, b, c, m, d, a, t: (
        -np.hypot(*(d.body("fingertip").xpos[:2] - t)) - sum(a**2)
    ),
    "AntDir with contact forces": lambda q, p, b, c, m, d, a, t: (
        direction(t) * (p[0] - q[0]) / 0.05 - ant_costs(m, d, 0.5 * sum(a**2)) + 1
    ),
    "HumanoidDir2D with contact forces": lambda q, p, b, c, m, d, a, t: (
        1.25 * (np.cos(t[0]) * (c[0] - b[0]) + np.sin(t[0]) * (c[1] - b[1])) / 0.015
        - 0.1 * sum(a**2)
        - min(5e-7 * np.sum(contact_forces(m, d) ** 2), 10)
        + 5
    ),
}


def mass_centre(model, data):
    return model.body_mass @ data.xipos / model.body_mass.sum()


def test_the_reward_of_every_family_is_computed_by_hand():
    assert {f"metarl/{name}-v0" for name in BY_HAND if " " not in name} == set(FAMILIES)


@pytest.mark.parametrize("name", BY_HAND)
def test_rewards_by_hand(name):
    base, _, forces = name.partition(" with ")
    environment = gym.make(
        f"metarl/{base}-v0", **({"contact_forces": True} if forces else {})
    ).unwrapped
    model, data = environment.model, environment.data
    for task in tasks_of(f"metarl/{base}-v0", 2, seed=4):
        environment.reset(seed=1, options={"task": task})
        for action in actions_of(f"metarl/{base}-v0", 12, 1)[:, 0].astype(np.float64):
            before, centre_before = data.qpos.copy(), mass_centre(model, data)
            _, reward, terminated, _, _ = environment.step(action)
            centre = mass_centre(model, data)
            expected = BY_HAND[name](
                before, data.qpos, centre_before, centre, model, data, action, task
            )
            assert reward == pytest.approx(expected, abs=1e-5)
            if terminated:
                break


@pytest.mark.parametrize(
    ("name", "joint", "good", "bad"),
    [
        ("AntDir", 2, [0.0, 0.1, 1.0], [-0.01, 1.01, np.nan]),
        ("AntDir2D", 2, [0.0, 0.1, 1.0], [-0.01, 1.01, np.nan]),
        ("AntVel", 2, [0.2, 1.0], [0.19, 1.01, np.nan]),
        ("AntGoal", 2, [0.2, 1.0], [0.19, 1.01, np.nan]),
        ("AntVelFinn2017", 2, [0.2, 1.0], [0.19, 1.01, np.nan]),
        ("Walker2dDir", 1, [0.81, 1.99], [0.8, 2.0]),
        ("Walker2dDir", 2, [-0.99, 0.99], [-1.0, 1.0]),
        ("HopperRandParams", 1, [0.71, 5.0], [0.7, 0.2]),
        ("HopperRandParams", 2, [-0.19, 0.19], [-0.2, 0.2]),
        ("HopperRandParams", 4, [-99.0, 99.0], [-100.0, 100.0]),
        ("HumanoidDir2D", 2, [1.01, 1.99], [1.0, 2.0]),
    ],
)
def test_where_episodes_terminate(name, joint, good, bad):
    environment = gym.make(f"metarl/{name}-v0").unwrapped
    healthy = environment._body.healthy
    start = environment.model.qpos0.copy()
    if name.startswith("Ant"):
        start[2] = 0.5
    for values, expected in ((good, True), (bad, False)):
        positions = np.repeat(start[None], len(values), axis=0)
        positions[:, joint] = values
        fields = {"qpos": positions, "qvel": np.zeros((len(values), environment.model.nv))}
        assert healthy(fields).tolist() == [expected] * len(values)
