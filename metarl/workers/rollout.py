"""Policy × environments → trajectories."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.foundation.many_streams import integer_seeds, streams
from metarl.foundation.rollout_location import SLOT, STEP, RolloutLocation
from metarl.foundation.seeding import Purpose
from metarl.foundation.stopwatch import Stopwatch
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import Policy
from metarl.learning.trajectories import Trajectories
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import Task, name_task
from metarl.tasks.environment_batches import EnvironmentBatch
from metarl.tasks.failed_episodes import EpisodeError, first_not_finite, not_finite
from metarl.workers.policies_of_tasks import PoliciesOfTasks


def collect(
    environments: EnvironmentBatch,
    policy: Policy,
    parameters: Sequence[Parameters],
    tasks: Sequence[Task],
    *,
    action_map: ActionMap,
    horizon: int,
    slots_per_task: int,
    episodes_per_task: int,
    seed: int,
    keys: Sequence[tuple[int, ...]],
    stopwatch: Stopwatch,
    location: RolloutLocation,
    run: "EpisodeRunner",
    first_episode: int = 0,
) -> list[Trajectories]:
    """Collect every task's episodes of one adaptation phase.

    Args:
        environments: the slots to run in.
        policy: the policy module.
        parameters: the parameters to act with, for each task.
        tasks: the tasks.
        action_map: from policy actions to environment actions.
        horizon: longest episode, in steps.
        slots_per_task: slots that `environments` has for each task.
        episodes_per_task: episodes for each task, at most as many; the other slots stand still.
        seed: the run's seed.
        keys: for each task the key of its streams, to which the episode's number is appended; it
            ends with the adaptation phase and the task's index.
        stopwatch: times the phases "policy" and "physics".
        location: told of every step.
        run: runs the episodes.
        first_episode: the number of the first episode, where they are played in several rounds.

    Raises:
        EpisodeError: an environment failed or gave an observation or reward that is not finite;
            its slot is counted through all tasks.

    """
    trajectories: list[Trajectories] = []
    for start in range(0, len(tasks), environments.tasks_at_once):
        part = slice(start, start + environments.tasks_at_once)
        episodes = range(first_episode, first_episode + slots_per_task)
        slots = [(*key, episode) for key in keys[part] for episode in episodes]
        noise = np.stack(
            [
                policy.draw_noise(generator, horizon)
                for generator in streams(seed, Purpose.ACTION, slots)
            ]
        )
        seeds = integer_seeds(seed, Purpose.RESET, slots)
        names = [
            name_task(key[-1], task) for key, task in zip(keys[part], tasks[part], strict=True)
        ]
        location.enter(names, keys[start][-2], slots_per_task)
        try:
            trajectories += run(
                environments,
                policy,
                parameters[part],
                tasks[part],
                action_map,
                noise,
                seeds,
                episodes_per_task,
                stopwatch,
                location,
            )
        except EpisodeError as error:
            error.seed = seeds[error.slot]
            error.slot += start * slots_per_task
            raise
        location.leave()
    return trajectories


@runtime_checkable
class EpisodeRunner(Protocol):
    """Runs some tasks' episodes side by side, each to its end.

    Raises:
        EpisodeError: an environment failed; the seed is not known yet.

    """

    def __call__(
        self,
        environments: EnvironmentBatch,
        policy: Policy,
        parameters: Sequence[Parameters],
        tasks: Sequence[Task],
        action_map: ActionMap,
        noise: Float[np.ndarray, "slot time *act"],
        seeds: list[int],
        episodes_per_task: int,
        stopwatch: Stopwatch,
        location: RolloutLocation,
    ) -> list[Trajectories]:
        """Give each task's episodes."""


def run_on_host(
    environments: EnvironmentBatch,
    policy: Policy,
    parameters: Sequence[Parameters],
    tasks: Sequence[Task],
    action_map: ActionMap,
    noise: Float[np.ndarray, "slot time *act"],
    seeds: list[int],
    episodes_per_task: int,
    stopwatch: Stopwatch,
    location: RolloutLocation,
) -> list[Trajectories]:
    """Run some tasks' episodes; every step goes through the CPU's memory. See `EpisodeRunner`."""
    like = next(iter(parameters[0].values()))
    slots, horizon = noise.shape[:2]
    owners = [task for task in tasks for _ in range(slots // len(tasks))]
    observation = environments.reset(owners, seeds)
    actors = PoliciesOfTasks(policy, parameters, *observation.shape)
    # Time first: each step reads one block of memory and writes one.
    draws = torch.tensor(noise.swapaxes(0, 1), dtype=like.dtype, device=like.device).unbind()
    record = _Record(slots, horizon, observation.shape[1], like.dtype)
    active = played_slots(slots, len(tasks), episodes_per_task)
    here = location.numbers
    chosen: np.ndarray | None = None
    try:
        for time in range(horizon):
            here[STEP], here[SLOT] = time, -1
            chosen = None
            require_finite(environments, observation, active, f"an observation before step {time}")
            with stopwatch.phase("policy"):
                chosen = actors(torch.from_numpy(observation), draws[time]).cpu().numpy()
            with stopwatch.phase("physics"):
                following, reward, ended = environments.step(action_map(chosen), active)
            require_finite(environments, reward, active, f"the reward of step {time}")
            record.add(time, active, observation, chosen, reward)
            observation = following
            active = active & ~ended
            if not active.any():
                break
    except EpisodeError as error:
        taken = [*record.actions_of(error.slot)]
        if chosen is not None:
            taken.append(chosen[error.slot])
        error.actions = action_map(np.array(taken)).tolist() if taken else []
        raise
    return trajectories_of(
        record.columns,
        len(tasks),
        episodes_per_task,
        environments.succeeded,
        environments.unstable,
        like.device,
    )


def played_slots(slots: int, tasks: int, episodes_per_task: int) -> Bool[np.ndarray, " slot"]:
    """Say which slots take part: the first ones of each task."""
    return np.arange(slots) % (slots // tasks) < episodes_per_task


class _Record:
    """What the slots saw, did and got; zero where no step was taken. Time first.

    In numpy, which stores a few numbers several times as fast as torch.
    """

    def __init__(self, slots: int, horizon: int, observation_size: int, dtype: torch.dtype) -> None:
        like = torch.empty(0, dtype=dtype).numpy()
        self._observations = np.zeros((horizon, slots, observation_size), like.dtype)
        self._rewards = np.zeros((horizon, slots))
        self._mask = np.zeros((horizon, slots), dtype=bool)
        self._actions: np.ndarray | None = None

    def add(
        self,
        time: int,
        active: Bool[np.ndarray, " slot"],
        observation: Float[np.ndarray, "slot obs"],
        action: Shaped[np.ndarray, "slot *act"],
        reward: Float[np.ndarray, " slot"],
    ) -> None:
        """Record one step of the active slots."""
        if self._actions is None:
            self._actions = np.zeros((*self._mask.shape, *action.shape[1:]), action.dtype)
        taken = slice(None) if active.all() else active
        self._observations[time, taken] = observation[taken]
        self._actions[time, taken] = action[taken]
        self._rewards[time, taken] = reward[taken]
        self._mask[time] = active

    def actions_of(self, slot: int) -> Shaped[np.ndarray, "step *act"]:
        """Give what the policy chose in one slot so far."""
        if self._actions is None:
            return np.zeros(0)
        chosen: np.ndarray = self._actions[self._mask[:, slot], slot]
        return chosen

    @property
    def columns(self) -> tuple[Tensor, ...]:
        """Observations, actions, rewards and mask."""
        assert self._actions is not None
        columns = (self._observations, self._actions, self._rewards, self._mask)
        return tuple(map(torch.from_numpy, columns))


def trajectories_of(
    columns: Sequence[Tensor],
    tasks: int,
    episodes_per_task: int,
    succeeded: Bool[np.ndarray, " slot"] | None,
    unstable: Bool[np.ndarray, " slot"],
    device: torch.device,
) -> list[Trajectories]:
    """Cut a record by task, each in memory of its own; rewards stay float64.

    Args:
        columns: observations, actions, rewards and mask, each (time, slot, …).
        tasks: whose slots lie side by side.
        episodes_per_task: those of a task's slots that were played, the first ones.
        succeeded: where episodes succeeded, if the environment says.
        unstable: where the simulation broke an episode off.
        device: to put them on.

    """
    by_task = zip(*(column.chunk(tasks, dim=1) for column in columns), strict=True)
    successes: Sequence[Tensor | None] = [None] * tasks
    if succeeded is not None:
        successes = torch.tensor(succeeded, device=device).chunk(tasks)
    own = slice(episodes_per_task)
    found = []
    broken_off = np.split(unstable, tasks)
    for of_one_task, success, broken in zip(by_task, successes, broken_off, strict=True):
        observations, actions, rewards, mask = (
            part.transpose(0, 1)[own].to(device, copy=True).contiguous() for part in of_one_task
        )
        succeeded_own = None if success is None else success[own]
        found.append(
            Trajectories(
                observations, actions, rewards, mask, succeeded_own, int(broken[own].sum())
            )
        )
    return found


def require_finite(
    environments: EnvironmentBatch,
    values: Float[np.ndarray, "slot ..."],
    active: Bool[np.ndarray, " slot"],
    what: str,
) -> None:
    """Refuse numbers of active slots that are not finite.

    Raises:
        EpisodeError: there are some; `what` says what they are.

    """
    slot = first_not_finite(values, active)
    if slot is None:
        return
    error = not_finite(slot, what, values[slot])
    error.state = environments.physics_of(slot)
    raise error
