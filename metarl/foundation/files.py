"""Files of run folders: read within bounds, written whole or not at all.

A run folder may come from anybody. Nothing but regular files is read, none larger than its reader
expects, and no symbolic link in a folder is followed, neither to read nor to write.
"""

import contextlib
import glob
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from metarl.foundation.errors import RunFolderError

MEBIBYTE = 2**20
PARTIAL = ".partial"
_ABANDONED_SECONDS = 24 * 3600
"""Age from which on a partial file has no writer any more."""


@contextlib.contextmanager
def opened_within(file: Path, limit: int) -> Iterator[BinaryIO]:
    """Open a file to read.

    Args:
        file: what to read.
        limit: the most bytes that it may have.

    Raises:
        RunFolderError: it is missing, too large, a link, no regular file or cannot be read.

    """
    try:
        # Without O_NONBLOCK a named pipe would be waited for.
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as opened:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise RunFolderError(f"{file} is not a regular file")
            if status.st_size > limit:
                raise RunFolderError(
                    f"{file} has {status.st_size:,} bytes; no such file has more than {limit:,}"
                )
            yield opened
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {reason(error, file)}") from error


def read_bytes(file: Path, limit: int) -> bytes:
    """Read a file whole; arguments and errors as for `opened_within`."""
    with opened_within(file, limit) as opened:
        return opened.read()


def read_json(file: Path, limit: int = MEBIBYTE) -> Any:
    """Read a JSON file.

    Args:
        file: what to read.
        limit: the most bytes that it may have.

    Raises:
        RunFolderError: it cannot be read, or is no JSON.

    """
    try:
        return json.loads(read_bytes(file, limit).decode())
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        RunFolderError: it cannot be made.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make {folder}: {error.strerror}") from error


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that it is either the old one or the new one, whole, and on disk.

    Raises:
        RunFolderError: it cannot be written; the old one is untouched.

    """
    try:
        with put_in_place(file) as partial:
            write_new(partial, data)
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {reason(error, file)}") from error


@contextlib.contextmanager
def put_in_place(file: Path) -> Iterator[Path]:
    """Give a file beside another to write into; it then takes the other's place.

    Where anything fails it is removed, and the other is untouched.

    Raises:
        OSError: it cannot be put there.

    """
    # Another process may write the same file; each has a partial file of its own.
    partial = file.with_name(f"{file.name}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        yield partial
        partial.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)  # on a full disk its space is needed
        raise
    flush_folder(file.parent)
    _sweep_abandoned(file)


def _sweep_abandoned(file: Path) -> None:
    """Remove the partial files that killed writers of a file, just written, have left.

    A living one takes seconds to write, and may be on another machine: only age tells them apart.
    """
    pattern = f"{glob.escape(file.name)}.{'[0-9a-f]' * 16}{PARTIAL}"
    with contextlib.suppress(OSError):  # a leftover does no harm
        now = file.stat().st_mtime  # by the clock of what holds both
        for leftover in file.parent.glob(pattern):
            if now - leftover.lstat().st_mtime > _ABANDONED_SECONDS:
                leftover.unlink()


def write_new(file: Path, data: bytes) -> None:
    """Write a file that is not there yet; it is on disk when this returns.

    Raises:
        OSError: it is there, or cannot be written.

    """
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with open(handle, "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(handle)


def flush_folder(folder: Path) -> None:
    """Put on disk which files a folder has.

    Raises:
        OSError: it cannot be done.

    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reason(error: OSError, file: Path) -> str:
    """Say what an operating system's error was, in words."""
    if file.is_symlink():
        return "it is a symbolic link, and none is followed inside a run folder"
    return error.strerror or str(error)


def readable_size(size: int) -> str:
    """Say bytes in the unit that suits them."""
    number, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.3g} {unit}"
