"""Does the machine do what metarl asks of it: cores, cards, workers, pictures, files?"""

import contextlib
import fcntl
import multiprocessing
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from metarl.api.findings import Finding
from metarl.foundation.errors import RenderingError
from metarl.foundation.files import MEBIBYTE
from metarl.foundation.memory import available_bytes
from metarl.tasks.opengl import choose_backend, probe
from metarl.workers.cores import usable_cores

_WORKER_SECONDS = 120
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def devices() -> Iterator[Finding]:
    """Look at cores, threads, memory and CUDA cards."""
    area = "devices"
    yield Finding(area, "cores", "ok", f"{usable_cores()} usable of {os.cpu_count()}")
    free = available_bytes()
    words = "unknown" if free is None else f"{free // MEBIBYTE:,} MiB can be taken"
    yield Finding(area, "memory", "ok", words)
    try:
        import torch
    except Exception:  # which is said among the packages
        return
    words = f"{torch.get_num_threads()} of torch; metarl itself computes with one a process"
    yield Finding(area, "threads", "ok", words)
    yield from _cards(torch)


def _cards(torch: Any) -> Iterator[Finding]:
    """Compute something on every CUDA card."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available:
        reason = "; ".join(str(each.message) for each in said)
        if not reason and _NVIDIA_DRIVER.exists() and torch.version.cuda is None:
            reason = "there is a driver, but this torch is built without CUDA"
        if reason:
            advice = "metarl computes on the CPU; for the card, install torch for its driver's CUDA"
            yield Finding("devices", "cuda", "problem", reason, advice)
        else:
            yield Finding("devices", "cuda", "missing", "no card: metarl computes on the CPU")
        return
    # Only now: it needs torch.
    from metarl.runs.provenance import describe_device

    for number in range(torch.cuda.device_count()):
        name = f"cuda:{number}"
        try:
            torch.ones(2, device=name).sum().item()
        except RuntimeError as error:
            words = str(error).partition("\n")[0]
            yield Finding(
                "devices", name, "problem", words, "see whether nvidia-smi shows the card"
            )
            continue
        about = describe_device(name)
        words = f"{about['model']}, {about['memory_mebibytes']:,} MiB, CUDA {about['cuda']}"
        yield Finding("devices", name, "ok", words)
        yield Finding("devices", f"{name} driver", "ok", about["driver"] or "unknown")


def rendering() -> Iterator[Finding]:
    """Draw a frame by OpenGL without a display, and write a clip."""
    wanted = os.environ.get("MUJOCO_GL", "")
    try:
        backend = choose_backend(wanted, probe)
        yield Finding("rendering", "OpenGL", "ok", f"{backend} draws without a display")
    except RenderingError as error:
        # Training does without; who asks for one that fails has made a mistake.
        state, advice = ("problem", "unset MUJOCO_GL") if wanted else ("missing", "")
        yield Finding("rendering", "OpenGL", state, str(error), advice)  # type: ignore[arg-type]
    try:
        import numpy as np

        from metarl.reports.video import write_clip

        frames = list(np.zeros((2, 32, 32, 3), np.uint8))
        with tempfile.TemporaryDirectory() as folder:
            write_clip(Path(folder) / "clip.mp4", frames, 10)
        yield Finding("rendering", "clips", "ok", "mp4 can be written (PyAV with libx264)")
    except Exception as error:  # av raises errors of its own
        words = f"no mp4 can be written: {type(error).__name__}: {error}"
        yield Finding("rendering", "clips", "problem", words, "metarl render --format webp")


def workers() -> Iterator[Finding]:
    """Start a worker process as training does, and have it answer."""
    needed = ("workers", "processes")
    advice = "metarl train … --workers 0 does without"
    try:
        from metarl.workers.process_main import environment_of_children

        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_answer, args=(theirs,), daemon=True)
        with environment_of_children():
            process.start()
        theirs.close()
        try:
            answered = ours.poll(_WORKER_SECONDS) and ours.recv()
        finally:
            process.kill()
            process.join()
        if answered:
            yield Finding(*needed, "ok", "a worker process starts and answers", needed=True)
        else:
            words = f"a worker process said nothing within {_WORKER_SECONDS} s"
            yield Finding(*needed, "problem", words, advice, needed=True)
    except EOFError:
        words = "a worker process ended before it answered; what it said is above"
        yield Finding(*needed, "problem", words, advice, needed=True)
    except Exception as error:  # of a torch that cannot be imported, or of the system
        words = f"no worker process starts: {type(error).__name__}: {error}"
        yield Finding(*needed, "problem", words, advice, needed=True)


def _answer(pipe: Connection) -> None:
    """Run in the worker: import what workers do, and answer."""
    import metarl.workers.process_main  # noqa: F401

    pipe.send(True)


def folders() -> Iterator[Finding]:
    """Write a file where run folders go, and lock it."""
    folder = Path("runs") if Path("runs").is_dir() else Path()
    words = "run folders can be written"
    advice = "work in another folder, or name one by --run-dir"
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".metarl-doctor-") as file:
            file.write(b"metarl")
            file.flush()
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                words += (
                    f", without locks ({error.strerror}): see to it that no two trainings share one"
                )
        with contextlib.suppress(OSError):
            words += f"; {shutil.disk_usage(folder).free // MEBIBYTE:,} MiB are free"
        yield Finding("folders", "runs", "ok", words, needed=True)
    except OSError as error:
        words = f"no run folder can be written here: {error.strerror}"
        yield Finding("folders", "runs", "problem", words, advice, needed=True)
