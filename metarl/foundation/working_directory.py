"""A working directory that others, such as environments, may change for a while."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def working_directory_kept() -> Iterator[None]:
    """Go back afterwards to where this process was, if that is still there."""
    try:
        before = os.getcwd()
    except FileNotFoundError:  # somebody removed it
        yield
        return
    try:
        yield
    finally:
        if os.getcwd() != before:
            os.chdir(before)
