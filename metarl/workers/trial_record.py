"""What trials saw, did and got, written down step by step."""

from dataclasses import fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from metarl.learning.trajectories import TaskStatistics, Trials
from metarl.tasks.success import success_rates


class TrialRecord:
    """What the trials saw, did and got, without gaps where episodes ended early. Time first."""

    def __init__(self, rows: int, episodes: int, horizon: int, dtype: torch.dtype) -> None:
        self._kind = torch.empty(0, dtype=dtype).numpy().dtype
        self._shape = (episodes * horizon, rows)
        self._rewards = np.zeros(self._shape)
        self._ended = np.zeros(self._shape, dtype=bool)
        self._terminated = self._ended.copy()
        self._observations: np.ndarray | None = None
        self._last_observations: np.ndarray | None = None
        self._actions: np.ndarray | None = None
        self._steps = np.zeros(rows, dtype=np.int64)
        """Taken in each trial so far."""
        self._episode_began = self._steps.copy()
        self._chosen = False
        self._returns = np.zeros((episodes, rows))
        self._episode_steps = np.zeros((episodes, rows), dtype=np.int64)
        self._successes: list[np.ndarray | None] = []
        self._unstable = np.zeros(rows, dtype=np.int64)

    def begin_episode(self) -> None:
        """Begin an episode of every trial."""
        self._episode_began = self._steps.copy()
        self._chosen = False

    def choose(
        self,
        active: Bool[np.ndarray, " row"],
        observations: Float[np.ndarray, "row obs"],
        actions: Shaped[np.ndarray, "row *act"],
    ) -> None:
        """Record what the active trials saw and chose."""
        if self._observations is None or self._actions is None:
            self._observations = np.zeros((*self._shape, observations.shape[1]), self._kind)
            self._actions = np.zeros((*self._shape, *actions.shape[1:]), actions.dtype)
            size = (*self._returns.shape, observations.shape[1])
            self._last_observations = np.zeros(size, self._kind)
        place = self._steps[active], np.flatnonzero(active)
        self._observations[place] = observations[active]
        self._actions[place] = actions[active]
        self._chosen = True

    def observe(
        self,
        active: Bool[np.ndarray, " row"],
        following: Float[np.ndarray, "row obs"],
        rewards: Float[np.ndarray, " row"],
        ended: Bool[np.ndarray, " row"],
        terminated: Bool[np.ndarray, " row"],
        episode: int,
    ) -> None:
        """Record what it brought them; what they saw then only where an episode ended."""
        assert self._last_observations is not None
        self._last_observations[episode, active & ended] = following[active & ended]
        place = self._steps[active], np.flatnonzero(active)
        self._rewards[place] = rewards[active]
        self._ended[place] = ended[active]
        self._terminated[place] = terminated[active]
        self._returns[episode, active] += rewards[active]
        self._steps[active] += 1
        self._chosen = False

    def end_episode(
        self,
        episode: int,
        succeeded: Bool[np.ndarray, " row"] | None,
        unstable: Bool[np.ndarray, " row"],
    ) -> None:
        """Record which episodes succeeded, and which the simulation broke off."""
        self._episode_steps[episode] = self._steps - self._episode_began
        self._successes.append(None if succeeded is None else succeeded.copy())
        self._unstable += unstable

    def chosen_in_episode(self, row: int) -> Shaped[np.ndarray, "step *act"]:
        """Give what was chosen in one trial since its last reset, the step under way included."""
        if self._actions is None:
            return np.zeros((0, 1))
        stop = self._steps[row] + self._chosen
        chosen: np.ndarray = self._actions[self._episode_began[row] : stop, row]
        return chosen

    def trials(self) -> Trials:
        """Give the trials, cut off after the longest."""
        assert self._observations is not None
        assert self._actions is not None
        assert self._last_observations is not None
        longest = int(self._steps.max())
        mask = np.arange(longest)[:, None] < self._steps
        return Trials(
            self._observations[:longest],
            self._actions[:longest],
            self._rewards[:longest],
            self._ended[:longest],
            self._terminated[:longest],
            mask,
            self._last_observations,
        )

    def statistics(self, tasks: int) -> list[TaskStatistics]:
        """Give the statistics of each task."""
        returns = self._returns.reshape(len(self._returns), tasks, -1).mean(-1)
        steps = self._episode_steps.reshape(len(returns), tasks, -1).sum(-1)
        said = success_rates(self._successes)
        rates = None if said is None else np.array(said).reshape(len(said), tasks, -1).mean(-1)
        unstable = self._unstable.reshape(tasks, -1).sum(-1)
        return [
            TaskStatistics(
                tuple(returns[:, task].tolist()),
                tuple(steps[:, task].tolist()),
                None if rates is None else tuple(rates[:, task].tolist()),
                int(unstable[task]),
            )
            for task in range(tasks)
        ]


def side_by_side(parts: list[Trials]) -> Trials:
    """Put trials beside each other, filled up to the longest."""
    if len(parts) == 1:
        return parts[0]

    def joined(name: str) -> np.ndarray:
        columns = [getattr(part, name) for part in parts]
        longest = max(map(len, columns))
        filled = [
            np.pad(column, [(0, longest - len(column)), *[(0, 0)] * (column.ndim - 1)])
            for column in columns
        ]
        return np.concatenate(filled, axis=1)

    return Trials(*(joined(field.name) for field in fields(Trials)))
