"""Which OpenGL draws here without a display: EGL, else OSMesa.

Candidates are tried in child processes, because a failed attempt cannot be taken back within a
process, and some crash it.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache

from metarl.foundation.errors import RenderingError

PACKAGES = {
    "egl": "libegl1 libegl-mesa0 libgl1-mesa-dri",
    "osmesa": "libosmesa6",
}
"""Backends in order of preference, with the Debian packages that bring them."""

PROBE_SECONDS = 60


@cache
def opengl_backend() -> str:
    """Give the name of an OpenGL backend that draws here, and set MUJOCO_GL to it.

    A backend that the user has set in MUJOCO_GL is the only one tried.

    Raises:
        RenderingError: there is none; the text names the system packages that bring one.

    """
    backend = choose_backend(os.environ.get("MUJOCO_GL", ""), probe)
    os.environ["MUJOCO_GL"] = backend
    return backend


def choose_backend(wanted: str, complaint: Callable[[str], str | None]) -> str:
    """Choose the first backend without a complaint.

    Args:
        wanted: the user's choice; empty: none.
        complaint: tells what is wrong with a backend; None: it draws.

    Raises:
        RenderingError: no backend draws.

    """
    complaints = []
    for backend in [wanted.strip().lower()] if wanted.strip() else PACKAGES:
        reason = complaint(backend)
        if reason is None:
            return backend
        complaints.append(f"{backend}: {reason}")
    chosen = f" MUJOCO_GL={wanted} is set; unset it to try the others." if wanted else ""
    raise RenderingError(
        f"no OpenGL draws without a display here ({'; '.join(complaints)}).{chosen} On Debian or "
        f"Ubuntu: apt-get install {PACKAGES['egl']}, or {PACKAGES['osmesa']}. Training does not "
        "need it"
    )


def probe(backend: str) -> str | None:
    """Draw a tiny scene in a child process; give what went wrong, or None."""
    environment = {key: os.environ[key] for key in os.environ if key != "PYOPENGL_PLATFORM"}
    code = f"from metarl.tasks.rendering import draw_tiny_scene; draw_tiny_scene({backend!r})"
    try:
        child = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "MUJOCO_GL": backend},
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"drew nothing in {PROBE_SECONDS} s"
    if child.returncode == 0:
        return None
    if child.returncode < 0:
        return f"the process died of signal {-child.returncode}"
    return (child.stderr.strip() or "failed").splitlines()[-1]
