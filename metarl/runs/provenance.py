"""Where a run's numbers come from: a line in `sessions.jsonl` for its start and for each resume.

Nothing of the environment's variables is recorded, and no path but those of the command line.
"""

import contextlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from metarl.foundation.files import MEBIBYTE, opened_within

SESSIONS_FILE = "sessions.jsonl"
_NAMED_BEFORE = "sittings.jsonl"
"""By metarl 0.1."""
_LARGEST_FILE = 16 * MEBIBYTE
_GIT_SECONDS = 5.0
_DRIVER = Path("/proc/driver/nvidia/version")


def describe_session(
    command: str,
    seed: int,
    after_iteration: int,
    workers: int | str,
    versions: Mapping[str, str],
    device: str,
) -> dict[str, Any]:
    """Describe the session that begins now.

    Args:
        command: the command line.
        seed: of the run.
        after_iteration: the iterations that the run had before.
        workers: how many, or the address of a Ray cluster.
        versions: of what computes.
        device: torch's name of the device of what is learned.

    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seed": seed,
        "after_iteration": after_iteration,
        "workers": workers,
        "versions": dict(versions),
        **describe_machine(device),
        "torch_threads": torch.get_num_threads(),
        "git": _git(),
    }


def describe_machine(device: str) -> dict[str, Any]:
    """Describe the machine, and the device of what is learned by torch's name of it."""
    return {
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "device": describe_device(device),
    }


def machine_in_words(session: Mapping[str, Any]) -> str:
    """Say the machine of a session in a few words: processor, cores and, if it has one, the GPU."""
    words = f"{session.get('cpu')}, {session.get('cores')} cores"
    device = session.get("device")
    model = device.get("model") if isinstance(device, dict) else None
    return f"{words}, {model}" if model else words


def record_session(
    run_dir: Path,
    command: str,
    seed: int,
    after_iteration: int,
    workers: int | str,
    versions: Mapping[str, str],
    device: str,
    warn: Callable[[str], None],
) -> None:
    """Add the session that begins now to the run's record, if it can be written.

    Args:
        run_dir: the run folder.
        command: the command line.
        seed: of the run.
        after_iteration: the iterations that the run had before.
        workers: how many, or the address of a Ray cluster.
        versions: of what computes.
        device: torch's name of the device of what is learned.
        warn: is told when it cannot.

    """
    session = describe_session(command, seed, after_iteration, workers, versions, device)
    try:
        append_session(run_dir, session)
    except OSError as error:
        warn(f"cannot record this session in {run_dir}: {error.strerror}")


def append_session(run_dir: Path, session: Mapping[str, Any]) -> None:
    """Add a line to the run's record.

    Raises:
        OSError: it cannot be written.

    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    handle = os.open(run_dir / SESSIONS_FILE, flags, 0o666)
    with open(handle, "r+b", buffering=0) as file:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        file.write((b"\n" if torn else b"") + json.dumps(session).encode() + b"\n")


def read_sessions(run_dir: Path) -> list[dict[str, Any]]:
    """Read a run's sessions; a line that is damaged is left out, and so is all of an old run.

    Raises:
        RunFolderError: the file is no regular file, or too large.

    """
    return [session for name in (_NAMED_BEFORE, SESSIONS_FILE) for session in _read(run_dir / name)]


def _read(file: Path) -> list[dict[str, Any]]:
    if not (file.exists() or file.is_symlink()):
        return []
    sessions = []
    with opened_within(file, _LARGEST_FILE) as opened:
        for line in opened:
            with contextlib.suppress(ValueError, RecursionError):
                session = json.loads(line.decode())
                if isinstance(session, dict):
                    sessions.append(session)
    return sessions


def summary_of(session: Mapping[str, Any]) -> str:
    """Say a session in a line."""
    git = session.get("git")
    commit = ""
    if isinstance(git, dict):
        commit = f", commit {str(git.get('commit'))[:12]}"
        commit += " with changes" if git.get("dirty") else ""
    return (
        f"{session.get('started')}, after iteration {session.get('after_iteration')}: "
        f"{session.get('command')} ({session.get('cpu')}, {session.get('platform')}, "
        f"workers: {session.get('workers')}{commit})"
    )


def describe_device(name: str) -> dict[str, Any]:
    """Describe a device: torch's name; of a GPU also its model, memory, driver and CUDA."""
    device = torch.device(name)
    if device.type != "cuda":
        return {"name": name}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": name,
        "model": found.name,
        "memory_mebibytes": found.total_memory // MEBIBYTE,
        "driver": _driver(),
        "cuda": torch.version.cuda,
    }


def _driver() -> str | None:
    """Give NVIDIA's line about its driver; None: unknown."""
    with contextlib.suppress(OSError):
        return _DRIVER.read_text(errors="replace").partition("\n")[0].strip()
    return None


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _git() -> dict[str, Any] | None:
    """Give the commit of the working directory and whether it was changed; None: unknown."""
    commit = _ask_git("rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = _ask_git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.strip(), "dirty": None if changes is None else bool(changes)}


def _ask_git(*arguments: str) -> str | None:
    # The monitor is a program that a repository may name; none is to be started by us.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
