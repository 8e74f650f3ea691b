"""How fast a meta-batch's environments are where no policy is asked: stepped by random actions."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from jaxtyping import Shaped

from metarl.config.reinforcement import Config
from metarl.foundation.seeding import Split
from metarl.tasks.distribution import Task, sample_tasks
from metarl.tasks.environment_batches import EnvironmentBatch, make_batch
from metarl.tasks.policy_environment import observed_environment

ROUNDS = 5
ROUND_SECONDS = 0.4
"""A round is over once so long has passed, the starts of its episodes included."""
_DRAWN = 16
"""So many steps have actions of their own; then they come again."""

Actions = Shaped[np.ndarray, "slot *act"]


@dataclass(frozen=True)
class EnvironmentSpeed:
    """Env steps/s of the environments of a meta-batch in one process, without a policy."""

    rounds: tuple[float, ...]
    """Env steps/s of each round; seconds are those spent in steps, not in starting episodes."""
    tasks_at_once: int
    """Tasks whose episodes run side by side."""
    frame_skip: int | None
    """Physics steps in an env step; None: the environment has none, or does not say."""

    @property
    def env_steps_per_second(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds)


def measured_speed(config: Config, slots_per_task: int) -> EnvironmentSpeed:
    """Step the environments that training steps, all slots with random actions.

    No slot stands still: when the first episode ends, all begin anew. A round before those that
    count warms up.

    Args:
        config: of the run.
        slots_per_task: episodes of a task that run side by side.

    Raises:
        EpisodeError, TaskError: an environment failed.

    """
    with (
        closing(observed_environment(config)) as single,
        closing(make_batch(config, slots_per_task, config.tasks_per_batch)) as batch,
    ):
        tasks = sample_tasks(
            single, config.seed, (Split.TRAIN, 1), batch.tasks_at_once, config.train_range
        )
        owners = [task for task in tasks for _ in range(slots_per_task)]
        space: Any = batch_space(single.action_space, len(owners))
        space.seed(config.seed)
        drawn = [space.sample() for _ in range(_DRAWN)]
        rounds = [
            _round(batch, owners, config.horizon, chain.from_iterable(repeat(drawn)))
            for _ in range(ROUNDS + 1)
        ]
        return EnvironmentSpeed(tuple(rounds[1:]), batch.tasks_at_once, _frame_skip(single))


def _frame_skip(environment: gym.Env[Any, Any]) -> int | None:
    """Read it where environments of MuJoCo, Gymnasium's and those made like them, have it."""
    if not environment.has_wrapper_attr("frame_skip"):
        return None
    found = environment.get_wrapper_attr("frame_skip")
    return found if isinstance(found, int) else None


def _round(
    batch: EnvironmentBatch, owners: Sequence[Task], horizon: int, actions: Iterator[Actions]
) -> float:
    """Step for a while, at least once; give env steps/s."""
    over = time.perf_counter() + ROUND_SECONDS
    active = np.ones(len(owners), dtype=bool)
    seconds, steps = 0.0, 0
    while not steps or time.perf_counter() < over:
        batch.reset(owners, range(len(owners)))
        for _ in range(horizon):
            chosen = next(actions)
            started = time.perf_counter()
            *_, ended = batch.step(chosen, active)
            seconds += time.perf_counter() - started
            steps += len(owners)
            if ended.any() or time.perf_counter() >= over:
                break
    return steps / seconds
