"""MuJoCo's notes about its model files, which are not the user's concern."""

from collections.abc import Iterator
from contextlib import contextmanager

import mujoco


@contextmanager
def without_deprecation_notes() -> Iterator[None]:
    """Keep deprecation notes off the terminal and out of a MUJOCO_LOG.TXT; pass on the rest.

    Gymnasium's model files use an attribute that MuJoCo has deprecated. Each construction would
    print a note and append it to a file in the current folder.
    """
    messages: list[str] = []
    mujoco.set_mju_user_warning(messages.append)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
    for message in messages:
        if "deprecated" not in message:
            mujoco.mju_warning(message)
