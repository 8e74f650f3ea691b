"""How episodes of MuJoCo bodies start: noise around a pose, in the order Gymnasium draws it."""

from collections.abc import Callable

import mujoco
import numpy as np

from metarl_envs.mujoco_family import Start


def uniform(scale: float) -> Callable[[np.random.Generator, mujoco.MjModel], Start]:
    """Start at the default pose; positions and velocities + U(-scale, scale)."""

    def start(generator: np.random.Generator, model: mujoco.MjModel) -> Start:
        positions = model.qpos0 + generator.uniform(-scale, scale, model.nq)
        return positions, generator.uniform(-scale, scale, model.nv)

    return start


def uniform_and_normal(scale: float) -> Callable[[np.random.Generator, mujoco.MjModel], Start]:
    """Start at the default pose; positions + U(-scale, scale), velocities + N(0, scale²)."""

    def start(generator: np.random.Generator, model: mujoco.MjModel) -> Start:
        positions = model.qpos0 + generator.uniform(-scale, scale, model.nq)
        return positions, scale * generator.standard_normal(model.nv)

    return start


def finn2017(generator: np.random.Generator, model: mujoco.MjModel) -> Start:
    """Start at the model's `init_qpos` or default pose; + N(0, 0.01²), velocities N(0, 0.1²)."""
    named = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_NUMERIC, "init_qpos")
    pose = model.qpos0 if named < 0 else model.numeric("init_qpos").data
    positions = pose + 0.01 * generator.standard_normal(model.nq)
    return positions, 0.1 * generator.standard_normal(model.nv)
