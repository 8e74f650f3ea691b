"""Trials: several episodes of one task, through which whoever acts carries a memory.

Duan et al. 2016 (RL²) call it a trial. The memory begins anew with a trial and never with an
episode; the step after an episode's last still sees what that paid, and that it was the last.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from metarl.foundation.many_streams import integer_seeds, streams
from metarl.foundation.rollout_location import SLOT, STEP
from metarl.foundation.seeding import Purpose
from metarl.learning.trajectories import TaskStatistics, Trials
from metarl.tasks.distribution import name_task
from metarl.tasks.environment_batches import EnvironmentBatch, NativeBatch
from metarl.tasks.failed_episodes import EpisodeError
from metarl.workers.device_trials import DeviceEpisodes, DeviceTrialActor
from metarl.workers.rollout import require_finite
from metarl.workers.shards import Shard
from metarl.workers.trial_record import TrialRecord, side_by_side

Memory = tuple[np.ndarray, ...]
"""What is carried from step to step, a row for each trial."""


@runtime_checkable
class TrialActor(Protocol):
    """Acts in trials; it is an `metarl.agent.protocol.Actor` that is given its noise.

    A row's action and memory must not depend on the other rows, to the last bit.
    """

    def begin(self, rows: int) -> Memory:
        """Give the memory before the first step, for so many trials side by side."""

    def draw_noise(
        self, generator: np.random.Generator, steps: int
    ) -> Float[np.ndarray, "time *noise"]:
        """Draw the noise of one episode's actions."""

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, "row *noise"] | None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], Memory]:
        """Choose an action in each trial; without noise the most likely ones."""

    def observe(
        self,
        memory: Memory,
        rewards: Float[np.ndarray, " row"],
        ended: Bool[np.ndarray, " row"],
    ) -> Memory:
        """Take in what the actions brought: each row's reward, and whether its episode ended."""


@dataclass(frozen=True)
class PlayedTrials:
    """Trials of a shard's tasks, and what came of them."""

    trials: Trials
    statistics: list[TaskStatistics]
    """Of each task."""
    memories: list[list[Memory]]
    """For each task what its first trial remembered before the first episode, and after each."""


def play_trials(
    shard: Shard, actor: TrialActor, key: tuple[int, ...], episodes: int
) -> PlayedTrials:
    """Play trials on the tasks that the shard has begun with, one in each slot.

    Args:
        shard: the worker's shard.
        actor: acts.
        key: of the random streams; each episode of each trial has streams of its own.
        episodes: of a trial.

    Raises:
        TaskFailed: an environment failed.

    """
    parts = []
    at_once = shard.environments.tasks_at_once
    for first in range(0, len(shard.tasks), at_once):
        part = range(first, min(first + at_once, len(shard.tasks)))
        parts.append(_play(shard, actor, key, episodes, part))
    return PlayedTrials(
        side_by_side([part.trials for part in parts]),
        [statistics for part in parts for statistics in part.statistics],
        [memories for part in parts for memories in part.memories],
    )


def _play(
    shard: Shard, actor: TrialActor, key: tuple[int, ...], episodes: int, part: range
) -> PlayedTrials:
    """Play trials on some tasks side by side."""
    config, slots = shard.config, shard.slots_per_task
    rows = len(part) * slots
    owners = [shard.tasks[position] for position in part for _ in range(slots)]
    names = []
    if not isinstance(shard.environments, NativeBatch):  # which steps no slot by itself
        names = [
            name_task(shard.task_indices[position], shard.tasks[position]) for position in part
        ]
    play = _player(shard, actor, rows)
    first_trials = np.arange(0, rows, slots)
    remembered = [play.remembered(first_trials)]
    record = TrialRecord(rows, episodes, config.horizon, getattr(torch, config.dtype))
    for episode in range(episodes):
        keys = [
            (*key, episode, shard.task_indices[position], slot)
            for position in part
            for slot in range(slots)
        ]
        seeds = integer_seeds(config.seed, Purpose.RESET, keys)
        generators = streams(config.seed, Purpose.ACTION, keys)
        noise = np.stack([actor.draw_noise(each, config.horizon) for each in generators], axis=1)
        shard.location.enter(names, episode, slots)
        try:
            play.episode(owners, seeds, noise, record, episode)
        except EpisodeError as error:
            error.seed = seeds[error.slot]
            error.slot += part.start * slots
            raise shard.failed(error, (*key, episode)) from error
        shard.location.leave()
        remembered.append(play.remembered(first_trials))
    memories = [
        [_rows_of(memory, np.array([task])) for memory in remembered] for task in range(len(part))
    ]
    return PlayedTrials(record.trials(), record.statistics(len(part)), memories)


@runtime_checkable
class _Player(Protocol):
    """Plays episodes of all trials, one after the other; keeps the memory in between."""

    def remembered(self, rows: np.ndarray) -> Memory:
        """Give what some trials remember by now."""

    def episode(
        self,
        owners: list[object],
        seeds: list[int],
        noise: Float[np.ndarray, "time row *noise"],
        record: TrialRecord,
        episode: int,
    ) -> None:
        """Play an episode of every trial into the record."""


def _player(shard: Shard, actor: TrialActor, rows: int) -> _Player:
    """Play on the device where slots and actor can, else through the CPU."""
    slots = shard.environments.on_device
    if slots is not None and isinstance(actor, DeviceTrialActor):
        return _DevicePlayer(shard, DeviceEpisodes(shard, slots, actor, rows))
    return _HostPlayer(shard, actor, rows)


class _HostPlayer:
    """A `_Player` whose every step goes through the CPU's memory."""

    def __init__(self, shard: Shard, actor: TrialActor, rows: int) -> None:
        self._shard, self._actor = shard, actor
        self._memory = actor.begin(rows)

    def remembered(self, rows: np.ndarray) -> Memory:
        return _rows_of(self._memory, rows)

    def episode(
        self,
        owners: list[object],
        seeds: list[int],
        noise: Float[np.ndarray, "time row *noise"],
        record: TrialRecord,
        episode: int,
    ) -> None:
        self._memory = _play_episode(
            self._shard,
            self._shard.environments,
            self._actor,
            self._memory,
            owners,
            seeds,
            noise,
            record,
            episode,
        )


class _DevicePlayer:
    """A `_Player` on the device."""

    def __init__(self, shard: Shard, episodes: DeviceEpisodes) -> None:
        self._shard, self._episodes = shard, episodes
        self.remembered = episodes.remembered

    def episode(
        self,
        owners: list[object],
        seeds: list[int],
        noise: Float[np.ndarray, "time row *noise"],
        record: TrialRecord,
        episode: int,
    ) -> None:
        told = self._episodes.play(owners, seeds, noise)
        _play_episode(self._shard, told, told, (), owners, seeds, noise, record, episode)


def _play_episode(
    shard: Shard,
    environments: EnvironmentBatch,
    actor: TrialActor,
    memory: Memory,
    owners: list[object],
    seeds: list[int],
    noise: Float[np.ndarray, "time row *noise"],
    record: TrialRecord,
    episode: int,
) -> Memory:
    """Play one episode of every trial to its end; give the memory afterwards."""
    here = shard.location.numbers
    observation = environments.reset(owners, seeds)
    active = np.ones(len(owners), dtype=bool)
    record.begin_episode()
    try:
        for time in range(shard.config.horizon):
            here[STEP], here[SLOT] = time, -1
            require_finite(environments, observation, active, f"an observation before step {time}")
            with shard.stopwatch.phase("policy"):
                chosen, thought = actor.choose(observation, memory, noise[time])
            record.choose(active, observation, chosen)
            with shard.stopwatch.phase("physics"):
                following, reward, over = environments.step(shard.action_map(chosen), active)
            require_finite(environments, reward, active, f"the reward of step {time}")
            ended = over | (time == shard.config.horizon - 1)
            last = f"the observation after step {time}, the last of its episode,"
            require_finite(environments, following, active & ended, last)
            terminated = over & environments.terminated
            record.observe(active, following, reward, ended, terminated, episode)
            with shard.stopwatch.phase("policy"):
                learned = actor.observe(thought, reward, ended)
            memory = learned if active.all() else _where(active, learned, memory)
            observation, active = following, active & ~over
            if not active.any():
                break
    except EpisodeError as error:
        error.actions = shard.action_map(record.chosen_in_episode(error.slot)).tolist()
        raise
    record.end_episode(episode, environments.succeeded, environments.unstable)
    return memory


def _rows_of(memory: Memory, rows: np.ndarray) -> Memory:
    return tuple(part[rows].copy() for part in memory)


def _where(active: Bool[np.ndarray, " row"], new: Memory, old: Memory) -> Memory:
    return tuple(
        np.where(active.reshape(-1, *[1] * (one.ndim - 1)), one, other)
        for one, other in zip(new, old, strict=True)
    )
