"""Runs on the Hugging Face hub: how they are named, and what its library's errors mean.

A model repository is named as USER/NAME; as a run folder, hf://USER/NAME or, of one revision (a
branch, a tag or a commit), hf://USER/NAME@REVISION.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from metarl.foundation.errors import ConfigError, MetarlError, RunFolderError

# A path folds the two slashes to one.
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repository>[^@]*)(?:@(?P<revision>.*))?", re.DOTALL)
_PART = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CARRIERS = ("httpx", "httpcore", "requests", "urllib3")
"""Modules that carry the requests, as the library's versions use them."""


class HubUnreachableError(MetarlError):
    """The hub does not answer, or is not to be asked."""

    exit_code = 1


class HubError(MetarlError):
    """The hub answers with a refusal."""

    exit_code = 1


@dataclass(frozen=True)
class HubAddress:
    """A model repository, at a revision."""

    repository: str
    """USER/NAME."""
    revision: str = ""
    """A branch, a tag or a commit; empty: the main branch."""

    def __str__(self) -> str:
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @property
    def names_commit(self) -> bool:
        """Whether the revision is one that never changes."""
        return bool(_COMMIT.fullmatch(self.revision))


def is_hub_address(run: str | os.PathLike[str]) -> bool:
    """Say whether a run is named by its place on the hub."""
    return str(run).startswith("hf:/")


def read_address(text: str | os.PathLike[str]) -> HubAddress:
    """Read hf://USER/NAME or hf://USER/NAME@REVISION.

    Raises:
        ConfigError: it is none.

    """
    found = _ADDRESS.fullmatch(str(text))
    if found is None:
        raise ConfigError(f"{text} is no address on the hub, which is hf://USER/NAME")
    revision = found["revision"]
    if revision is not None and not _REVISION.fullmatch(revision):
        raise ConfigError(
            f"{text}: {revision!r} is no revision, which is the name of a branch or a tag, or a "
            "commit"
        )
    return HubAddress(checked_repository(found["repository"]), revision or "")


def checked_repository(name: str) -> str:
    """Give a repository's name, if it is one.

    Raises:
        ConfigError: it is none that the hub has.

    """
    parts = name.split("/")
    if len(parts) != 2 or not all(_PART.fullmatch(part) for part in parts):
        raise ConfigError(
            f"{name!r} is no name of a repository, which is USER/NAME, of letters, digits, -, _ "
            "and ."
        )
    return name


def require_hub() -> None:
    """Raise ConfigError unless the hub's library is installed."""
    try:
        there = find_spec("huggingface_hub") is not None
    except ValueError:  # it is marked as missing
        there = False
    if not there:
        raise ConfigError('runs on the hub need its library: pip install "metarl-suite[hub]"')


@contextlib.contextmanager
def hub_errors(address: HubAddress) -> Iterator[None]:
    """Say inside what goes wrong with the hub in one line, with a way out.

    Raises:
        HubError: the hub refuses.
        HubUnreachableError: it cannot be asked.

    """
    try:
        yield
    except MetarlError:
        raise
    except Exception as error:
        told = _told(error, address)
        if told is None:
            raise
        raise told from error


def _told(error: BaseException, address: HubAddress) -> MetarlError | None:
    """Give an error of the hub's library as one of ours; None: it is something else."""
    from huggingface_hub import errors

    repository = address.repository
    match error:
        case errors.GatedRepoError():
            return HubError(
                f"{address} is open only to those whom its owner lets in; ask for access on its "
                "page, then log in: hf auth login"
            )
        case errors.RevisionNotFoundError():
            return HubError(
                f"{repository} has no revision {address.revision or 'main'!r}; its page lists "
                "branches and commits"
            )
        case errors.RepositoryNotFoundError():
            return HubError(
                f"there is no model repository {repository}, or it is private and you are not "
                "logged in as somebody who may see it; check the name, or log in: hf auth login"
            )
        case errors.HfHubHTTPError():
            return _refusal(repository, error.response.status_code, error.server_message)
        case RuntimeError() if error.__cause__ is not None:  # of an upload
            return _told(error.__cause__, address)
    # What carries the requests is the library's own affair, and differs with its version.
    if isinstance(error, OSError) or type(error).__module__.startswith(_CARRIERS):
        return _unreachable(address)
    return None


@contextlib.contextmanager
def bars_on_a_terminal() -> Iterator[None]:
    """Have the hub's library draw its bars inside only where somebody sees them."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _refusal(repository: str, status: int, said: str | None) -> HubError:
    if status in (401, 403):
        return HubError(
            f"the hub does not let you do this in {repository} ({status}); log in by hf auth login "
            "with a token that may, or set HF_TOKEN"
        )
    reason = f": {' '.join(said.split())}" if said else ""
    return HubError(f"the hub answered {status} about {repository}{reason}; try again later")


def _unreachable(address: HubAddress) -> HubUnreachableError:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return HubUnreachableError(
            f"{address} was not fetched before, and HF_HUB_OFFLINE forbids to ask the hub; unset "
            "it, or name a run folder"
        )
    return HubUnreachableError(
        f"the hub cannot be reached at {constants.ENDPOINT} for {address}; look after the network, "
        "or name a run folder"
    )


def in_words(error: MetarlError, folder: os.PathLike[str], address: HubAddress) -> RunFolderError:
    """Give an error about a folder that is going to vanish as one about the run on the hub."""
    return RunFolderError(
        str(error).replace(f"{folder}/", f"{address}: ").replace(str(folder), str(address))
    )
