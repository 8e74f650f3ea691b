"""MuJoCo's messages, of which some are not the user's concern."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mujoco


@contextmanager
def without_messages(known: str) -> Iterator[None]:
    """Keep the messages that contain `known` off the terminal and out of a MUJOCO_LOG.TXT.

    The others go to the handler that the user has set, else become Python warnings. Left alone,
    MuJoCo prints each message and appends it to a file in the current folder: a note on an
    attribute of Gymnasium's model files at each construction ("deprecated"), and each simulation
    that diverges ("unstable"), which our environments record.
    """
    messages: list[str] = []
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(messages.append)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
    for message in messages:
        if known in message:
            continue
        if before is not None:
            before(message)
        else:
            warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=3)
