"""What is under test, and how the checks play episodes with it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from metarl.foundation.seeding import Purpose, Split, integer_seed
from metarl.tasks.distribution import Task, make_environment, sample_tasks

TASKS = 4
"""Tasks that most checks try."""

Env = gym.Env[Any, Any]


class Failure(Exception):
    """A check failed; the text says what was seen and what to do."""


@dataclass(frozen=True)
class Subject:
    """The environment under test, and what it is tried with."""

    env_id: str
    env_kwargs: dict[str, Any]
    horizon: int
    seed: int

    @contextmanager
    def environment(self) -> Iterator[Env]:
        """Make a fresh one, for a while."""
        environment = make_environment(self.env_id, self.env_kwargs, self.horizon)
        with closing(environment):
            yield environment

    def tasks(self, environment: Env, count: int = TASKS) -> list[Task]:
        """Draw tasks as training does."""
        return sample_tasks(environment, self.seed, (Split.TRAIN, 0), count)

    def reset_seed(self, episode: int) -> int:
        """Give the seed of an episode's reset."""
        return integer_seed(self.seed, Purpose.RESET, episode)

    def actions(self, environment: Env, episode: int) -> list[Any]:
        """Give an episode's actions: in odd episodes one is held, which leads further away."""
        space = deepcopy(environment.action_space)
        space.seed(integer_seed(self.seed, Purpose.ACTION, episode))
        if episode % 2:
            return [space.sample()] * self.horizon
        return [space.sample() for _ in range(self.horizon)]


class Step(NamedTuple):
    """What one step gave; the observation is a copy."""

    observation: Any
    reward: float
    terminated: bool
    truncated: bool


def play(environment: Env, task: Task, seed: int, actions: list[Any]) -> tuple[Any, list[Step]]:
    """Play an episode to its end; give a copy of the first observation, and the steps."""
    first, _ = environment.reset(seed=seed, options={"task": task})
    return deepcopy(first), advance(environment, actions)


def advance(environment: Env, actions: list[Any]) -> list[Step]:
    """Take steps until the episode ends."""
    steps = []
    for action in actions:
        observation, reward, terminated, truncated, _ = environment.step(action)
        steps.append(Step(deepcopy(observation), float(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            break
    return steps


def same(one: Any, other: Any) -> bool:
    """Compare tasks, observations, steps or episodes bit for bit."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other))


def declaration(environment: Env, attribute: str) -> Any:
    """Give what the environment declares about itself by an attribute; None: nothing."""
    if not environment.has_wrapper_attr(attribute):
        return None
    return environment.get_wrapper_attr(attribute)
