"""The metrics file: one JSON record per iteration, in `metrics.jsonl`."""

import json
import os
from pathlib import Path
from typing import Any

from metarl.errors import RunFolderError
from metarl.run_folder import METRICS_FILE


class MetricsFile:
    """Appends records, and cuts back to a checkpoint."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / METRICS_FILE

    def append(self, record: dict[str, Any]) -> None:
        """Append one iteration's record; it is on disk when this returns.

        Raises:
            RunFolderError: the file cannot be written.

        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunFolderError(f"cannot write {self._path}: {error.strerror}") from error

    def read(self) -> list[dict[str, Any]]:
        """Read all complete records; a last line that was cut short is passed over.

        Raises:
            RunFolderError: a line before the last is not a JSON record.

        """
        if not self._path.exists():
            return []
        records: list[dict[str, Any]] = []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break
                raise RunFolderError(f"{self._path}, line {number} is damaged: {error}") from error
        return records

    def cut_back(self, iteration: int, interval: int = 1) -> None:
        """Drop the records after an iteration; training resumes from there.

        Args:
            iteration: the last to keep.
            interval: iterations from one record to the next.

        Raises:
            RunFolderError: a record up to that iteration is missing.

        """
        kept = [record for record in self.read() if record["iteration"] <= iteration]
        if [record["iteration"] for record in kept] != list(
            range(interval, iteration + 1, interval)
        ):
            raise RunFolderError(
                f"{self._path} does not hold the {iteration // interval} records that the "
                "checkpoint stands on"
            )
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        partial.replace(self._path)
