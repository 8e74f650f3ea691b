"""How much memory there is, and a refusal of what cannot fit, before any work is done."""

import contextlib
from pathlib import Path

from metarl.foundation.errors import ConfigError
from metarl.foundation.files import readable_size

_MEMINFO = Path("/proc/meminfo")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Of a container, what is used of it, and where stands what of that the kernel takes back at need:
in the second version of control groups, in the first."""


def available_bytes() -> int | None:
    """Give the bytes that can still be taken here; None: the system does not say."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = _MEMINFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    for limit, used, statistics, cache in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # without a limit the file says max
            found.append(_number(limit) - _number(used) + _statistic(statistics, cache))
    return min(found) if found else None


def _number(file: str) -> int:
    return int((_CONTROL_GROUPS / file).read_text())


def _statistic(file: str, name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        lines = (_CONTROL_GROUPS / file).read_text().splitlines()
        return int(dict(line.split() for line in lines).get(name, 0))
    return 0


def free_on_card(device: str) -> int | None:
    """Give the bytes that are free on a GPU; None: the device, by torch's name, is none."""
    import torch  # heavy, and who asks for the machine's memory needs none of it

    if torch.device(device).type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free


def require_room(needed: int, what: str, advice: str, device: str = "") -> None:
    """Refuse what cannot fit into memory.

    Args:
        needed: an estimate, in bytes.
        what: that needs them, in words.
        advice: what to do about it.
        device: whose memory, by torch's name; of one that is no GPU nothing is said. Empty: the
            machine's.

    Raises:
        ConfigError: there is less.

    """
    free = free_on_card(device) if device else available_bytes()
    if free is None or needed <= free:
        return
    size, left = readable_size(needed), readable_size(free)
    if device:
        raise ConfigError(
            f"{what} would take about {size} of the memory of device {device}, and {left} are free "
            f"there; {advice}"
        )
    raise ConfigError(
        f"{what} would take about {size} of memory, and {left} are free here; {advice}"
    )
