"""Policy × environments → trajectories."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.adaptation import Parameters
from metarl.environments import EnvironmentBatch
from metarl.errors import TaskError
from metarl.objectives import act
from metarl.policies import Policy
from metarl.seeding import Purpose, integer_seed, stream
from metarl.tasks import Task, describe_task
from metarl.trajectories import Trajectories


class ActionMap:
    """From the policy's actions to the environment's.

    A Box with bounds: [-scale, scale] is mapped linearly to [low, high], then clipped. The policy's
    own action is kept unclipped, for its log-probability. Elements without two finite bounds pass
    unscaled; discrete actions pass as they are.
    """

    def __init__(self, space: gym.Space[Any], scale: float) -> None:
        self._box = isinstance(space, gym.spaces.Box)
        if isinstance(space, gym.spaces.Box):
            self._low = space.low.astype(np.float64)
            self._high = space.high.astype(np.float64)
            bounded = np.isfinite(self._low) & np.isfinite(self._high)
            half_width = np.where(bounded, self._high - self._low, 2.0) / 2
            self._centre = np.where(bounded, self._low, 0.0) + np.where(bounded, half_width, 0.0)
            self._gain = np.where(bounded, half_width / scale, 1.0)
            self._dtype = space.dtype

    def __call__(self, actions: Shaped[np.ndarray, "slot *act"]) -> Shaped[np.ndarray, "slot *act"]:
        """Map a batch of the policy's actions."""
        if not self._box:
            return actions
        mapped = self._centre + self._gain * actions.astype(np.float64)
        clipped: np.ndarray = np.clip(mapped, self._low, self._high).astype(self._dtype)
        return clipped


def collect(
    environments: EnvironmentBatch,
    policy: Policy,
    parameters: Sequence[Parameters],
    tasks: Sequence[Task],
    *,
    action_map: ActionMap,
    horizon: int,
    episodes_per_task: int,
    seed: int,
    keys: Sequence[tuple[int, ...]],
) -> list[Trajectories]:
    """Collect every task's episodes of one adaptation phase.

    Args:
        environments: the slots to run in.
        policy: the policy module.
        parameters: the parameters to act with, for each task.
        tasks: the tasks.
        action_map: from policy actions to environment actions.
        horizon: longest episode, in steps.
        episodes_per_task: episodes for each task.
        seed: the run's seed.
        keys: for each task the key of its streams, to which the episode's number is appended.

    Raises:
        TaskError: an environment failed or gave an observation or reward that is not finite.

    """
    trajectories: list[Trajectories] = []
    for start in range(0, len(tasks), environments.tasks_at_once):
        part = slice(start, start + environments.tasks_at_once)
        slots = [(key, episode) for key in keys[part] for episode in range(episodes_per_task)]
        noise = np.stack(
            [
                policy.draw_noise(stream(seed, Purpose.ACTION, *key, episode), horizon)
                for key, episode in slots
            ]
        )
        seeds = [integer_seed(seed, Purpose.RESET, *key, episode) for key, episode in slots]
        trajectories += _run(
            environments, policy, parameters[part], tasks[part], action_map, noise, seeds
        )
    return trajectories


def _run(
    environments: EnvironmentBatch,
    policy: Policy,
    parameters: Sequence[Parameters],
    tasks: Sequence[Task],
    action_map: ActionMap,
    noise: Float[np.ndarray, "slot time *act"],
    seeds: list[int],
) -> list[Trajectories]:
    """Run all episodes of some tasks side by side, each to its end."""
    like = next(iter(parameters[0].values()))
    slots, horizon = noise.shape[:2]
    owners = [task for task in tasks for _ in range(slots // len(tasks))]
    observation = environments.reset(owners, seeds)
    record = _Record(slots, horizon, observation.shape[1])
    active = np.ones(slots, dtype=bool)
    for time in range(horizon):
        _require_finite(observation, active, owners, seeds, f"an observation before step {time}")
        chosen = _choose(policy, parameters, observation, noise[:, time])
        following, reward, ended = environments.step(action_map(chosen), active)
        _require_finite(reward, active, owners, seeds, f"the reward of step {time}")
        record.add(time, active, observation, chosen, reward)
        observation = following
        active = active & ~ended
        if not active.any():
            break
    return record.trajectories(len(tasks), like)


def _choose(
    policy: Policy,
    parameters: Sequence[Parameters],
    observation: Float[np.ndarray, "slot obs"],
    noise: Float[np.ndarray, "slot *act"],
) -> Shaped[np.ndarray, "slot *act"]:
    """Act for every slot, one task after the other.

    A matrix product's last bits depend on the shape and on the alignment of its operands in memory.
    So each task's rows are copied to memory of their own, and a task's actions are the same
    whatever other tasks are in the batch. (One product over all tasks was faster, and not equal.)
    """
    like = next(iter(parameters[0].values()))
    actions = []
    for theta, rows, draws in zip(
        parameters,
        np.split(observation, len(parameters)),
        np.split(noise, len(parameters)),
        strict=True,
    ):
        distribution = act(policy, theta, torch.tensor(rows, dtype=like.dtype, device=like.device))
        drawn = torch.tensor(draws, dtype=like.dtype, device=like.device)
        actions.append(policy.sample(distribution, drawn).cpu().numpy())
    return np.concatenate(actions)


class _Record:
    """What the slots saw, did and got; zero where no step was taken."""

    def __init__(self, slots: int, horizon: int, observation_size: int) -> None:
        self._observations = np.zeros((slots, horizon, observation_size))
        self._rewards = np.zeros((slots, horizon))
        self._mask = np.zeros((slots, horizon), dtype=bool)
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
            self._actions = np.zeros((*self._mask.shape, *action.shape[1:]), dtype=action.dtype)
        self._observations[active, time] = observation[active]
        self._actions[active, time] = action[active]
        self._rewards[active, time] = reward[active]
        self._mask[:, time] = active

    def trajectories(self, tasks: int, like: Tensor) -> list[Trajectories]:
        """Cut the record by task; observations take the policy's type, rewards stay float64."""
        assert self._actions is not None
        columns = (
            torch.as_tensor(self._observations, dtype=like.dtype),
            torch.as_tensor(self._actions),
            torch.as_tensor(self._rewards),
            torch.as_tensor(self._mask),
        )
        by_task = zip(*(column.to(like.device).chunk(tasks) for column in columns), strict=True)
        return [Trajectories(*of_one_task) for of_one_task in by_task]


def _require_finite(
    values: Float[np.ndarray, "slot ..."],
    active: Shaped[np.ndarray, " slot"],
    owners: Sequence[Task],
    seeds: Sequence[int],
    what: str,
) -> None:
    if np.isfinite(values).all():
        return
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(-1) & active
    if bad.any():
        slot = int(np.flatnonzero(bad)[0])
        raise TaskError(
            f"{what} is not finite: {values[slot]} (task {describe_task(owners[slot])}, reset "
            f"seed {seeds[slot]})"
        )
