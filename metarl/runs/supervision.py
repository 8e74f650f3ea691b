"""What a run tells and keeps of its workers' troubles."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from metarl.foundation.errors import RunFolderError, WorkerError
from metarl.foundation.messages import say
from metarl.tasks.failed_episodes import FailedEpisode
from metarl.workers.process_pool import Supervision

EVENTS_FILE = "events.jsonl"
FAILURES_FOLDER = "failures"


def supervise(command: str, run_dir: Path, timeout: float, memory: int) -> Supervision:
    """Say events on standard error and note them in the run folder.

    Args:
        command: that the user gave.
        run_dir: the run folder.
        timeout: seconds without a sign of life; 0: chosen.
        memory: MiB a worker may hold; 0: no limit.

    """

    def report(text: str) -> None:
        say(f"{command}: {text}")
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": text})
        # The run is worth more than the note.
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            with open(os.open(run_dir / EVENTS_FILE, flags, 0o666), "a", encoding="utf-8") as file:
                file.write(line + "\n")

    def keep(episode: FailedEpisode) -> None:
        with contextlib.suppress(RunFolderError):
            report(f"repeat it with: metarl repro {episode.write(run_dir / FAILURES_FOLDER)}")

    return Supervision(timeout=timeout, memory=memory * 2**20, report=report, report_episode=keep)


@contextlib.contextmanager
def failures_kept(run_dir: Path) -> Iterator[None]:
    """Keep the episode that ends a run, and say how to repeat it."""
    try:
        yield
    except WorkerError as error:
        if error.episode is None:
            raise
        try:
            file = error.episode.write(run_dir / FAILURES_FOLDER)
        except RunFolderError:
            raise error from None
        raise WorkerError(f"{error}\n\nRepeat the episode with: metarl repro {file}") from error
