"""What the episodes of a clip paid: a small JSON file beside the clip."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import read_json, write_whole


@dataclass(frozen=True)
class ClipReturns:
    """The episodes of a clip, in the order in which they are shown."""

    task: str
    """In words."""
    phases: list[str]
    """What each episode comes after, as its caption says."""
    returns: list[float]
    """Undiscounted, of each episode."""
    env_steps: list[int]
    """Of each episode."""


def write_clip_returns(clip: Path, shown: ClipReturns) -> None:
    """Write what a clip's episodes paid beside it.

    Raises:
        RunFolderError: it cannot be written.

    """
    write_whole(_beside(clip), json.dumps(asdict(shown), indent=2).encode() + b"\n")


def read_clip_returns(clip: Path) -> ClipReturns | None:
    """Read what a clip's episodes paid; None: the clip is older than such files.

    Raises:
        RunFolderError: the file cannot be read, or is something else.

    """
    file = _beside(clip)
    if not (file.exists() or file.is_symlink()):
        return None
    found = read_json(file)
    try:
        return _checked(found)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{file} does not say what the episodes of {clip.name} paid: "
            f"{type(error).__name__}: {error}; draw the clip again with metarl render"
        ) from error


def _beside(clip: Path) -> Path:
    return clip.with_name(f"{clip.name}.json")


def _checked(found: Any) -> ClipReturns:
    shown = ClipReturns(
        task=str(found["task"]),
        phases=[str(it) for it in found["phases"]],
        returns=[float(it) for it in found["returns"]],
        env_steps=[int(it) for it in found["env_steps"]],
    )
    if not len(shown.phases) == len(shown.returns) == len(shown.env_steps):
        raise ValueError("phases, returns and env_steps are not equally many")
    return shown
