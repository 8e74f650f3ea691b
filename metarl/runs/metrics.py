"""The metrics file: one JSON record per iteration, in `metrics.jsonl`."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metarl.config.base import ExperimentConfig
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import MEBIBYTE, flush_folder, opened_within, reason, write_whole
from metarl.runs.run_folder import METRICS_FILE

Record = dict[str, Any]

LARGEST_FILE = 4096 * MEBIBYTE
LARGEST_LINE = MEBIBYTE
LARGEST_COUNT = 2**53
_COUNTS = ("iteration", "env_steps", "line_search_steps")
_NUMBERS = ("_seconds", "_return", "_loss", "_success", "kl")
_SCALAR = int | float | str | None


def read_metrics(run_dir: Path) -> list[Record]:
    """Read the records of a run; a last line that is being written is left out.

    Raises:
        RunFolderError: a line before the last is no record.

    """
    records = []
    for number, (record, _) in enumerate(_lines(run_dir / METRICS_FILE), 1):
        if isinstance(record, str):
            raise RunFolderError(f"{run_dir / METRICS_FILE}, line {number} is damaged: {record}")
        records.append(record)
    return records


def training_return(record: Record) -> float | None:
    """Give a meta-batch's mean return after adaptation, or without one where nobody adapts."""
    value: float | None = record.get("post_adaptation_return", record.get("pre_adaptation_return"))
    return value


def is_whole(config: ExperimentConfig, records: Sequence[Record]) -> bool:
    """Say whether the records of a run are those of its whole training."""
    return bool(records) and config.is_trained(records[-1]["iteration"], _env_steps(records, 1))


def expected_iterations(config: ExperimentConfig, records: Sequence[Record]) -> int | None:
    """Give the iterations of a run's whole training, as far as its records tell.

    None: the budget is of environment steps, and there is no record yet.
    """
    if not records:
        in_iterations = config.is_trained(config.iterations, 0)
        return config.iterations if in_iterations else None
    env_steps = _env_steps(records, 1)
    latest = env_steps - _env_steps(records, 2)
    return config.expected_iterations(int(records[-1]["iteration"]), env_steps, latest)


def _env_steps(records: Sequence[Record], last: int) -> int:
    """Give the environment steps until the last record, or the last but one; 0 before the first."""
    return int(records[-last].get("env_steps", 0)) if len(records) >= last else 0


class MetricsFollower:
    """Reads a metrics file that grows, each line once."""

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / METRICS_FILE
        self._records: list[Record] = []
        self._end = 0
        """Bytes read."""

    def records(self) -> list[Record]:
        """Give all records there are by now; a last line that is being written is left out.

        A resumed run may have cut the file back, which then is read anew.

        Raises:
            RunFolderError: a line before the last is no record.

        """
        size = self._file.stat().st_size if self._file.exists() else 0
        if size < self._end or not self._read_on():
            self._records, self._end = [], 0
            if not self._read_on():
                read_metrics(self._file.parent)  # says what is damaged
        return self._records

    def _read_on(self) -> bool:
        """Read what is new; say whether it follows what was read before."""
        for record, end in _lines(self._file, self._end):
            last = self._records[-1]["iteration"] if self._records else 0
            if isinstance(record, str) or record["iteration"] <= last:
                return False
            self._records.append(record)
            self._end = end
        return True


class MetricsFile:
    """Appends records, and cuts back to a checkpoint.

    Records that cannot be written wait in memory, and are written with the next that can.
    """

    def __init__(self, run_dir: Path, interval: int = 1) -> None:
        """Take the run folder, and the iterations from one record to the next."""
        self._path = run_dir / METRICS_FILE
        self._interval = interval
        self._waiting: list[bytes] = []
        self._size = 0
        """Bytes of whole records on disk."""

    def append(self, record: Record) -> None:
        """Append one iteration's record; it is on disk when this returns.

        Raises:
            RunFolderError: the file cannot be written; the record waits.

        """
        self._waiting.append(_line(record))
        self.flush()

    def flush(self) -> None:
        """Write what waits; it is on disk when this returns.

        Raises:
            RunFolderError: the file cannot be written, or somebody else has shortened it.

        """
        if not self._waiting:
            return
        create = 0 if self._size else os.O_CREAT
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | create, 0o666)
            try:
                self._write(handle, b"".join(self._waiting))
            finally:
                os.close(handle)
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self._path}: {reason(error, self._path)}"
            ) from error
        self._waiting = []

    def _write(self, handle: int, data: bytes) -> None:
        there = os.fstat(handle).st_size
        if there < self._size:
            raise RunFolderError(
                f"cannot write {self._path}: somebody has shortened it, from {self._size} bytes to "
                f"{there}"
            )
        os.ftruncate(handle, self._size)  # a line that was written in part
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._size)
            raise
        if not self._size:
            flush_folder(self._path.parent)
        self._size += len(data)

    def count(self) -> int:
        """Give the iteration up to which records are there, complete and in order."""
        return self._interval * sum(1 for _ in self._in_order())

    def cut_back(self, iteration: int) -> int:
        """Drop the records after an iteration; training resumes from there.

        Where records up to that iteration are missing or damaged, those that are good are kept,
        and the file as it was is kept beside it.

        Returns:
            How many records are missing.

        Raises:
            RunFolderError: the file cannot be read or written.

        """
        wanted = iteration // self._interval
        ends = [end for _, end in zip(range(wanted), self._in_order(), strict=False)]
        if len(ends) == wanted:
            self._size = ends[-1] if ends else 0
            if self._path.exists():
                self._truncate()
            return 0
        kept = {
            record["iteration"]: record
            for record, _ in _lines(self._path)
            if not isinstance(record, str) and record["iteration"] <= iteration
        }
        damaged = self._path.with_name(self._path.name + ".damaged")
        with contextlib.suppress(OSError):  # there may be no file, or no hard links
            damaged.unlink(missing_ok=True)
            os.link(self._path, damaged, follow_symlinks=False)
        data = b"".join(_line(kept[number]) for number in sorted(kept))
        write_whole(self._path, data)
        self._size = len(data)
        return wanted - len(kept)

    def _truncate(self) -> None:
        """Shorten the file in place, which needs no space on a full disk."""
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                os.ftruncate(handle, self._size)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self._path}: {reason(error, self._path)}"
            ) from error

    def _in_order(self) -> Iterator[int]:
        """Give where each record ends, as long as they count 1, 2, 3, … intervals."""
        for number, (record, end) in enumerate(_lines(self._path), 1):
            if isinstance(record, str) or record["iteration"] != number * self._interval:
                return
            yield end


def _lines(file: Path, start: int = 0) -> Iterator[tuple[Record | str, int]]:
    """Give each whole line's record, or what is wrong with it, and where in the file it ends.

    Args:
        file: the metrics file; it may be missing.
        start: where the first line to read begins, in bytes.

    Raises:
        RunFolderError: the file cannot be read.

    """
    if not (file.exists() or file.is_symlink()):
        return
    end = start
    with opened_within(file, LARGEST_FILE) as opened:
        opened.seek(start)
        while line := opened.readline(LARGEST_LINE):
            end += len(line)
            if line.endswith(b"\n"):
                yield _read_record(line), end
            elif len(line) == LARGEST_LINE:
                yield f"it has more than {LARGEST_LINE:,} bytes", end
                return


def _read_record(line: bytes) -> Record | str:
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        return str(error)
    if not isinstance(record, dict):
        return "it is no record of an iteration"
    for name, value in record.items():
        if name in _COUNTS and (type(value) is not int or not 0 <= value < LARGEST_COUNT):
            return f"{name} = {value!r}"
        if not isinstance(value, int | float | None if name.endswith(_NUMBERS) else _SCALAR):
            return f"{name} is no number"
        if isinstance(value, int) and abs(value) >= LARGEST_COUNT:
            return f"{name} is too large"
    if "iteration" not in record:
        return "it has no iteration"
    return record


def _line(record: Record) -> bytes:
    return (json.dumps(record) + "\n").encode()
