"""One process at a time trains in a run folder.

The lock is the kernel's (`flock` on a file in the folder), so it ends with the process that holds
it, however that ends: there are no stale locks. The file says who holds it, for the message.
"""

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import reason
from metarl.runs.run_folder import LOCK_FILE

_LONGEST = 4096


@contextlib.contextmanager
def locked(run_dir: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Hold a run folder's lock.

    Args:
        run_dir: the folder; it is there.
        warn: is told where the file system has no locks, and training goes on without.

    Raises:
        RunFolderError: another process holds it; who, and the way out, are named. Or the folder
            cannot be written.

    """
    file = run_dir / LOCK_FILE
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {reason(error, file)}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(
                f"{run_dir} is being trained in by {_holder(handle)}; wait for it or stop it, or "
                "choose another --run-dir"
            ) from error
        except OSError as error:
            warn(
                f"{run_dir} is on a file system without locks ({error.strerror}); see to it that "
                "no second process trains there"
            )
        _sign(handle)
        yield
    finally:
        os.close(handle)


def _sign(handle: int) -> None:
    holder = {"pid": os.getpid(), "host": platform.node()}
    with contextlib.suppress(OSError):  # on a full disk; the lock holds without
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)


def _holder(handle: int) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        holder = json.loads(os.pread(handle, _LONGEST, 0))
        return f"process {int(holder['pid'])} on {holder['host']}"
    return "another process"
