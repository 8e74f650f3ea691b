"""Outer steps that were not taken: why, and when to give up. Light: no torch here."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from metarl.foundation.errors import TrainingError

NOT_FINITE = "the loss or its gradient is not finite"
NO_STEP = "the line search found no step that lowers the loss within max_kl"
NOTHING_TO_LEARN = "the gradient is 0: no return differs from what the baseline expects"
CURVATURE = "curvature"
"""How the text of a curvature that is not positive and finite begins."""

_ADVICE = {
    NOT_FINITE: "scale rewards or observations that are huge, lower --inner-learning-rate, or work "
    "in --dtype float64",
    CURVATURE: "raise --cg-damping or --curvature-fraction, or work in --dtype float64",
    NO_STEP: "collect more, by --tasks-per-batch or --episodes-per-task, or change --max-kl; or "
    "the policy has learned what it can",
}


class Rejections:
    """Counts the rejections since the last accepted step."""

    def __init__(self, most: int) -> None:
        """Take how many in a row are too many; 0: any number is allowed."""
        self._most = most
        self._reasons: list[str] = []
        self._first = 0

    def count(self, record: Mapping[str, Any]) -> None:
        """Count one iteration, by its metrics `step_accepted` and `rejection`.

        A batch with nothing to learn from, as where a reward is rare, counts neither way.

        Raises:
            TrainingError: these were too many in a row; with the reasons and what to try.

        """
        if record.get("step_accepted", True):
            self._reasons = []
            return
        reason = str(record.get("rejection") or "no reason was given")
        if reason == NOTHING_TO_LEARN:
            return
        if not self._reasons:
            self._first = record["iteration"]
        self._reasons.append(next((it for it in _ADVICE if reason.startswith(it)), reason))
        if self._most and len(self._reasons) >= self._most:
            raise TrainingError(self._diagnosis(record["iteration"]))

    def _diagnosis(self, last: int) -> str:
        counted = Counter(self._reasons)
        reasons = "; ".join(
            f"{times} × {'the curvature is not positive' if it == CURVATURE else it}"
            for it, times in counted.most_common()
        )
        advice = "; ".join(_ADVICE[it] for it, _ in counted.most_common() if it in _ADVICE)
        return (
            f"no outer step was accepted in iterations {self._first} to {last} ({reasons}); the "
            f"policy is still that of iteration {self._first - 1}. "
            + (f"What may help: {advice}. " if advice else "")
            + "--max-rejections 0 goes on for ever"
        )
