"""A run's folder: `config.json`, `metrics.jsonl`, `checkpoints/`, `evaluation.json`, and more."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from metarl.config.base import ExperimentConfig
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig, read_either
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.foundation.files import MEBIBYTE, PARTIAL, read_json, write_whole

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
EVALUATION_FILE = "evaluation.json"
LARGEST_EVALUATION = 256 * MEBIBYTE
LOCK_FILE = ".lock"
CHECKPOINTS_FOLDER = "checkpoints"
_CHECKPOINT = re.compile(r"iteration-(\d{6,16})")


def require_no_run(path: Path) -> None:
    """Refuse a folder that holds something; what a killed start leaves behind is nothing.

    Raises:
        RunFolderError: it holds something, or is no folder.

    """
    try:
        taken = path.exists() and (
            not path.is_dir()
            or any(not (it.name == LOCK_FILE or _is_partial(it)) for it in path.iterdir())
        )
    except OSError as error:
        raise RunFolderError(f"cannot make the run folder {path}: {error.strerror}") from error
    if taken:
        raise RunFolderError(
            f"{path} exists already; continue that run with --resume, or choose another --run-dir"
        )


def make_run_folder(path: Path) -> None:
    """Make a new run's folder.

    Raises:
        RunFolderError: the folder holds something already, or cannot be made.

    """
    require_no_run(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make the run folder {path}: {error.strerror}") from error


def sweep(path: Path) -> None:
    """Remove what a killed process left half-written."""
    for leftover in filter(_is_partial, path.glob(f"*{PARTIAL}")):
        with contextlib.suppress(OSError):  # a leftover does no harm
            leftover.unlink(missing_ok=True)


def _is_partial(file: Path) -> bool:
    """Tell whether it is half of what the one process that trains writes."""
    return file.name.startswith((CONFIG_FILE, METRICS_FILE)) and file.name.endswith(PARTIAL)


def write_config(path: Path, config: ExperimentConfig) -> None:
    """Write a run's configuration.

    Raises:
        RunFolderError: the folder cannot be written.

    """
    write_whole(path / CONFIG_FILE, config.to_json().encode())


def read_config(path: Path) -> Config | SupervisedConfig:
    """Read the configuration of a run, whatever it trains on.

    Raises:
        RunFolderError: the folder is missing or holds no readable configuration.

    """
    file = path / CONFIG_FILE
    if not path.is_dir():
        raise RunFolderError(f"there is no run folder {path}; `metarl train` makes one")
    if not (file.exists() or file.is_symlink()):
        raise RunFolderError(f"{path} is not a run folder: it has no {CONFIG_FILE}")
    table = read_json(file)
    if not isinstance(table, dict):
        raise RunFolderError(f"{file} cannot be read: it holds no table of fields")
    try:
        config: Config | SupervisedConfig = read_either(table, str(file))
    except ConfigError as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from error
    return config


def evaluation_file(path: Path, task_range: str = "") -> Path:
    """Give the file of an evaluation on the tasks of training, or of a range with a name."""
    file = path / EVALUATION_FILE
    return file.with_stem(f"{file.stem}-{task_range}") if task_range else file


def write_evaluation(path: Path, evaluation: dict[str, Any], task_range: str = "") -> Path:
    """Write `evaluation.json`, or `evaluation-NAME.json` for the tasks of a range with a name.

    Raises:
        RunFolderError: the folder cannot be written.

    """
    file = evaluation_file(path, task_range)
    write_whole(file, (json.dumps(evaluation, indent=2) + "\n").encode())
    return file


def complete_checkpoints(path: Path) -> list[tuple[int, Path]]:
    """Give a run's checkpoints that are written whole, and their iterations, the newest last."""
    folder = path / CHECKPOINTS_FOLDER
    if folder.is_symlink():
        return []
    found = [(_CHECKPOINT.fullmatch(each.name), each) for each in folder.glob("iteration-*")]
    return sorted((int(match[1]), each) for match, each in found if match)
