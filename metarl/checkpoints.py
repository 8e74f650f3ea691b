"""Checkpoints: safetensors and JSON with checksums, written atomically; never pickle.

A checkpoint is a folder `checkpoints/iteration-000120` with

- `parameters.safetensors`: the policy's parameters by name, learned step sizes of the inner loop
  likewise, and the outer optimiser's state;
- `state.json`: the iteration, the environment steps so far, the versions that wrote it;
- `manifest.json`: the SHA-256 sum of the other two.

It is written under another name, flushed to disk and renamed, so a folder with the final name is
complete unless a disk or a hand damaged it, which the sums tell.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from metarl.adaptation import Parameters, unflatten
from metarl.agents import AgentState
from metarl.errors import RunFolderError
from metarl.shards import Vector, to_vector
from metarl.training import TrainingState

FORMAT = 1
KEPT = 3
_PARAMETERS = "parameters.safetensors"
_STATE = "state.json"
_MANIFEST = "manifest.json"
_POLICY_PREFIX = "policy/"
_STEP_SIZES_PREFIX = "step_sizes/"
_OPTIMISER_PREFIX = "optimiser/"


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "checkpoints"

    def save(self, state: TrainingState, template: Parameters, versions: Mapping[str, str]) -> None:
        """Write a checkpoint, then drop all but the newest few.

        Args:
            state: what to save.
            template: names and shapes of the policy's parameters.
            versions: the versions of what computed the state.

        Raises:
            RunFolderError: it cannot be written.

        """
        tensors = _by_name(_POLICY_PREFIX, state.agent.theta, template)
        if state.agent.step_sizes is not None:
            tensors |= _by_name(_STEP_SIZES_PREFIX, state.agent.step_sizes, template)
        for name, array in state.agent.optimiser.items():
            tensors[_OPTIMISER_PREFIX + name] = torch.as_tensor(array).contiguous()
        summary = {
            "format": FORMAT,
            "iteration": state.iteration,
            "env_steps": state.env_steps,
            "versions": dict(versions),
        }
        contents = {_PARAMETERS: save(tensors), _STATE: _json_bytes(summary)}
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        contents[_MANIFEST] = _json_bytes({"sha256": sums})

        try:
            self._write(f"iteration-{state.iteration:06d}", contents)
        except OSError as error:
            raise RunFolderError(
                f"cannot write a checkpoint in {self._folder}: {error.strerror}; the older ones "
                "are untouched"
            ) from error

    def load_newest(self, template: Parameters) -> tuple[TrainingState, dict[str, str], list[str]]:
        """Load the newest checkpoint whose sums are right.

        Args:
            template: names and shapes of the policy's parameters.

        Returns:
            The state, the versions that wrote it, and what was passed over and why.

        Raises:
            RunFolderError: there is no good checkpoint.

        """
        skipped: list[str] = []
        for folder in reversed(self._complete()):
            try:
                state, versions = _load(folder, template)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                skipped.append(f"{folder.name}: {error}")
                continue
            return state, versions, skipped
        reasons = "; ".join(skipped) or "none was written"
        raise RunFolderError(f"no usable checkpoint in {self._folder} ({reasons})")

    def _write(self, name: str, contents: Mapping[str, bytes]) -> None:
        final = self._folder / name
        partial = final.with_suffix(".partial")
        for leftover in self._folder.glob("*.partial"):
            shutil.rmtree(leftover)
        partial.mkdir(parents=True)
        for file_name, data in contents.items():
            with (partial / file_name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _fsync_folder(partial)
        if final.exists():  # this iteration once more, after a resume from an earlier one
            shutil.rmtree(final)
        partial.rename(final)
        _fsync_folder(self._folder)
        for old in self._complete()[:-KEPT]:
            shutil.rmtree(old)

    def _complete(self) -> list[Path]:
        return sorted(
            path for path in self._folder.glob("iteration-*") if path.suffix != ".partial"
        )


def _load(folder: Path, template: Parameters) -> tuple[TrainingState, dict[str, str]]:
    sums = json.loads((folder / _MANIFEST).read_text())["sha256"]
    contents = {name: (folder / name).read_bytes() for name in (_PARAMETERS, _STATE)}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != sums[name]:
            raise ValueError(f"{name} is damaged (its checksum differs)")
    summary = json.loads(contents[_STATE])
    if summary["format"] != FORMAT:
        raise ValueError(f"checkpoint format {summary['format']}, this metarl reads {FORMAT}")
    tensors = load(contents[_PARAMETERS])
    theta = _vector(_POLICY_PREFIX, tensors, template)
    learned = any(name.startswith(_STEP_SIZES_PREFIX) for name in tensors)
    step_sizes = _vector(_STEP_SIZES_PREFIX, tensors, template) if learned else None
    optimiser: dict[str, np.ndarray] = {
        name.removeprefix(_OPTIMISER_PREFIX): value.numpy()
        for name, value in tensors.items()
        if name.startswith(_OPTIMISER_PREFIX)
    }
    agent = AgentState(theta, optimiser, step_sizes)
    return TrainingState(agent, summary["iteration"], summary["env_steps"]), summary["versions"]


def _by_name(prefix: str, vector: Vector, template: Parameters) -> Parameters:
    parameters = unflatten(torch.as_tensor(vector), template)
    return {prefix + name: value.contiguous() for name, value in parameters.items()}


def _vector(prefix: str, tensors: Parameters, template: Parameters) -> Vector:
    for name, like in template.items():
        found = tensors[prefix + name]
        if found.shape != like.shape:
            raise ValueError(
                f"{prefix}{name} has shape {tuple(found.shape)}, the policy {tuple(like.shape)}"
            )
    return to_vector({name: tensors[prefix + name] for name in template})


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
