"""Policies that come meta-trained with a package, by name, where a run folder is asked for.

The verbs write beside what they read, so a policy is first copied out of its package, to a run
folder of one's own.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.resources import as_file
from pathlib import Path

from metarl.config.plugins import trained_policies
from metarl.foundation.errors import RunFolderError
from metarl.foundation.messages import say
from metarl.foundation.wording import nearest
from metarl.runs.hub_address import is_hub_address, read_address
from metarl.runs.hub_runs import fetched_run

FOLDER = Path("runs") / "trained"


def run_folders(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Give the run folders that are meant, one or several, each as `run_folder` does."""
    several = [given] if isinstance(given, str | os.PathLike) else given
    return [run_folder(Path(each)) for each in several]


def run_folder(given: Path) -> Path:
    """Give the run folder that is meant: the path itself, or the copy of a trained policy.

    Args:
        given: a run folder; hf://USER/NAME; or, where nothing lies at that path, the name of a
            trained policy.

    Raises:
        RunFolderError: the policy cannot be copied, or nothing has that name.
        MetarlError: the run cannot be fetched from the hub (`metarl.runs.hub_runs`).

    """
    if is_hub_address(given):
        return fetched_run(read_address(given))
    name = str(given)
    if given.exists() or given.is_symlink():
        return given
    trained = trained_policies()
    if name not in trained:
        if len(given.parts) > 1:
            return given
        listing = "`metarl train` makes one, and `metarl list` shows policies that come trained"
        raise RunFolderError(f"there is no run folder {name}; {nearest(name, trained, listing)}")
    copy = FOLDER / name
    if copy.exists():
        say(f"metarl: {name} is the trained policy in {copy}")
        return copy
    package, source = trained[name]
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as scratch, as_file(source) as folder:
            # Renamed as a whole: an interrupted copy is no run folder.
            shutil.copytree(folder, Path(scratch) / name).rename(copy)
    except OSError as error:
        raise RunFolderError(
            f"cannot copy the trained policy {name} to {copy}: {error.strerror}"
        ) from error
    say(f"metarl: copied the trained policy {name} of {package} to {copy}")
    return copy
