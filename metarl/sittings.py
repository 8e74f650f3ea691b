"""Where a run's numbers come from: a line in `sittings.jsonl` for its start and for each resume.

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

from metarl.files import MEBIBYTE, opened_within

SITTINGS_FILE = "sittings.jsonl"
_LARGEST_FILE = 16 * MEBIBYTE
_GIT_SECONDS = 5.0


def describe_sitting(
    command: str, seed: int, after_iteration: int, workers: int | str, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Describe the sitting that begins now.

    Args:
        command: the command line.
        seed: of the run.
        after_iteration: the iterations that the run had before.
        workers: how many, or the address of a Ray cluster.
        versions: of what computes.

    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seed": seed,
        "after_iteration": after_iteration,
        "workers": workers,
        "versions": dict(versions),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "git": _git(),
    }


def record_sitting(
    run_dir: Path,
    command: str,
    seed: int,
    after_iteration: int,
    workers: int | str,
    versions: Mapping[str, str],
    warn: Callable[[str], None],
) -> None:
    """Add the sitting that begins now to the run's record, if it can be written.

    Args:
        run_dir: the run folder.
        command: the command line.
        seed: of the run.
        after_iteration: the iterations that the run had before.
        workers: how many, or the address of a Ray cluster.
        versions: of what computes.
        warn: is told when it cannot.

    """
    sitting = describe_sitting(command, seed, after_iteration, workers, versions)
    try:
        append_sitting(run_dir, sitting)
    except OSError as error:
        warn(f"cannot record this sitting in {run_dir}: {error.strerror}")


def append_sitting(run_dir: Path, sitting: Mapping[str, Any]) -> None:
    """Add a line to the run's record.

    Raises:
        OSError: it cannot be written.

    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    handle = os.open(run_dir / SITTINGS_FILE, flags, 0o666)
    with open(handle, "r+b", buffering=0) as file:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        file.write((b"\n" if torn else b"") + json.dumps(sitting).encode() + b"\n")


def read_sittings(run_dir: Path) -> list[dict[str, Any]]:
    """Read a run's sittings; a line that is damaged is left out, and so is all of an old run.

    Raises:
        RunFolderError: the file is no regular file, or too large.

    """
    file = run_dir / SITTINGS_FILE
    if not (file.exists() or file.is_symlink()):
        return []
    sittings = []
    with opened_within(file, _LARGEST_FILE) as opened:
        for line in opened:
            with contextlib.suppress(ValueError, RecursionError):
                sitting = json.loads(line.decode())
                if isinstance(sitting, dict):
                    sittings.append(sitting)
    return sittings


def summary_of(sitting: Mapping[str, Any]) -> str:
    """Say a sitting in a line."""
    git = sitting.get("git")
    commit = ""
    if isinstance(git, dict):
        commit = f", commit {str(git.get('commit'))[:12]}"
        commit += " with changes" if git.get("dirty") else ""
    return (
        f"{sitting.get('started')}, after iteration {sitting.get('after_iteration')}: "
        f"{sitting.get('command')} ({sitting.get('cpu')}, {sitting.get('platform')}, "
        f"workers: {sitting.get('workers')}{commit})"
    )


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
