"""A replay memory of several tasks: a log of transitions, as a checkpoint holds it.

======================  ====================  ====================================================
array                   shape                 what it holds
======================  ====================  ====================================================
``observations``        (step, obs) float32   what was seen before the action
``actions``             (step, act) float32   the action, in the policy's units
``rewards``             (step,) float32       the reward that followed
``learned_rewards``     (step,) float32       what critics learn from; there only where it differs
``following``           (step, obs) float32   what was seen after the action
``terminal``            (step,) bool          whether the environment ended the episode by itself
``task``                (step,) int32         which of the training tasks
``context``             (step,) bool          whether an encoder may see it: of the last iteration
                                              that met the task, and of its first episodes
======================  ====================  ====================================================

The log grows until it is full; then the oldest transitions are forgotten. Arrays are never written
into: what is given is new.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from metarl.learning.trajectories import Trials
from metarl_agents.trial_buffer import compact, reached

Replay = Mapping[str, np.ndarray]
Log = dict[str, np.ndarray]


def transitions_of(trials: Trials, task: int, horizon: int, context_episodes: int) -> Log:
    """Turn the trials of one task into transitions, one trial after the other.

    Args:
        trials: of the task.
        task: its number among the training tasks.
        horizon: longest episode.
        context_episodes: first ones of each trial, whose transitions may be context.

    """
    rows = compact([trials], horizon)
    steps = np.arange(rows["ended"].shape[1])
    taken = steps < rows["steps"][:, None]
    ended = rows["ended"]
    episode = np.cumsum(ended, axis=1) - ended
    count = int(taken.sum())
    return {
        "observations": rows["observations"][taken],
        "actions": rows["actions"][taken].reshape(count, -1),
        "rewards": rows["rewards"][taken],
        "following": reached(rows)[taken].astype(np.float32),
        "terminal": trials.terminated.T[trials.mask.T],
        "task": np.full(count, task, np.int32),
        "context": (episode < context_episodes)[taken],
    }


def with_transitions(replay: Replay, logs: Sequence[Log], most_bytes: int) -> Log:
    """Remember transitions; forget the oldest, where there is no room for all.

    The tasks that were met have new context; what they had before is context no longer.

    Args:
        replay: what was remembered before; empty: nothing.
        logs: what was met, of each task.
        most_bytes: how much memory all may take; one transition is remembered at least.

    """
    new = {name: np.concatenate([log[name] for log in logs]) for name in logs[0]}
    if replay:
        context = replay["context"] & ~np.isin(replay["task"], new["task"])
        before = {**replay, "context": context}
        new = {name: np.concatenate([before[name], column]) for name, column in new.items()}
    of_one = sum(column[:1].nbytes for column in new.values())
    room = max(1, most_bytes // of_one)
    return {name: column[-room:] for name, column in new.items()}


class TaskIndex:
    """Where each task's transitions are in a replay memory."""

    def __init__(self, replay: Replay) -> None:
        self._all, self._context = {}, {}
        for task in np.unique(replay["task"]).tolist():
            own = replay["task"] == task
            context = np.flatnonzero(own & replay["context"])
            if len(context):
                self._all[task], self._context[task] = np.flatnonzero(own), context
        self.tasks = sorted(self._all)
        """The tasks that have context."""

    def draw(
        self, tasks: int, steps: int, context: int, generator: np.random.Generator
    ) -> tuple[Int[np.ndarray, "task step"], Int[np.ndarray, "task context"]]:
        """Draw tasks, and transitions of each to learn from and to infer from; with replacement.

        Args:
            tasks: how many.
            steps: transitions of each to learn from.
            context: transitions of each to infer it from.
            generator: of the stream.

        """
        chosen = generator.choice(self.tasks, tasks).tolist()
        return _drawn(self._all, chosen, steps, generator), _drawn(
            self._context, chosen, context, generator
        )


def _drawn(
    places: Mapping[int, np.ndarray], tasks: list[int], count: int, generator: np.random.Generator
) -> Int[np.ndarray, "task place"]:
    shares: Float[np.ndarray, "task place"] = generator.random((len(tasks), count))
    return np.stack(
        [
            places[task][(share * len(places[task])).astype(np.int64)]
            for task, share in zip(tasks, shares, strict=True)
        ]
    )
