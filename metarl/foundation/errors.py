"""The errors a user may meet. The command line prints their text alone, without a traceback."""

from typing import Any


class MetarlError(Exception):
    """Something the user can act on; the text says what was wrong and what to do."""

    exit_code = 2


class ConfigError(MetarlError):
    """A preset, a flag or a recorded configuration holds an impossible value."""


class RunFolderError(MetarlError):
    """A run folder is missing, taken, not writable or incomplete."""


class WorkerError(MetarlError):
    """A worker failed; the text ends with the worker's own traceback."""

    exit_code = 1
    episode: Any = None
    """The `metarl.tasks.failed_episodes.FailedEpisode` that ended it, if one did."""
    device_failure: str | None = None
    """What the worker's device or its driver told, if that ended it."""


class DeviceError(MetarlError):
    """A GPU or its driver failed; the text says what it told, and how to go on."""

    exit_code = 1


class TaskError(MetarlError):
    """An environment or the adaptation to its task failed; the text names the task."""

    exit_code = 1


class TrainingError(MetarlError):
    """Training does not get on; the text says why and what to try."""

    exit_code = 1


class RenderingError(MetarlError):
    """No picture can be made here; the text says what is missing."""

    exit_code = 1
