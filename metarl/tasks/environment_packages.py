"""Which installed packages an environment's physics come from."""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from typing import Any

import gymnasium as gym

from metarl.foundation.entry_points import installed_entries

_BEHIND_OURS = {"metaworld", "gymnasium_robotics", "minigrid"}
"""Modules that environments of ours may stand on without being of their classes."""


def environment_packages(
    environment: gym.Env[Any, Any], env_id: str, env_kwargs: Mapping[str, Any]
) -> list[str]:
    """Give the distributions that an environment, its wrappers and their base classes are of.

    Args:
        environment: as it was made.
        env_id: its id, which may name a module.
        env_kwargs: what it was made with, where ids of other environments may stand.

    """
    modules = {name for text in _texts([env_id, env_kwargs]) for name in _module_of(text)}
    modules |= _BEHIND_OURS & set(sys.modules)
    layer: Any = environment
    while layer is not None:
        modules |= {kind.__module__.partition(".")[0] for kind in type(layer).__mro__}
        layer = layer.env if isinstance(layer, gym.Wrapper) else None
    names, unknown = set(), set()
    # What is installed to be edited says nothing of its modules but by its entry points.
    for entry in installed_entries("metarl.environments"):
        module = entry.value.partition(".")[0]
        if entry.dist is not None and module in modules:
            names.add(entry.dist.name)
            modules.discard(module)
    for module in modules - sys.stdlib_module_names - {"metarl"}:
        if (name := _namesake(module)) is None:
            unknown.add(module)
        else:
            names.add(name)
    if unknown:  # all that is installed has to be read through, which takes a while
        known = packages_distributions()
        names |= {name for module in unknown for name in known.get(module, ())}
    return sorted(names)


def _namesake(module: str) -> str | None:
    """Give the distribution that has a module's name and the module."""
    try:
        found = distribution(module)
    except (PackageNotFoundError, ValueError):
        return None
    files = found.files or []
    return found.name if any(file.parts[0] == module for file in files) else None


def _module_of(text: str) -> list[str]:
    module, colon, _ = text.partition(":")
    return [module.partition(".")[0]] if colon else []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
