"""Metrics and checkpoints of a run in progress, in an order that nothing can tear.

A checkpoint is written only when the metrics of its iterations are on disk, so that resuming from
it finds them. A folder that cannot be written for a while (a full disk) stops nothing: records
wait in memory, checkpoints are tried again.
"""

from collections.abc import Callable, Mapping

from metarl.agent.protocol import Record, TrainingState
from metarl.foundation.errors import RunFolderError
from metarl.learning.adaptation import Parameters
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.metrics import MetricsFile

FAILED_CHECKPOINTS = 10
"""So many scheduled checkpoints in a row that cannot be written end the run."""


class RunRecorder:
    """Writes what training gives."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        metrics: MetricsFile,
        template: Parameters,
        versions: Mapping[str, str],
        interval: int,
        saved: int | None,
        warn: Callable[[str], None],
    ) -> None:
        """Take where to write.

        Args:
            checkpoints: of the run.
            metrics: of the run.
            template: names and shapes of the policy's parameters.
            versions: of what computes.
            interval: iterations between two checkpoints.
            saved: the iteration of the newest checkpoint; None: there is none.
            warn: is told when the folder cannot be written, and when it can be again.

        """
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._template = template
        self._versions = versions
        self._interval = interval
        self._warn = warn
        self.saved = saved
        """The iteration of the newest checkpoint."""
        self._failed = 0
        self._troubled = False

    def record(self, state: TrainingState, record: Record) -> None:
        """Write an iteration's metrics and, when it is time, a checkpoint.

        Raises:
            RunFolderError: too many checkpoints in a row could not be written.

        """
        due = state.iteration % self._interval == 0
        overdue = self._failed > 0
        try:
            self._metrics.append(record)
            if due or overdue:
                self.save(state)
        except RunFolderError as error:
            self._failed += due
            if self._failed >= FAILED_CHECKPOINTS:
                raise RunFolderError(
                    f"{self._failed} checkpoints in a row could not be written: {error}"
                ) from error
            if not self._troubled:
                self._troubled = True
                self._warn(f"{error}; training goes on, and what is to be written waits")
        else:
            if self._troubled and not self._failed:
                self._troubled = False
                self._warn("what waited is written; nothing is lost")

    def save(self, state: TrainingState) -> None:
        """Write what waits and, unless it is there, a checkpoint.

        Raises:
            RunFolderError: it cannot be written.

        """
        self._metrics.flush()
        if state.iteration != self.saved:
            self._checkpoints.save(state, self._template, self._versions)
            self.saved = state.iteration
        self._failed = 0
