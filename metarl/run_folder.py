"""A run's folder: `config.json`, `metrics.jsonl`, `checkpoints/`, `evaluation.json`."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metarl.config import Config
from metarl.errors import ConfigError, RunFolderError
from metarl.supervised_config import SupervisedConfig, read_either

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
EVALUATION_FILE = "evaluation.json"
_RECORDED_PACKAGES = ("metarl-suite", "torch", "gymnasium", "mujoco", "numpy")
_PHYSICS_PACKAGES = ("gymnasium", "mujoco")


def create_run_folder(path: Path, config: Config | SupervisedConfig) -> None:
    """Make a new run's folder and write its configuration.

    Raises:
        RunFolderError: the folder holds something already, or cannot be written.

    """
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunFolderError(
                f"{path} exists already; continue that run with --resume, or choose another "
                "--run-dir"
            )
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make the run folder {path}: {error.strerror}") from error
    write_config(path, config)


def write_config(path: Path, config: Config | SupervisedConfig) -> None:
    """Write a run's configuration.

    Raises:
        RunFolderError: the folder cannot be written.

    """
    _write_text(path / CONFIG_FILE, config.to_json())


def read_config(path: Path) -> Config:
    """Read the configuration of a run on an environment.

    Raises:
        RunFolderError: the folder is missing, holds no readable configuration, or is of a run on a
            supervised problem.

    """
    config = read_any_config(path)
    if isinstance(config, SupervisedConfig):
        raise RunFolderError(
            f"{path} is a run of problem {config.problem!r}, not of an environment; "
            "`metarl evaluate` and `metarl report` take it by itself"
        )
    return config


def read_any_config(path: Path) -> Config | SupervisedConfig:
    """Read the configuration of a run, whatever it trains on; errors as for `read_config`."""
    file = path / CONFIG_FILE
    if not path.is_dir():
        raise RunFolderError(f"there is no run folder {path}; `metarl train` makes one")
    try:
        config: Config | SupervisedConfig = read_either(json.loads(file.read_text()), str(file))
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} is not a run folder: it has no {CONFIG_FILE}") from error
    except (OSError, ValueError, ConfigError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from error
    return config


def _write_text(file: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whole."""
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror}") from error


def write_evaluation(path: Path, evaluation: dict[str, Any], task_range: str = "") -> Path:
    """Write `evaluation.json`, or `evaluation-NAME.json` for the tasks of a range with a name.

    Raises:
        RunFolderError: the folder cannot be written.

    """
    file = path / EVALUATION_FILE
    if task_range:
        file = file.with_stem(f"{file.stem}-{task_range}")
    _write_text(file, json.dumps(evaluation, indent=2) + "\n")
    return file


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the records of a run; a last line that is being written is left out.

    Raises:
        RunFolderError: a line is not JSON.

    """
    file = path / METRICS_FILE
    if not file.exists():
        return []
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise RunFolderError(f"{file} cannot be read: line {number}: {error}") from error
    return records


def versions() -> dict[str, str]:
    """Give the versions that numbers depend on."""
    found = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def physics_warning(recorded: dict[str, str]) -> str | None:
    """Say so when the physics may differ from the checkpoint's."""
    now = versions()
    changed = [
        f"{package} {recorded[package]} → {now[package]}"
        for package in _PHYSICS_PACKAGES
        if package in recorded and recorded[package] != now[package]
    ]
    return f"physics may differ from the checkpoint's: {', '.join(changed)}" if changed else None
