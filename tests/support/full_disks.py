"""Disks that are small enough to be filled: real file systems in memory."""

import contextlib
import shutil
import subprocess
import sys

import pytest


@contextlib.contextmanager
def mounted_disk(folder, size):
    """Mount a file system of its own, of a size such as 200k; needs Linux and its mount."""
    disk = folder / "disk"
    disk.mkdir()
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("needs mount and tmpfs, as Linux has them")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk):
    """Take what is left of a disk."""
    with (disk / "other").open("ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
