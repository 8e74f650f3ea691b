"""Where a worker's rollout is: kept in memory that outlives the worker, for when it is lost."""

import json
from collections.abc import Sequence

TICKS, PHASE, STEP, SLOT, EPISODES, TEXT_BYTES = range(6)
"""What each of the numbers says. STEP −1: in reset. SLOT −1: in all slots at once."""
_NUMBERS = 8
_WORD = 8
SIZE = 64 * 1024
"""Bytes of memory that location take."""
NOWHERE = -2


class RolloutLocation:
    """Numbers and names in a block of memory, which another process may share.

    Args:
        memory: `SIZE` writable bytes; None: memory of its own.

    """

    def __init__(self, memory: memoryview | None = None) -> None:
        block = memoryview(bytearray(SIZE)) if memory is None else memory
        self.numbers = block[: _NUMBERS * _WORD].cast("q")
        """To be written while an episode runs; a change of any is a sign of life."""
        self._text = block[_NUMBERS * _WORD : SIZE]
        self.leave()

    def enter(self, tasks: Sequence[str], phase: int, episodes: int) -> None:
        """Begin the episodes of some tasks side by side.

        Args:
            tasks: what to call each.
            phase: of the adaptation.
            episodes: slots of each task.

        """
        text = json.dumps(tasks).encode()
        if len(text) > len(self._text):
            text = b"[]"
        self._text[: len(text)] = text
        numbers = self.numbers
        numbers[TEXT_BYTES], numbers[EPISODES], numbers[PHASE] = len(text), episodes, phase
        numbers[STEP] = numbers[SLOT] = -1
        numbers[TICKS] += 1

    def leave(self) -> None:
        """End them."""
        self.numbers[STEP] = NOWHERE
        self.numbers[TICKS] += 1

    def release(self) -> None:
        """Let go of the memory."""
        self.numbers.release()
        self._text.release()

    def tick(self) -> None:
        """Give a sign of life."""
        self.numbers[TICKS] += 1

    def describe(self) -> str:
        """Say where the rollout is; empty outside of one."""
        numbers = self.numbers.tolist()
        if numbers[STEP] == NOWHERE:
            return ""
        where = "reset" if numbers[STEP] < 0 else f"step {numbers[STEP]}"
        where += f" of adaptation phase {numbers[PHASE]}"
        if numbers[SLOT] < 0:
            return where
        position, episode = divmod(numbers[SLOT], max(1, numbers[EPISODES]))
        try:
            task = json.loads(bytes(self._text[: numbers[TEXT_BYTES]]))[position]
        except (ValueError, IndexError):
            task = f"number {position} of the worker's tasks"
        return f"{where}, {task}, episode {episode}"
