"""`metarl.push`: a run to a model repository of the Hugging Face hub."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.api.run import Run, report
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.reports.model_card import Shared, model_card
from metarl.reports.run_contents import read_run
from metarl.runs.hub_address import (
    HubAddress,
    HubError,
    bars_on_a_terminal,
    hub_errors,
    read_address,
    require_hub,
)
from metarl.runs.shared_files import (
    EXPERIENCE,
    files_of_folder,
    holds_run,
    is_shared,
    select,
)
from metarl.runs.staged_copy import REPORT_FILE, stage
from metarl.runs.strangers import require_installed_code

CARD_FILE = "README.md"
_LEFT_ALONE = {".gitattributes", CARD_FILE}
"""Files that every repository may have."""


@dataclass(frozen=True)
class Upload:
    """What is uploaded of a run."""

    address: str
    """Where it is for others: hf://USER/NAME, or hf://USER/NAME@BRANCH."""
    files: dict[str, int]
    """By their path in the repository, with their bytes."""
    left_out: dict[str, int]
    """Files of the run folder that stay, with their bytes."""
    card: str
    """The text of README.md."""
    url: str = ""
    """The page of the commit; empty: nothing was uploaded."""


def push(
    run: Run | str | os.PathLike[str],
    repository: str,
    *,
    private: bool = False,
    branch: str = "",
    message: str = "",
    license: str = "mit",
    dry_run: bool = False,
    output: str | os.PathLike[str] | None = None,
    tell: Callable[[Upload], Any] | None = None,
) -> Upload:
    """Upload a run to a model repository of the Hugging Face hub, with a card made from its report.

    What `metarl.load` needs is uploaded, and what people look at: configuration, newest checkpoint,
    metrics, evaluations, pictures, clips and the report. TensorBoard's events, older checkpoints
    and the experience of an agent that keeps one stay. Of paths, in the configuration and in
    recorded commands, the last part is uploaded alone; names of hosts and users are not.

    Args:
        run: a run, its folder, or the name of a policy that comes trained.
        repository: USER/NAME; it is made if it is not there.
        private: make a new repository that only its owner sees.
        branch: to write to, made if it is not there; empty: main.
        message: of the commit; empty: it says the run.
        license: of what is uploaded, as the hub names it.
        dry_run: upload nothing, and do not ask the hub.
        output: of a dry run: a new folder to write what would be uploaded into.
        tell: told what is going to be uploaded.

    Raises:
        ConfigError: the name is none, or the hub's library is not installed.
        RunFolderError: it is no run, has no good checkpoint, or the run there cannot be replaced.
        MetarlError: the hub refuses, or cannot be reached.

    """
    address = read_address(f"hf://{repository}" + (f"@{branch}" if branch else ""))
    if output is not None and not dry_run:
        raise ConfigError("output is of a dry run, which writes what would be uploaded there")
    require_hub()
    run = run if isinstance(run, Run) else Run(run)
    with tempfile.TemporaryDirectory(prefix="metarl-push-") as scratch:
        staged = Path(scratch) / address.repository.rpartition("/")[2]
        upload = _staged(run, staged, address, license)
        if tell is not None:
            tell(upload)
        if not dry_run:
            said = message or f"{run.config.name}, {run.config.agent}, seed {run.config.seed}"
            return dataclasses.replace(upload, url=_sent(staged, address, private, said))
        if output is not None:
            _keep(staged, upload, Path(output))
    return upload


def _staged(run: Run, staged: Path, address: HubAddress, license: str) -> Upload:
    """Write what is uploaded into a folder, the card among it."""
    sizes, where = files_of_folder(run.run_dir), str(run.run_dir)
    select(sizes, where, by_stranger=False)  # says what a folder lacks
    iteration = run.iteration  # of the newest checkpoint that is good
    chosen = select(sizes, where, by_stranger=False, iteration=iteration)
    stage(run.run_dir, chosen, staged)
    if REPORT_FILE in chosen.files:
        with contextlib.chdir(staged.parent):  # the page and its figures name the folder
            report([Path(staged.name)])
    shared = Shared(
        run=dataclasses.replace(read_run(staged), run_dir=Path(staged.name)),
        address=address,
        iteration=iteration,
        files=tuple(chosen.files),
        license=license,
        resumable=f"{chosen.checkpoint}/{EXPERIENCE}" not in chosen.left_out,
        started_from=bool(run.config.flat().get("initial_policy")),
        foreign=_foreign_code(run),
    )
    card = model_card(shared)
    (staged / CARD_FILE).write_text(card, encoding="utf-8")
    return Upload(str(address), files_of_folder(staged), chosen.left_out, card)


def _foreign_code(run: Run) -> str:
    """Say what a run names that others may lack, and must trust."""
    try:
        require_installed_code(run.config)
    except ConfigError as error:
        return f"{error}."
    return ""


def _sent(staged: Path, address: HubAddress, private: bool, message: str) -> str:
    """Upload a folder in one commit, in which older files of a run go away; give its page."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if get_token() is None:
        raise HubError(
            f"uploading to {address.repository} needs a token of the hub: hf auth login, or set "
            "HF_TOKEN; `metarl push … --dry-run` needs none"
        )
    hub, repository, branch = HfApi(), address.repository, address.revision or "main"
    with hub_errors(address), bars_on_a_terminal():
        hub.create_repo(repository, private=private or None, exist_ok=True)
        if private and not hub.model_info(repository).private:
            raise HubError(f"{repository} is there already, and public; choose another name")
        if address.revision:
            hub.create_branch(repository, branch=branch, exist_ok=True)
        there = set(hub.list_repo_files(repository, revision=branch))
        _require_run_or_nothing(there, address)
        files = files_of_folder(staged)
        operations: list[Any] = [CommitOperationAdd(name, str(staged / name)) for name in files]
        operations += [
            CommitOperationDelete(name)
            for name in sorted(there - set(files))
            if is_shared(name, by_stranger=False)
        ]
        done = hub.create_commit(repository, operations, commit_message=message, revision=branch)
    return str(done.commit_url)


def _require_run_or_nothing(there: set[str], address: HubAddress) -> None:
    """Refuse to write over what is no run of metarl."""
    if there - _LEFT_ALONE and not holds_run(there):
        raise RunFolderError(
            f"{address} holds something that is no run of metarl ({min(there - _LEFT_ALONE)}); "
            "choose another name or another branch"
        )


def _keep(staged: Path, upload: Upload, output: Path) -> None:
    """Copy what would be uploaded into a new folder."""
    try:
        output.mkdir(parents=True)
        for name in upload.files:
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            (output / name).write_bytes((staged / name).read_bytes())
    except OSError as error:
        raise RunFolderError(f"cannot write {output}: {error.strerror}") from error
