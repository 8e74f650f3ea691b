"""How many threads torch computes with: one, since more change the last bits of results.

And they slow small networks down. What another library computes keeps the number of the start.
"""

import contextlib
from collections.abc import Iterator

import torch

_AT_THE_START = torch.get_num_threads()


def one_thread() -> contextlib.AbstractContextManager[None]:
    """Have torch compute with one thread inside."""
    return _threads(1)


def threads_of_the_start() -> contextlib.AbstractContextManager[None]:
    """Have torch compute inside with as many threads as it began with."""
    return _threads(_AT_THE_START)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
