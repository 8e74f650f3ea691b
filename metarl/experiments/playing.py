"""Single episodes by what an agent has become on a task, for those who watch."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.agent.protocol import Actor
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import Task


def play(
    actor: Actor,
    action_map: ActionMap,
    environment: gym.Env[Any, Any],
    task: Task,
    seed: int,
    generator: np.random.Generator | None = None,
) -> Iterator[tuple[np.ndarray, float]]:
    """Play one episode by the most likely actions, or by sampled ones.

    Args:
        actor: acts.
        action_map: from its actions to the environment's.
        environment: from `metarl.tasks.policy_environment.observed_environment`.
        task: the task.
        seed: of the reset.
        generator: to sample with; None: the most likely actions.

    Yields:
        The observation and the reward that came with it; 0 after the reset.

    """
    observation, _ = environment.reset(seed=seed, options={"task": task})
    yield observation, 0.0
    memory, ended = actor.begin(1), False
    while not ended:
        action, memory = actor.act(np.asarray(observation)[None], memory, generator)
        observation, reward, terminated, truncated, _ = environment.step(action_map(action)[0])
        yield observation, float(reward)
        ended = bool(terminated or truncated)
        memory = actor.observe(memory, np.array([float(reward)]), np.array([ended]))
