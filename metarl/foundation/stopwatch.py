"""Where the time of an iteration goes."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

PhaseSeconds = Mapping[str, float]
"""Seconds by the name of a phase of the work."""

COMMUNICATION = "communication"


class Stopwatch:
    """Seconds spent in named phases; a phase inside another counts for the inner one only."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._phase: str | None = None
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside for the phase `name`."""
        outer = self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def take(self) -> PhaseSeconds:
        """Give the seconds of each phase and start again from 0."""
        taken, self._seconds = self._seconds, defaultdict(float)
        return dict(taken)

    def _switch(self, phase: str | None) -> str | None:
        now = time.perf_counter()
        if self._phase is not None:
            self._seconds[self._phase] += now - self._since
        before, self._phase, self._since = self._phase, phase, now
        return before


class Profile:
    """What a pool's maps cost: the mean over its workers of each phase, and what came on top."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, seconds: float, workers: Sequence[PhaseSeconds]) -> None:
        """Add one map that took `seconds` here and, in each worker, the phases given.

        What the mean worker did not spend on the work is communication: packing, sending, and
        waiting for the slowest.
        """
        for phases in workers:
            for phase, spent in phases.items():
                self._seconds[phase] += spent / len(workers)
        busy = sum(sum(phases.values()) for phases in workers) / len(workers)
        self._seconds[COMMUNICATION] += seconds - busy

    def take(self) -> PhaseSeconds:
        """Give the seconds of each phase and start again from 0."""
        taken, self._seconds = self._seconds, defaultdict(float)
        return dict(taken)


def duration(seconds: float) -> str:
    """Give a time in its two largest units.

    Less than ten seconds have a digit after the point, less than one are milliseconds.

    Args:
        seconds: not negative.

    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hours:
        return f"{hours} h {minute} min"
    return f"{minute} min {second} s" if minutes else f"{second} s"
