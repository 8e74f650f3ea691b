"""Checkpoints: safetensors and JSON with checksums, written atomically; never pickle.

A checkpoint is a folder `checkpoints/iteration-000120` with

- `parameters.safetensors`: the agent's state, array by array: what is learned by the names of its
  layers, as `policy/…`, and so any other array of that shape, such as `step_sizes/…`; the outer
  optimiser's memory as `optimiser/…`, and whatever else the agent carries as `arrays/…`;
- `experience.safetensors`, where the agent learns from what it has met before: that, array by
  array; an evaluation does without;
- `state.json`: the iteration, the environment steps so far, the versions that wrote it, the agent
  and the environment;
- `manifest.json`: the SHA-256 sums of the others.

It is written under another name, flushed to disk and renamed, so a folder with the final name is
complete unless a disk or a hand damaged it, which the sums tell. A checkpoint may come from
anybody: it is read within the bounds that the policy gives, and checked before it is used.
"""

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from metarl.agent.protocol import AgentState, TrainingState
from metarl.config.reinforcement import current_env_id
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import (
    MEBIBYTE,
    PARTIAL,
    flush_folder,
    read_bytes,
    read_json,
    reason,
    write_new,
)
from metarl.learning.adaptation import Parameters, unflatten
from metarl.runs.metrics import LARGEST_COUNT
from metarl.runs.run_folder import CHECKPOINTS_FOLDER, complete_checkpoints
from metarl.workers.shards import Vector, to_vector

FORMAT = 1
KEPT = 3
_PARAMETERS = "parameters.safetensors"
_EXPERIENCE = "experience.safetensors"
_STATE = "state.json"
_MANIFEST = "manifest.json"
_POLICY_PREFIX = "policy/"
_OPTIMISER_PREFIX = "optimiser/"
_ARRAYS_PREFIX = "arrays/"
_SET_ASIDE = ".set-aside"


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(
        self, run_dir: Path, about: Mapping[str, str] | None = None, carried_bytes: int = 0
    ) -> None:
        """Take the run's folder.

        Args:
            run_dir: the run folder.
            about: what a checkpoint must be of, such as the agent's name, by kind; it is recorded
                in those that are written, and one that says something else is refused.
            carried_bytes: room for the agent's experience; see `metarl.agent.protocol.Family`.

        """
        self._folder = run_dir / CHECKPOINTS_FOLDER
        self._about = dict(about or {})
        self._carried_bytes = carried_bytes

    def save(self, state: TrainingState, template: Parameters, versions: Mapping[str, str]) -> None:
        """Write a checkpoint, then drop all but the newest few.

        Args:
            state: what to save.
            template: names and shapes of the policy's parameters.
            versions: the versions of what computed the state.

        Raises:
            RunFolderError: it cannot be written.

        """
        tensors = _tensors(state.agent, template)
        summary = {
            "format": FORMAT,
            "iteration": state.iteration,
            "env_steps": state.env_steps,
            "versions": dict(versions),
            **self._about,
        }
        contents = {_PARAMETERS: save(tensors), _STATE: _json_bytes(summary)}
        if state.agent.experience:
            experience = {
                name: torch.as_tensor(array).contiguous()
                for name, array in state.agent.experience.items()
            }
            contents[_EXPERIENCE] = save(experience)
        for name, largest in self._limits(template).items():
            if len(contents.get(name, b"")) > largest:
                raise RunFolderError(
                    f"{name} of a checkpoint would have {len(contents[name]):,} bytes, more than "
                    f"is ever read for this policy ({largest:,}); the agent remembers too much"
                )
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        contents[_MANIFEST] = _json_bytes({"sha256": sums})

        try:
            self._write(f"iteration-{state.iteration:06d}", contents)
        except OSError as error:
            raise RunFolderError(
                f"cannot write a checkpoint in {self._folder}: {reason(error, self._folder)}; the "
                "older ones are untouched"
            ) from error

    def _limits(self, template: Parameters) -> dict[str, int]:
        """Give the most bytes that each file is read of."""
        return {
            _STATE: MEBIBYTE,
            _PARAMETERS: _largest(template),
            _EXPERIENCE: self._carried_bytes + MEBIBYTE if self._carried_bytes else 0,
        }

    def load_newest(
        self, template: Parameters, up_to: int | None = None, *, experience: bool = False
    ) -> tuple[TrainingState, dict[str, str], list[str]]:
        """Load the newest checkpoint that is whole and of this run.

        Args:
            template: names and shapes of the policy's parameters.
            up_to: the newest iteration wanted; None: any.
            experience: whether the agent's experience is wanted as well, to train on.

        Returns:
            The state, the versions that wrote it, and what was passed over and why.

        Raises:
            RunFolderError: there is no good checkpoint.

        """
        skipped: list[str] = []
        for iteration, folder in reversed(self._complete()):
            if up_to is not None and iteration > up_to:
                skipped.append(f"{folder.name}: the metrics end at iteration {up_to}")
                continue
            try:
                limits = self._limits(template)
                if not experience:
                    del limits[_EXPERIENCE]
                state, versions = _load(folder, template, iteration, self._about, limits)
            # A file that somebody made may break its reader anywhere.
            except Exception as error:
                skipped.append(f"{folder.name}: {error or type(error).__name__}")
                continue
            return state, versions, skipped
        reasons = "; ".join(skipped) or "none was written"
        raise RunFolderError(f"no usable checkpoint in {self._folder} ({reasons})")

    def exist(self) -> bool:
        """Say whether there are checkpoints, good or bad."""
        return bool(self._complete())

    def newest_versions(self) -> dict[str, str]:
        """Give the versions that the newest readable checkpoint says, without loading it."""
        for _, folder in reversed(self._complete()):
            try:
                return _versions(read_json(folder / _STATE))
            except (RunFolderError, ValueError):
                continue
        return {}

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        if not self._folder.is_symlink():
            for leftover in self._folder.glob(f"*{PARTIAL}"):
                _remove(leftover)

    def set_aside_after(self, iteration: int) -> None:
        """Rename the checkpoints of later iterations, which training will write anew.

        Raises:
            RunFolderError: it cannot be done.

        """
        try:
            for later, folder in self._complete():
                if later > iteration:
                    aside = folder.with_name(folder.name + _SET_ASIDE)
                    _remove(aside)
                    folder.rename(aside)
        except OSError as error:
            raise RunFolderError(f"cannot rename in {self._folder}: {error.strerror}") from error

    def _write(self, name: str, contents: Mapping[str, bytes]) -> None:
        final = self._folder / name
        partial = final.with_name(name + PARTIAL)
        if not self._folder.parent.is_dir():
            raise FileNotFoundError(0, "the run folder is gone")
        if self._folder.is_symlink():  # `reason` says so
            raise OSError
        self.sweep()
        self._folder.mkdir(exist_ok=True)
        try:
            partial.mkdir()
            for file_name, data in contents.items():
                write_new(partial / file_name, data)
            flush_folder(partial)
            if final.exists():  # this iteration once more, after a resume from an earlier one
                final.rename(final.with_name(f"old-{name}{PARTIAL}"))
            partial.rename(final)
        except OSError:
            _remove(partial)  # on a full disk its space is needed
            raise
        flush_folder(self._folder)
        for _, old in self._complete()[:-KEPT]:
            with contextlib.suppress(OSError):  # it is tried again with the next
                # Renamed first, so that one removed in part never looks like a checkpoint.
                _remove(old.rename(old.with_name(f"old-{old.name}{PARTIAL}")))

    def _complete(self) -> list[tuple[int, Path]]:
        """Give the checkpoints and their iterations, the newest last."""
        return complete_checkpoints(self._folder.parent)


def require_whole(folder: Path) -> None:
    """Compare a checkpoint's files, as far as they are there, with the sums that it has of them.

    Raises:
        RunFolderError: one is damaged, or the sums cannot be read.

    """
    try:
        sums = dict(read_json(folder / _MANIFEST)["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{folder / _MANIFEST} has no checksums") from error
    for name in (_STATE, _PARAMETERS):
        with (folder / name).open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != sums.get(name):
            raise RunFolderError(f"{folder / name} is damaged (its checksum differs)")


def _load(
    folder: Path,
    template: Parameters,
    iteration: int,
    about: Mapping[str, str],
    limits: Mapping[str, int],
) -> tuple[TrainingState, dict[str, str]]:
    if folder.is_symlink():
        raise ValueError("it is a symbolic link, and none is followed inside a run folder")
    sums = read_json(folder / _MANIFEST)["sha256"]
    wanted_files = {_STATE, _PARAMETERS} | (set(limits) & set(sums))
    contents = {name: read_bytes(folder / name, limits[name]) for name in sorted(wanted_files)}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != sums[name]:
            raise ValueError(f"{name} is damaged (its checksum differs)")
    summary = json.loads(contents[_STATE])
    if summary["format"] != FORMAT:
        raise ValueError(f"checkpoint format {summary['format']}, this metarl reads {FORMAT}")
    for kind, wanted in about.items():
        said = summary.get(kind, wanted)  # older ones do not say
        if kind == "environment" and isinstance(said, str):
            said = current_env_id(said)
        if said != wanted:
            raise ValueError(f"it is of {kind} {summary[kind]!r}, not of {wanted!r}")
    for name in ("iteration", "env_steps"):
        if type(summary[name]) is not int or not 0 <= summary[name] < LARGEST_COUNT:
            raise ValueError(f"{name} = {summary[name]!r}")
    if summary["iteration"] != iteration:
        raise ValueError(f"it is of iteration {summary['iteration']}")
    agent = _agent_state(load(contents[_PARAMETERS]), template)
    if _EXPERIENCE in contents:
        agent = replace(agent, experience=_finite_arrays(load(contents[_EXPERIENCE])))
    return TrainingState(agent, iteration, summary["env_steps"]), _versions(summary)


def _tensors(state: AgentState, template: Parameters) -> Parameters:
    """Give an agent's arrays under the names that a file has for them."""
    tensors = _by_name(_POLICY_PREFIX, state.theta, template)
    for name, array in state.others.items():
        if array.shape == state.theta.shape and array.dtype == state.theta.dtype:
            tensors |= _by_name(f"{name}/", array, template)
        else:
            tensors[_ARRAYS_PREFIX + name] = torch.as_tensor(array).contiguous()
    for name, array in state.optimiser.items():
        tensors[_OPTIMISER_PREFIX + name] = torch.as_tensor(array).contiguous()
    return tensors


def _agent_state(tensors: Parameters, template: Parameters) -> AgentState:
    _finite_arrays(tensors)
    alone = (_POLICY_PREFIX, _OPTIMISER_PREFIX, _ARRAYS_PREFIX)
    layered = {name.partition("/")[0] for name in tensors if not name.startswith(alone)}
    return AgentState(
        theta=_vector(_POLICY_PREFIX, tensors, template),
        optimiser=_arrays(_OPTIMISER_PREFIX, tensors),
        others={
            **_arrays(_ARRAYS_PREFIX, tensors),
            **{name: _vector(f"{name}/", tensors, template) for name in sorted(layered)},
        },
    )


def _finite_arrays(tensors: Parameters) -> dict[str, np.ndarray]:
    """Give tensors as arrays, all of them finite."""
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} is not finite")
    return {name: value.numpy() for name, value in tensors.items()}


def _arrays(prefix: str, tensors: Parameters) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): value.numpy()
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _versions(summary: Any) -> dict[str, str]:
    versions = summary.get("versions", {}) if isinstance(summary, dict) else None
    if not isinstance(versions, dict) or not all(isinstance(it, str) for it in versions.values()):
        raise ValueError(f"{_STATE} names no versions")
    return versions


def _largest(template: Parameters) -> int:
    """Give the most bytes that parameters and an optimiser's memory of them may have."""
    parameters = sum(math.prod(value.shape) for value in template.values())
    return 64 * MEBIBYTE + 32 * 8 * parameters


def _by_name(prefix: str, vector: Vector, template: Parameters) -> Parameters:
    parameters = unflatten(torch.as_tensor(vector), template)
    return {prefix + name: value.contiguous() for name, value in parameters.items()}


def _vector(prefix: str, tensors: Parameters, template: Parameters) -> Vector:
    names = {name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
    for name in sorted(names ^ set(template)):
        has = "no" if name in template else "a"
        raise ValueError(f"it has {has} {prefix}{name}; the policy's layers differ")
    for name, like in template.items():
        found = tensors[prefix + name]
        if found.shape != like.shape:
            raise ValueError(
                f"{prefix}{name} has shape {tuple(found.shape)}, the policy {tuple(like.shape)}"
            )
        if found.dtype != like.dtype:
            raise ValueError(f"{prefix}{name} is {found.dtype}, the policy {like.dtype}")
    return to_vector({name: tensors[prefix + name] for name in template})


def _remove(path: Path) -> None:
    """Remove a file or folder as far as that is possible; no link is followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
