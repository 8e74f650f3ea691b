"""An episode that failed, with all that it takes to repeat it."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from metarl.config.fields import read_fields
from metarl.config.reinforcement import current_env_id
from metarl.foundation.errors import ConfigError, RunFolderError, TaskError
from metarl.foundation.files import MEBIBYTE, make_folder, read_json, write_whole
from metarl.tasks.distribution import plain

LARGEST_FILE = 256 * MEBIBYTE


class EpisodeError(TaskError):
    """An environment failed in one slot; the rollout adds what came before.

    Args:
        slot: where.
        where: and what.
        reason: what went wrong.

    """

    def __init__(self, slot: int, where: str, reason: str) -> None:
        super().__init__(f"{where} {reason}")
        self.slot = slot
        self.seed = 0
        """Of its reset."""
        self.actions: list[Any] = []
        """What the environment was given since its reset, the step that failed included."""
        self.state: dict[str, Any] = {}
        """Positions and velocities of its physics, where it shows them."""


def first_not_finite(
    values: Float[np.ndarray, "slot ..."], active: Bool[np.ndarray, " slot"]
) -> int | None:
    """Give the first of the active slots whose numbers are not all finite; None: all are."""
    if math.isfinite(np.vdot(values, values)):  # one call, where isfinite and all are two
        return None
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(-1) & active
    return int(np.flatnonzero(bad)[0]) if bad.any() else None


def not_finite(slot: int, what: str, values: object) -> EpisodeError:
    """Say that what a slot gave is not finite."""
    return EpisodeError(slot, what, f"is not finite: {values}")


@dataclass(frozen=True)
class FailedEpisode:
    """Repeats one episode without policy or worker."""

    env_id: str
    horizon: int
    reset_seed: int
    reason: str
    """Where it failed and how."""
    task_index: int
    """In the meta-batch."""
    key: tuple[int, ...]
    """Of the random streams: split, iteration, adaptation phase."""
    task: Any = None
    """As JSON; see `gymnasium.Space.to_jsonable`."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    actions: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the episode into a folder, which is made if need be; give the file.

        Raises:
            RunFolderError: it cannot be written.

        """
        numbers = "-".join(str(number) for number in (*self.key[1:], self.task_index))
        file = folder / f"episode-{numbers}.json"
        make_folder(folder)
        if folder.is_symlink():
            raise RunFolderError(f"cannot write {file}: {folder} is a symbolic link")
        write_whole(file, (json.dumps(asdict(self), default=plain) + "\n").encode())
        return file


def read_episode(file: Path) -> FailedEpisode:
    """Read what `FailedEpisode.write` wrote.

    Raises:
        RunFolderError: the file cannot be read.

    """
    try:
        table = read_json(file, LARGEST_FILE)
        if not isinstance(table, Mapping):
            raise ValueError("it is no JSON object")
        episode: FailedEpisode = read_fields(FailedEpisode, dict(table), str(file))
    except (ValueError, ConfigError, RunFolderError) as error:
        raise RunFolderError(f"{file} is no failed episode: {error}") from error
    return replace(episode, env_id=current_env_id(episode.env_id))
