"""A function run on a shard, and what it came to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from metarl.foundation.stopwatch import PhaseSeconds
from metarl.foundation.working_directory import working_directory_kept
from metarl.tasks.failed_episodes import FailedEpisode
from metarl.workers.shards import Shard

R = TypeVar("R")


@dataclass(frozen=True)
class Reply:
    """What running a function on a shard came to."""

    results: list[Any]
    """One for each task."""
    phases: PhaseSeconds
    left_out: tuple[FailedEpisode, ...] = ()
    """Why tasks were left out."""


def run_timed(shard: Shard, function: Callable[..., list[R]], args: Sequence[Any]) -> Reply:
    """Run `function(shard, *args)`; give its results and what it took, by phase.

    Whatever an environment does to the working directory is undone.
    """
    with working_directory_kept(), shard.stopwatch.phase(function.__name__):
        results = function(shard, *args)
    left_out, shard.left_out = tuple(shard.left_out), []
    return Reply(results, shard.stopwatch.take(), left_out)
