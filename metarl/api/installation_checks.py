"""Is the software in order: Python, packages, plug-ins, environment variables?"""

import contextlib
import io
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

from metarl.api.findings import Finding
from metarl.config.plugins import (
    Origin,
    agent_names,
    environment_ids,
    left_out,
    load_agent,
    load_preset,
    load_problem,
    preset_names,
    problem_names,
    trained_names,
)
from metarl.foundation.entry_points import OWN_PACKAGE
from metarl.foundation.errors import ConfigError
from metarl.foundation.versions import OWN_VERSION

_IMPORTED = ("torch", "gymnasium", "mujoco", "scipy", "matplotlib", "safetensors", "av")
"""Packages with compiled parts, whose import may fail although they are installed."""
_FOR_DEVELOPERS = "dev"
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "MUJOCO_GL",
    "PYOPENGL_PLATFORM",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
)


def python_and_packages() -> Iterator[Finding]:
    """Look at versions, and whether what has compiled parts can be imported."""
    area = "packages"
    yield Finding(area, "metarl-suite", "ok", OWN_VERSION)
    words = f"{platform.python_version()} ({platform.python_implementation()})"
    yield Finding(area, "python", "ok", words)
    yield Finding(area, "platform", "ok", platform.platform())
    for requirement in _requirements(""):
        yield _package(requirement)


def extras() -> Iterator[Finding]:
    """Look at the optional packages, extra by extra."""
    try:
        names = metadata(OWN_PACKAGE).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return
    for extra in sorted(set(names) - {_FOR_DEVELOPERS}):
        found = [(each.name, _version(each.name)) for each in _requirements(extra)]
        there = ", ".join(f"{name} {number}" for name, number in found if number)
        absent = ", ".join(name for name, number in found if not number)
        unfit = [
            f"{each.name} {number} does not fit {each.specifier}"
            for each, (_, number) in zip(_requirements(extra), found, strict=True)
            if number and not each.specifier.contains(number, prereleases=True)
        ]
        install = f'to use it: pip install "metarl-suite[{extra}]"'
        if unfit:
            yield Finding("extras", extra, "problem", "; ".join(unfit), install)
        elif absent:
            yield Finding("extras", extra, "missing", f"{absent} not installed", install)
        else:
            yield Finding("extras", extra, "ok", there)


def _requirements(extra: str) -> list[Requirement]:
    """Give what the installed metarl requires, by itself or for an extra alone."""
    try:
        texts = requires(OWN_PACKAGE) or []
    except PackageNotFoundError:  # the sources are imported without having been installed
        return []
    found = [Requirement(text) for text in texts]
    return [
        each
        for each in found
        if (each.marker.evaluate({"extra": extra}) if each.marker else not extra)
        and (not extra or not each.marker or not each.marker.evaluate({"extra": ""}))
    ]


def _package(requirement: Requirement) -> Finding:
    """Say whether a package that metarl needs is there, new enough and whole."""
    name, wanted = requirement.name, requirement.specifier
    advice = f'pip install "{requirement}"'
    found = _version(name)
    if found is None:
        return Finding("packages", name, "problem", "not installed", advice, needed=True)
    if not wanted.contains(found, prereleases=True):
        words = f"{found} does not fit {wanted}"
        return Finding("packages", name, "problem", words, advice, needed=True)
    if name in _IMPORTED:
        try:
            import_module(name)
        except Exception as error:  # a broken package may raise anything
            words = f"{found} cannot be imported: {type(error).__name__}: {error}"
            advice = f'pip install --force-reinstall "{requirement}"'
            if "MUJOCO_GL" in str(error):
                advice = "unset MUJOCO_GL"
            return Finding("packages", name, "problem", words, advice, needed=True)
    return Finding("packages", name, "ok", found, needed=True)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def plug_ins() -> Iterator[Finding]:
    """Look at what each package brings, and name what cannot be used."""
    listings: dict[str, Callable[[], list[Origin]]] = {
        "presets": preset_names,
        "environments": environment_ids,
        "problems": problem_names,
        "agents": agent_names,
        "trained policies": trained_names,
    }
    loaders = {"presets": load_preset, "problems": load_problem, "agents": load_agent}
    counts: dict[str, Counter[str]] = {}
    troubles = []
    with contextlib.redirect_stderr(io.StringIO()):  # what is said there is told here
        for kind, listing in listings.items():
            for origin in listing():
                try:
                    if kind in loaders:
                        loaders[kind](origin.name)
                except ConfigError as error:
                    troubles.append((origin.package, origin.name, str(error)))
                else:
                    counts.setdefault(origin.package, Counter())[kind] += 1
    for package, brought in sorted(counts.items()):
        words = ", ".join(f"{number} {kind}" for kind, number in brought.items())
        yield Finding("plug-ins", f"{package} {_version(package) or ''}".strip(), "ok", words)
    for line in left_out():
        package = line.partition(" of package ")[2].partition(":")[0]
        troubles.append((package, line.partition(" ")[0], f"left out: {line}"))
    for package, name, words in troubles:
        own = package == OWN_PACKAGE
        advice = (
            f'pip install --force-reinstall "{package}"'
            if own
            else f"tell the authors of {package}"
        )
        yield Finding("plug-ins", name, "problem", words, advice, needed=own)


def variables() -> Iterator[Finding]:
    """Look at the environment variables that change what metarl does; no other is read."""
    for name in _VARIABLES:
        value = os.environ.get(name)
        yield Finding("variables", name, "ok", "not set" if value is None else f"{value!r}")
