"""Policy × environments → trajectories."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch.func import vmap

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
    stacked = {name: torch.stack([theta[name] for theta in parameters]) for name in parameters[0]}
    like = next(iter(stacked.values()))
    task_count, (slots, horizon) = len(tasks), noise.shape[:2]
    episodes = slots // task_count
    owners = [tasks[slot // episodes] for slot in range(slots)]
    noise_tensor = torch.as_tensor(noise, dtype=like.dtype, device=like.device)
    noise_tensor = noise_tensor.reshape(task_count, episodes, *noise.shape[1:])
    # The parameters are stacked by task and every task's rows keep their number, so a task's
    # actions have the same bits whatever other tasks are in the batch.
    policy_of_tasks = vmap(lambda theta, rows: act(policy, theta, rows))

    observation = environments.reset(owners, seeds)
    observations = np.zeros((slots, horizon, observation.shape[1]))
    rewards = np.zeros((slots, horizon))
    mask = np.zeros((slots, horizon), dtype=bool)
    actions: list[torch.Tensor] = []
    active = np.ones(slots, dtype=bool)
    for time in range(horizon):
        _require_finite(observation, active, owners, seeds, f"an observation before step {time}")
        observations[active, time] = observation[active]
        mask[:, time] = active
        rows = torch.as_tensor(observation, dtype=like.dtype, device=like.device)
        distribution = policy_of_tasks(stacked, rows.reshape(task_count, episodes, -1))
        action = policy.sample(distribution, noise_tensor[:, :, time])
        actions.append(action)
        chosen = action.reshape(slots, *action.shape[2:]).cpu().numpy()
        observation, reward, ended = environments.step(action_map(chosen), active)
        _require_finite(reward, active, owners, seeds, f"the reward of step {time}")
        rewards[active, time] = reward[active]
        active = active & ~ended
        if not active.any():
            break

    taken = len(actions)
    padded_actions = torch.zeros(
        (task_count, episodes, horizon, *actions[0].shape[2:]),
        dtype=actions[0].dtype,
        device=like.device,
    )
    padded_actions[:, :, :taken] = torch.stack(actions, dim=2)
    mask_tensor = torch.as_tensor(mask, device=like.device).reshape(task_count, episodes, horizon)
    padded_actions[~mask_tensor] = 0
    shape = (task_count, episodes, horizon)
    observation_tensor = torch.as_tensor(observations, dtype=like.dtype, device=like.device)
    observation_tensor = observation_tensor.reshape(*shape, -1)
    reward_tensor = torch.as_tensor(rewards, device=like.device).reshape(shape)
    return [
        Trajectories(observation_tensor[i], padded_actions[i], reward_tensor[i], mask_tensor[i])
        for i in range(task_count)
    ]


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
