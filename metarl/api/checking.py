"""`metarl.check`, and episodes that failed once, played again."""

import os
import traceback
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config.plugins import load_preset, preset_names
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.wording import counted
from metarl.tasks.distribution import Task, make_environment, registered, task_space
from metarl.tasks.failed_episodes import FailedEpisode, read_episode
from metarl.testing.kit import LONGEST_EPISODE, Verdict, check_agent, check_task_env


def check(
    subject: str = "", *, agent: str = "", horizon: int | None = None, seed: int = 1
) -> list[Verdict]:
    """Check that a plug-in keeps the promises that meta-training builds on.

    Args:
        subject: an environment, as package:namespace/Name-v0; or a preset's name, or the path of
            a TOML file.
        agent: an agent to check instead, by its name or as module:NAME of its AgentSpec.
        horizon: time limit to check with, in steps; None: the registered one or the preset's, at
            most 40.
        seed: of all that is tried.

    Raises:
        ConfigError: there is no such thing, or both or neither are named.

    """
    for name, value, least in (("horizon", horizon, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise ConfigError(f"{name} = {value} must be at least {least}")
    if bool(subject) == bool(agent):
        raise ConfigError("name an environment or a preset: metarl check ENV_ID; or --agent NAME")
    if agent:
        return check_agent(agent, seed=seed)
    env_id, env_kwargs, limit = _environment(subject, horizon)
    return check_task_env(env_id, env_kwargs, horizon=limit, seed=seed)


def _environment(subject: str, horizon: int | None) -> tuple[str, dict[str, Any], int | None]:
    """Give id, keyword arguments and horizon of the environment to check."""
    known = [origin.name for origin in preset_names()]
    if subject.endswith(".toml") or subject in known:
        config = load_preset(subject)
        if not isinstance(config, Config):
            raise ConfigError(
                f"preset {subject!r} is of problem {config.problem!r}, not of an environment"
            )
        limit = horizon or min(config.horizon, LONGEST_EPISODE)
        return config.env_id, config.env_kwargs, limit
    try:
        registered(subject)
    except ConfigError as error:
        near = get_close_matches(subject, known, n=1)
        hint = f"; or did you mean the preset {near[0]!r}?" if near else ""
        raise ConfigError(f"{error}{hint}") from error
    return subject, {}, horizon


@dataclass(frozen=True)
class Repetition:
    """What came of playing a failed episode again."""

    recorded: str
    """How it failed at first."""
    failure: str
    """How it failed now; empty: it did not."""
    steps: int
    """Steps taken now."""
    trace: str = ""
    """The environment's traceback, if it raised."""


def repeat_episode(file: str | os.PathLike[str]) -> Repetition:
    """Play an episode that failed in training or evaluation again, in one environment.

    Args:
        file: that a run kept, as its message named it.

    Raises:
        RunFolderError: the file cannot be read.
        ConfigError: the environment is not installed here, or has other tasks.

    """
    episode = read_episode(Path(file))
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
        failure = f"after {counted(steps, 'step')}: {type(error).__name__}: {error}"
        return Repetition(episode.reason, failure, steps, traceback.format_exc())
    finally:
        environment.close()
    return Repetition(episode.reason, found, steps)


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
