"""Versions that numbers depend on."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

try:
    OWN_VERSION = version("metarl-suite")
except PackageNotFoundError:  # the sources are imported without having been installed
    OWN_VERSION = "0+unknown"

_RECORDED_PACKAGES = ("metarl-suite", "torch", "gymnasium", "mujoco", "numpy")
_NOT_PHYSICS = {"python", "machine", "metarl-suite", "torch", "numpy"}


def versions(*packages: str) -> dict[str, str]:
    """Give the versions that numbers depend on.

    Args:
        packages: distributions beside the usual ones, such as those of an environment.

    """
    found = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    for package in dict.fromkeys((*_RECORDED_PACKAGES, *packages)):
        found[package] = _version(package)
    return found


def physics_warning(recorded: Mapping[str, str]) -> str | None:
    """Say so when the physics may differ from the checkpoint's.

    Args:
        recorded: versions by name; all but those known to be no physics are compared.

    """
    changed = [
        f"{package} {before} → {now}"
        for package, before in recorded.items()
        if package not in _NOT_PHYSICS and before != (now := _version(package))
    ]
    return f"physics may differ from the checkpoint's: {', '.join(changed)}" if changed else None


def _version(package: str) -> str:
    try:
        return version(package)
    except (PackageNotFoundError, ValueError):
        return "not installed"
