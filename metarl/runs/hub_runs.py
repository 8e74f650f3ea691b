"""Runs of others, from the Hugging Face hub to a run folder of one's own.

The hub's library keeps what it fetches in a cache whose files are shared and must not be written
to; the verbs write beside what they read. So a run is copied out of the cache, to runs/hub/
USER--NAME@COMMIT unless a folder is named. A commit never changes: the folder of one that is there
already is used again, with what was added to it, and another commit gets another folder.

What is fetched is checked before it is a run folder: only files of the kinds that a run has, of no
more than their sizes, whole by their checksums, and of a configuration that names installed
plug-ins alone (`metarl.runs.strangers`) unless the caller trusts it.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from metarl.foundation.errors import ConfigError, MetarlError, RunFolderError
from metarl.foundation.files import read_json
from metarl.foundation.messages import say
from metarl.foundation.versions import OWN_VERSION
from metarl.runs.checkpoints import Checkpoints, require_whole
from metarl.runs.hub_address import (
    HubAddress,
    HubUnreachableError,
    bars_on_a_terminal,
    hub_errors,
    in_words,
    require_hub,
)
from metarl.runs.run_folder import CONFIG_FILE, read_config
from metarl.runs.shared_files import Selection, select
from metarl.runs.strangers import require_installed_code

FOLDER = Path("runs") / "hub"
ORIGIN_FILE = "hub.json"
"""Says which repository and commit a run folder was copied from."""
_SHOWN_OF_COMMIT = 10


def fetched_run(address: HubAddress, run_dir: Path | None = None, trust: bool = False) -> Path:
    """Give the run folder of a run on the hub, fetched unless it is there already.

    Args:
        address: of the run.
        run_dir: the folder, new or one that holds this run; None: one in runs/hub.
        trust: take a configuration that names code of no installed plug-in, which is then run.

    Raises:
        MetarlError: there is no such run, it cannot be fetched or is damaged, or it names code
            that it must not.

    """
    if address.names_commit and (there := _copy_that_is_here(address, address.revision, run_dir)):
        return there
    require_hub()
    try:
        commit, sizes = _files_on_hub(address)
    except HubUnreachableError as error:
        return _fetched_before(address, run_dir, trust, error)
    if there := _copy_that_is_here(address, commit, run_dir):
        return there
    chosen = select(sizes, str(address), by_stranger=True)
    return _copied(address, _snapshot(address, commit, chosen), commit, run_dir, trust)


def _files_on_hub(address: HubAddress) -> tuple[str, dict[str, int]]:
    """Ask for the commit of a revision, and the bytes of its files."""
    from huggingface_hub import HfApi

    with hub_errors(address):
        found = HfApi().model_info(
            address.repository, revision=address.revision or None, files_metadata=True
        )
    files = found.siblings or []
    return str(found.sha), {each.rfilename: int(each.size or 0) for each in files}


def _snapshot(address: HubAddress, commit: str, chosen: Selection) -> Path:
    """Fetch files into the library's cache; give the folder of the commit there."""
    from huggingface_hub import HfApi

    with hub_errors(address), bars_on_a_terminal():
        folder = Path(
            HfApi().snapshot_download(
                address.repository,
                revision=address.revision or None,
                allow_patterns=list(chosen.files),
            )
        )
    if folder.name != commit:
        raise RunFolderError(f"{address} has changed while it was fetched; try again")
    return folder


def _fetched_before(
    address: HubAddress, run_dir: Path | None, trust: bool, error: HubUnreachableError
) -> Path:
    """Give what was fetched before of a run, where the hub does not answer.

    Raises:
        HubUnreachableError: nothing was.

    """
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(
        address.repository, CONFIG_FILE, revision=address.revision or None
    )
    if isinstance(cached, str):
        snapshot = Path(cached).parent
        there = _copy_that_is_here(address, snapshot.name, run_dir)
        if there is None:
            say(f"metarl: the hub is not asked; {address} is what was fetched of it before")
            there = _copied(address, snapshot, snapshot.name, run_dir, trust)
        return there
    copies = [it for it in FOLDER.glob(f"{_folder_name(address)}@*") if _origin_of(it)]
    if run_dir is None and not address.revision and len(copies) == 1:
        say(f"metarl: the hub is not asked; {address} is the copy in {copies[0]}")
        return copies[0]
    raise error


def _copy_that_is_here(address: HubAddress, commit: str, run_dir: Path | None) -> Path | None:
    """Give the folder that holds a commit already; None: it holds nothing.

    Raises:
        RunFolderError: the folder holds something else.

    """
    folder = run_dir or _usual_folder(address, commit)
    if not (folder.exists() or folder.is_symlink()):
        return None
    if _origin_of(folder) == (address.repository, commit):
        say(f"metarl: {address} is the copy in {folder}")
        return folder
    if folder.is_dir() and not any(folder.iterdir()):
        return None
    raise RunFolderError(
        f"{folder} exists already and is not the copy of {address} at {commit}; move it away, or "
        "name another folder: metarl pull … --run-dir DIR"
    )


def _copied(
    address: HubAddress, snapshot: Path, commit: str, run_dir: Path | None, trust: bool
) -> Path:
    """Copy a run out of the cache and check it; it is a run folder as a whole or not at all."""
    folder = run_dir or _usual_folder(address, commit)
    sizes = {
        each.relative_to(snapshot).as_posix(): each.stat().st_size
        for each in snapshot.rglob("*")
        if each.is_file()
    }
    chosen = select(sizes, str(address), by_stranger=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetched-") as scratch:
            copy = Path(scratch) / "run"
            for name in chosen.files:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(snapshot / name, copy / name)
            origin = {"repository": address.repository, "revision": commit, "trusted": trust}
            (copy / ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n")
            _check(address, copy, copy / chosen.checkpoint, trust)
            copy.replace(folder)
    except OSError as error:
        raise RunFolderError(f"cannot copy {address} to {folder}: {error.strerror}") from error
    say(f"metarl: copied {address} at {commit[:_SHOWN_OF_COMMIT]} to {folder}")
    return folder


def _check(address: HubAddress, copy: Path, checkpoint: Path, trust: bool) -> None:
    """Refuse a run that is damaged, newer than this metarl, or names code that it must not."""
    try:
        config: Any = read_config(copy)
        require_whole(checkpoint)
    except RunFolderError as error:
        raise RunFolderError(f"{in_words(error, copy, address)}{_if_newer(copy)}") from error
    if trust:
        return
    try:
        require_installed_code(config)
    except ConfigError as error:
        raise ConfigError(
            f"{address}: {error}; install the package that brings it or, if you trust whoever made "
            f"this run with all that you may do, fetch it by `metarl pull {address} --trust`"
        ) from error


def _if_newer(copy: Path) -> str:
    """Say that a run was made by a newer metarl, as the end of a sentence; empty: it was not."""
    made_by = Checkpoints(copy).newest_versions().get("metarl-suite", "")
    try:
        newer = Version(made_by) > Version(OWN_VERSION)
    except InvalidVersion:
        return ""
    if not newer:
        return ""
    return (
        f"; it was made by metarl {made_by}, and this is {OWN_VERSION}: pip install --upgrade "
        "metarl-suite"
    )


def _usual_folder(address: HubAddress, commit: str) -> Path:
    return FOLDER / f"{_folder_name(address)}@{commit[:_SHOWN_OF_COMMIT]}"


def _folder_name(address: HubAddress) -> str:
    return address.repository.replace("/", "--")


def _origin_of(folder: Path) -> tuple[str, str] | None:
    """Say which repository and commit a run folder was copied from."""
    if not (folder / ORIGIN_FILE).is_file():
        return None
    try:
        found = read_json(folder / ORIGIN_FILE)
    except MetarlError:
        return None
    if not isinstance(found, dict):
        return None
    return str(found.get("repository")), str(found.get("revision"))
