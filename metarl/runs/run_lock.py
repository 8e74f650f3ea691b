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
from dataclasses import dataclass
from pathlib import Path

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import opened_within, reason
from metarl.runs.run_folder import LOCK_FILE

_LONGEST = 4096


@contextlib.contextmanager
def locked(run_dir: Path, warn: Callable[[str], None], flag: str = "--run-dir") -> Iterator[None]:
    """Hold a run folder's lock.

    Args:
        run_dir: the folder; it is there.
        warn: is told where the file system has no locks, and training goes on without.
        flag: of the command line, that names another folder.

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
                f"choose another {flag}"
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
    signed = _signature(handle)
    return f"process {signed.pid} on {signed.host}" if signed else "another process"


@dataclass(frozen=True)
class Holder:
    """Who has signed a run folder's lock last."""

    pid: int
    host: str
    lives: bool | None = None
    """Whether the process is there and has the lock's file open; None: it is on another machine."""


def holder_of(run_dir: Path) -> Holder | None:
    """Say who trains in a run folder, or did last, without touching the lock; None: nobody has."""
    file = run_dir / LOCK_FILE
    try:
        with opened_within(file, _LONGEST) as opened:
            signed, lock = _signature(opened.fileno()), os.fstat(opened.fileno())
    except RunFolderError:
        return None
    if signed is None or signed.host != platform.node():
        return signed
    return Holder(signed.pid, signed.host, _has_open(signed.pid, lock))


def _signature(handle: int) -> Holder | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        holder = json.loads(os.pread(handle, _LONGEST, 0))
        return Holder(int(holder["pid"]), str(holder["host"]))
    return None


def _has_open(pid: int, lock: os.stat_result) -> bool:
    """Say whether a process has a file open; where that is not shown, whether it is there."""
    try:
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False
    except PermissionError:  # another user's
        return True
    for handle in handles:
        with contextlib.suppress(OSError):  # closed since
            if os.path.samestat(handle.stat(), lock):
                return True
    return False
