"""A run folder as others may see it: what is shared, without what it says of the machine."""

import json
from pathlib import Path

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import read_bytes
from metarl.runs.run_folder import CHECKPOINTS_FOLDER, CONFIG_FILE
from metarl.runs.shared_files import Selection
from metarl.runs.without_machine import (
    config_without_machine,
    json_without_machine,
    session_without_machine,
)

REPORT_FILE = "report.html"
"""It has paths and commands all over, and is written anew from the copy."""


def stage(run_dir: Path, selection: Selection, target: Path) -> None:
    """Write what is shared of a run into a folder, but for its page.

    Args:
        run_dir: the run folder.
        selection: its files that are shared.
        target: the new folder.

    Raises:
        RunFolderError: a file cannot be read, or is no JSON where it must be.

    """
    for name, size in selection.files.items():
        if name == REPORT_FILE:
            continue
        data = read_bytes(run_dir / name, size)
        try:
            data = _without_machine(name, data)
        except (ValueError, TypeError, RecursionError) as error:
            raise RunFolderError(f"{run_dir / name} cannot be shared: {error}") from error
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)


def _without_machine(name: str, data: bytes) -> bytes:
    if name == CONFIG_FILE:
        return (json.dumps(config_without_machine(json.loads(data)), indent=2) + "\n").encode()
    if name in ("sessions.jsonl", "sittings.jsonl"):
        sessions = [json.loads(line) for line in data.splitlines() if line.strip()]
        lines = [json.dumps(session_without_machine(it)) + "\n" for it in sessions]
        return "".join(lines).encode()
    # What a checkpoint holds has checksums, and says nothing of the machine but its versions.
    if name.endswith(".json") and not name.startswith(CHECKPOINTS_FOLDER):
        return json_without_machine(data)
    return data
