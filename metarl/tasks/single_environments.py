"""Environments that exist only one at a time: how many a worker holds, and how it steps them.

The more of its tasks run side by side, the more share each call of the policy, which for a cheap
environment costs more than its step. Environments that take long to make or much memory are heavy
to step as well, and gain nothing. Results do not depend on the number.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing

from metarl.config.reinforcement import Config
from metarl.tasks.distribution import make_environment

UNLIMITED = -1
"""For Gymnasium: no time limit, because a rollout itself counts to the horizon."""
MOST_SECONDS = 10.0
"""To be spent on making environments beyond those of one task, in each worker."""
MOST_BYTES = 512 * 2**20
"""To be taken by all of a worker's environments, beyond those of one task."""


def make_single_environments(
    config: Config, episodes_per_task: int, tasks: int
) -> list[gym.Env[Any, Any]]:
    """Make the environments of one task's episodes, and of more tasks while they are light.

    Args:
        config: names the environment.
        episodes_per_task: episodes that run side by side for each task.
        tasks: of the worker; no more are made than they need.

    Returns:
        Environments for the episodes of a whole number of tasks.

    """
    started, bytes_before = time.perf_counter(), resident_bytes()
    made: list[gym.Env[Any, Any]] = []
    for count in range(1, tasks + 1):
        made += [
            make_environment(config.env_id, config.env_kwargs, UNLIMITED)
            for _ in range(episodes_per_task)
        ]
        # What the next task's would come to, judging by those made.
        growth = (count + 1) / count
        seconds = (time.perf_counter() - started) * growth
        if seconds > MOST_SECONDS or (resident_bytes() - bytes_before) * growth > MOST_BYTES:
            break
    return made


def step_method(environment: gym.Env[Any, Any]) -> Callable[[Any], Any]:
    """Give the method that steps an environment, past wrappers that do nothing in a step here."""
    while isinstance(environment, gym.Wrapper) and (
        type(environment).step is gym.Wrapper.step or type(environment) is OrderEnforcing
    ):
        environment = environment.env
    return environment.step


def resident_bytes(process: int | str = "self") -> int:
    """Give the memory that a process holds; 0 where the system has no /proc to say it."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
