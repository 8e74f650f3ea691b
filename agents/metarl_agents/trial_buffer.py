"""What an agent remembers of earlier trials: a ring of arrays, as a checkpoint holds them.

========================  ===============================  =======================================
array                     shape                            what it holds
========================  ===============================  =======================================
``observations``          (trial, time, obs) float32       what was seen before each action
``last_observations``     (trial, episode, obs) float32    what was seen after an episode's last
``actions``               (trial, time, …)                 float32; choices are uint8, or int32
                                                           where there are more than 256
``rewards``               (trial, time) float32            the reward that followed the action
``ended``                 (trial, time) bool               whether the step was an episode's last
``steps``                 (trial,) int32                   how many were taken; the rest is 0
``met``                   (1,) int64                       trials met so far, the forgotten as well
========================  ===============================  =======================================

The ring grows until it is full; then the newest trial takes the oldest one's place. Arrays are
never written into: what is given is new.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from metarl.learning.trajectories import Trials

Buffer = Mapping[str, np.ndarray]
Rows = dict[str, np.ndarray]
"""Some trials, as the buffer holds them, without `met`."""

_MET = "met"


def compact(trials: Sequence[Trials], horizon: int, choices: int = 0) -> Rows:
    """Put trials into the buffer's form.

    Args:
        trials: of several tasks.
        horizon: longest episode; all trials are filled up with zeros to the longest possible.
        choices: of a discrete action; 0: actions are numbers.

    """
    single = np.dtype(np.float32)
    whole = np.dtype(np.uint8 if choices <= 256 else np.int32)
    longest = len(trials[0].last_observations) * horizon
    count = sum(map(len, trials))

    def joined(name: str, dtype: np.dtype[Any]) -> np.ndarray:
        shape = getattr(trials[0], name).shape[2:]
        column, first = np.zeros((count, longest, *shape), dtype), 0
        for each in trials:
            part = getattr(each, name).swapaxes(0, 1)
            with np.errstate(over="ignore"):  # whoever learns from them looks at them
                column[first : first + len(part), : part.shape[1]] = part
            first += len(part)
        return column

    last = np.concatenate([each.last_observations for each in trials], axis=1)
    return {
        "observations": joined("observations", single),
        "last_observations": np.ascontiguousarray(last.swapaxes(0, 1), single),
        "actions": joined("actions", whole if choices else single),
        "rewards": joined("rewards", single),
        "ended": joined("ended", np.dtype(bool)),
        "steps": np.concatenate([each.mask.sum(0) for each in trials]).astype(np.int32),
    }


def with_trials(buffer: Buffer, rows: Rows, most_trials: int, most_bytes: int) -> Rows:
    """Remember trials; forget the oldest, where there is no room for all.

    Args:
        buffer: what was remembered before; empty: nothing.
        rows: new trials.
        most_trials: how many are remembered.
        most_bytes: how much memory they may take; one trial is remembered at least.

    """
    new = len(rows["steps"])
    of_one = sum(column[:1].nbytes for column in rows.values())
    room = max(1, min(most_trials, most_bytes // of_one))
    met = int(buffer[_MET][0]) if buffer else 0
    kept = {name: column[-room:] for name, column in rows.items()}
    first = met + new - len(kept["steps"])
    there = len(buffer["steps"]) if buffer else 0
    filled = min(room, max(there, first + len(kept["steps"])))
    places = np.arange(first, first + len(kept["steps"])) % room
    after = {}
    for name, column in kept.items():
        after[name] = np.zeros((filled, *column.shape[1:]), column.dtype)
        if buffer:
            after[name][:there] = buffer[name]
        after[name][places] = column
    return {**after, _MET: np.array([met + new])}


def draw(buffer: Buffer, count: int, generator: np.random.Generator) -> Rows:
    """Draw trials, none twice; all, where there are fewer."""
    there = len(buffer["steps"])
    chosen = generator.choice(there, min(count, there), replace=False)
    return {name: column[chosen] for name, column in buffer.items() if name != _MET}


def reached(rows: Rows) -> np.ndarray:
    """Give what was seen after each step, (trial, time, obs); after an episode's last, before the
    next began.
    """
    ended, seen = rows["ended"], rows["observations"]
    following = np.concatenate([seen[:, 1:], np.zeros_like(seen[:, :1])], axis=1)
    episode: Int[np.ndarray, "trial time"] = np.cumsum(ended, axis=1) - ended
    last = np.minimum(episode, rows["last_observations"].shape[1] - 1)  # behind the end of a trial
    at_end = np.take_along_axis(rows["last_observations"], last[..., None], axis=1)
    return np.where(ended[..., None], at_end, following)


def time_first(column: np.ndarray, longest: int, like: torch.Tensor) -> torch.Tensor:
    """Give a column (trial, time, …) as a tensor (time, trial, …), cut off after some steps."""
    values = np.ascontiguousarray(column[:, :longest].swapaxes(0, 1))
    return torch.as_tensor(values).to(device=like.device, dtype=like.dtype)
