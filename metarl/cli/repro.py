"""Repeat an episode that failed in training or evaluation.

A run that ends, or leaves out a task, because an environment failed keeps the episode in its run
folder: the environment, the task, the seed and all actions. Here it is played again in one
environment, without policy or workers, until it fails.

Examples:
  metarl repro runs/mine/failures/episode-12-0-3.json
"""

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import Task, make_environment, task_space
from metarl.tasks.failed_episodes import FailedEpisode, read_episode


@dataclass(frozen=True)
class ReproArguments:
    """The arguments of `metarl repro`."""

    episode: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file that the message named."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code: 0 if the episode failed again."""
    arguments = parse(ReproArguments, argv, prog="metarl repro", description=__doc__ or "")
    episode = read_episode(arguments.episode)
    print(f"recorded: {episode.reason}")
    environment = make_environment(episode.env_id, episode.env_kwargs, -1)
    task = _task(episode, environment)
    shape = environment.observation_space.shape
    steps, ended, found = 0, False, ""
    try:
        observation, _ = environment.reset(seed=episode.reset_seed, options={"task": task})
        found = _nonsense("the observation of reset", observation, shape)
        for action in episode.actions:
            if found or ended:
                break
            space = environment.action_space
            given = np.asarray(action, dtype=space.dtype)
            observation, reward, terminated, truncated, _ = environment.step(
                given if space.shape else given.item()
            )
            found = _nonsense(f"the reward of step {steps}", reward, ()) or _nonsense(
                f"the observation of step {steps}", observation, shape
            )
            ended = bool(terminated or truncated)
            steps += 1
    except Exception as error:
        print(f"failed again, after {steps} steps: {type(error).__name__}: {error}")
        traceback.print_exc()
        return 0
    finally:
        environment.close()
    if found:
        print(f"failed again: {found}")
        return 0
    print(f"did not fail again in {steps} steps", file=sys.stderr)
    return 1


def _task(episode: FailedEpisode, environment: Any) -> Task:
    try:
        (task,) = task_space(environment).from_jsonable(episode.task)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ConfigError(f"the recorded task does not fit {episode.env_id}: {error}") from error
    return task


def _nonsense(what: str, values: Any, shape: tuple[int, ...] | None) -> str:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != shape:
        return f"{what} has shape {numbers.shape}, not {shape}"
    return "" if np.isfinite(numbers).all() else f"{what} is not finite: {values}"
