"""What installed packages name in their entry points."""

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points

OWN_PACKAGE = "metarl-suite"


def installed_entries(group: str) -> tuple[EntryPoint, ...]:
    """Give a group's entry points, our own first, so that no stranger's name hides one of ours.

    To read the metadata of all packages takes milliseconds, and a suite of many cells asks for them
    a thousand times; so they are read again only where a package was installed or removed.
    """
    return _read(group, tuple(_places()))


def package_of(entry: EntryPoint) -> str:
    """Give the name of the package that an entry point belongs to; "?" if it belongs to none."""
    return _name_of(entry.dist) if entry.dist is not None else "?"


def _places() -> Iterator[tuple[str, int]]:
    """Give where Python finds packages, and when something was last put there or removed."""
    for place in sys.path:
        with contextlib.suppress(OSError):
            yield place, os.stat(place or ".").st_mtime_ns


@lru_cache(maxsize=16)
def _read(group: str, _: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    found = entry_points(group=group)
    return tuple(sorted(found, key=lambda entry: package_of(entry) != OWN_PACKAGE))


@lru_cache(maxsize=64)
def _name_of(package: Distribution) -> str:
    """Give a package's name, for which all of its metadata are read each time."""
    return package.name
