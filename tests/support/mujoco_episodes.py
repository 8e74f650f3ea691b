"""Tasks and actions for the tests of the MuJoCo tasks."""

import gymnasium as gym
import numpy as np

import metarl_envs  # noqa: F401

FAMILIES = [
    name
    for name, spec in gym.registry.items()
    if spec.entry_point == "metarl_envs.mujoco_single:MujocoTask"
]


def tasks_of(env_id, count, seed=0):
    """Give tasks of an environment; of two tasks, both in turn."""
    environment = gym.make(env_id)
    space = environment.get_wrapper_attr("task_space")
    if isinstance(space, gym.spaces.Discrete):
        return [index % int(space.n) for index in range(count)]
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def actions_of(env_id, steps, slots, seed=0):
    space = gym.make(env_id).action_space
    generator = np.random.default_rng(seed)
    drawn = generator.uniform(space.low, space.high, (steps, slots, *space.shape))
    return drawn.astype(np.float32)


def heavily_damped():
    """Give a hopper task far outside its space, whose first step diverges."""
    task = np.zeros(37)
    task[16:22] = 60.0
    return task
