"""Success, where an environment says of a step whether its goal is reached.

It says so in a step's info, by the key `success` (Meta-World, gymnasium-robotics' mazes) or
`is_success` (gymnasium-robotics' Fetch and Hand). An episode has succeeded when any of its steps
has: Meta-World's rule, whose evaluation ends an episode at its first success.

Some environments say it of successful steps alone. Whether one says anything of success is seen
from all that an experience holds, therefore, and not from one worker, task or phase.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

KEYS = ("success", "is_success")


class EpisodeSuccess:
    """Which slots' episodes have succeeded so far."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._succeeded: Bool[np.ndarray, " slot"] | None = None

    @property
    def succeeded(self) -> Bool[np.ndarray, " slot"] | None:
        """True where a step has succeeded; None: no step has said anything of success."""
        return self._succeeded

    def add(self, slot: int, info: Mapping[str, Any]) -> None:
        """Take note of a step of one slot."""
        for key in KEYS:
            if key in info:
                self._note(slot, bool(info[key]))
                return

    def add_all(self, infos: Mapping[str, Any], active: Bool[np.ndarray, " slot"]) -> None:
        """Take note of a step of all active slots, whose infos are stacked as Gymnasium does it."""
        for key in KEYS:
            if key in infos:
                said = active & np.asarray(infos.get(f"_{key}", True), dtype=bool)
                for slot in map(int, np.flatnonzero(said)):
                    self._note(slot, bool(infos[key][slot]))
                return

    def _note(self, slot: int, success: bool) -> None:
        if self._succeeded is None:
            self._succeeded = np.zeros(self._slots, dtype=bool)
        if success:
            self._succeeded[slot] = True


def success_rates(said: Sequence[Any]) -> list[Any] | None:
    """Put together what the parts of an experience say of success: its tasks, or a task's phases.

    Args:
        said: of each part, a number or numbers; None where it says nothing.

    Returns:
        The same with zeros where a part says nothing and another does; None: none does.

    """
    spoke = [each for each in said if each is not None]
    if not spoke:
        return None
    no_success = np.zeros_like(spoke[0])
    return [no_success if each is None else each for each in said]


def success_metrics(mean_successes: Sequence[tuple[float, ...] | None]) -> dict[str, float]:
    """Give the share of episodes that succeeded before and after adaptation, for the metrics file.

    Args:
        mean_successes: of each task after 0, 1, … K inner steps; None where nothing was said.

    Returns:
        Nothing, unless a task's environment says of success.

    """
    rates = success_rates(mean_successes)
    if rates is None:
        return {}
    before, *_ = means = np.mean(np.array(rates), axis=0)
    return {
        "pre_adaptation_success": float(before),
        "post_adaptation_success": float(means[-1]),
    }
