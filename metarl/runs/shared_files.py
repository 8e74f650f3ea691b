"""Which files of a run folder are shared, and how large each may be.

The same table says what is uploaded and what is taken from a stranger. Nothing of it is ever
unpickled or executed. Pages and drawings in which a browser runs scripts are uploaded, but not
taken from others: `metarl report` and `metarl evaluate` make them anew.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import MEBIBYTE, readable_size
from metarl.runs.run_folder import CHECKPOINTS_FOLDER, CONFIG_FILE

PARTS_OF_CHECKPOINT = ("manifest.json", "state.json", "parameters.safetensors")
"""Of a checkpoint, that are shared."""
EXPERIENCE = "experience.safetensors"
"""Of a checkpoint of an agent that learns from what it met before; it may be gigabytes, and stays.
"""
LARGEST_IN_ALL = 4096 * MEBIBYTE


@dataclass(frozen=True)
class _Kind:
    """Files of one kind."""

    name: re.Pattern[str]
    largest: int
    """Bytes."""
    from_strangers: bool = True


def _kind(name: str, mebibytes: int, from_strangers: bool = True) -> _Kind:
    return _Kind(re.compile(name, re.ASCII), mebibytes * MEBIBYTE, from_strangers)


_CHECKPOINT = re.compile(rf"{CHECKPOINTS_FOLDER}/iteration-(\d{{6,16}})/([a-z.]+)", re.ASCII)
_KINDS = (
    _kind(r"config\.json", 1),
    _kind(r"metrics\.jsonl", 256),
    _kind(r"(sessions|sittings)\.jsonl", 16),
    _kind(r"evaluation(-[\w-]{1,100})?\.json", 256),
    _kind(r"(evaluation(-[\w-]{1,100})?|examples)\.png", 64),
    _kind(r"(evaluation(-[\w-]{1,100})?|examples)\.svg", 64, from_strangers=False),
    _kind(r"examples\.json", 16),
    _kind(r"report\.html", 1024, from_strangers=False),
    _kind(r"videos/\w[\w.-]{0,100}\.(mp4|webp|gif)", 256),
    _kind(r"videos/\w[\w.-]{0,100}\.(mp4|webp|gif)\.json", 1),
    _kind(rf"{CHECKPOINTS_FOLDER}/iteration-\d{{6,16}}/(manifest|state)\.json", 1),
    _kind(rf"{CHECKPOINTS_FOLDER}/iteration-\d{{6,16}}/parameters\.safetensors", 2048),
)


@dataclass(frozen=True)
class Selection:
    """Files by name, with their bytes."""

    files: dict[str, int]
    left_out: dict[str, int]

    @property
    def checkpoint(self) -> str:
        """The folder of the checkpoint among them."""
        part = f"/{PARTS_OF_CHECKPOINT[0]}"
        return next(name.removesuffix(part) for name in self.files if name.endswith(part))


def files_of_folder(folder: Path) -> dict[str, int]:
    """Give a folder's regular files by their path in it, with their bytes; no link is followed."""
    found = {}
    for each in sorted(folder.rglob("*")):
        name = each.relative_to(folder)
        links = [folder / part for part in (name, *name.parents[:-1])]
        if each.is_file() and not any(link.is_symlink() for link in links):
            found[str(PurePosixPath(name))] = each.stat().st_size
    return found


def is_shared(name: str, *, by_stranger: bool) -> bool:
    """Say whether a file is of a kind that is uploaded, or that is taken from a stranger."""
    kind = _kind_of(name)
    return kind is not None and (kind.from_strangers or not by_stranger)


def select(
    sizes: Mapping[str, int], where: str, *, by_stranger: bool, iteration: int | None = None
) -> Selection:
    """Choose what is shared of a run: what `metarl.load` needs, and what people look at.

    Args:
        sizes: the bytes of all files, by their path in the run folder.
        where: the run folder, for messages.
        by_stranger: leave out what is not taken from strangers.
        iteration: of the checkpoint; None: the newest.

    Raises:
        RunFolderError: it is no run, it has no checkpoint, or one of its files is too large.

    """
    if CONFIG_FILE not in sizes:
        raise RunFolderError(f"{where} is not a run of metarl: it has no {CONFIG_FILE}")
    checkpoint = _newest_checkpoint(sizes, iteration)
    if checkpoint is None:
        raise RunFolderError(
            f"{where} has no checkpoint, and so no policy; one is written in training"
        )
    files, left_out = {}, {}
    for name, size in sorted(sizes.items()):
        kind, match = _kind_of(name), _CHECKPOINT.fullmatch(name)
        other = match is not None and not name.startswith(f"{checkpoint}/")
        if kind is None or other or (by_stranger and not kind.from_strangers):
            left_out[name] = size
        elif size > kind.largest:
            if name == CONFIG_FILE or match:
                raise RunFolderError(_too_large(where, name, size, kind.largest))
            left_out[name] = size
        else:
            files[name] = size
    if (total := sum(files.values())) > LARGEST_IN_ALL:
        raise RunFolderError(_too_large(where, "what is shared", total, LARGEST_IN_ALL))
    return Selection(files, left_out)


def holds_run(names: Collection[str]) -> bool:
    """Say whether files are those of a run."""
    return CONFIG_FILE in names and any(_CHECKPOINT.fullmatch(name) for name in names)


def _kind_of(name: str) -> _Kind | None:
    return next((kind for kind in _KINDS if kind.name.fullmatch(name)), None)


def _newest_checkpoint(sizes: Mapping[str, int], iteration: int | None) -> str | None:
    """Give the folder of the newest checkpoint that has all its parts."""
    parts: dict[str, set[str]] = {}
    iterations: dict[str, int] = {}
    for name in sizes:
        if match := _CHECKPOINT.fullmatch(name):
            folder = name.rpartition("/")[0]
            parts.setdefault(folder, set()).add(match[2])
            iterations[folder] = int(match[1])
    whole = [
        folder
        for folder, there in parts.items()
        if there >= set(PARTS_OF_CHECKPOINT) and iteration in (None, iterations[folder])
    ]
    return max(whole, key=lambda folder: iterations[folder], default=None)


def _too_large(where: str, name: str, size: int, largest: int) -> str:
    return (
        f"{where}: {name} has {readable_size(size)}, more than is shared ({readable_size(largest)})"
    )
