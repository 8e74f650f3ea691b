"""The child's side of `metarl.api.side_by_side`: one line says what to do, one answer why not.

The process ends when its standard input does: with the process that started it.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from metarl.foundation.errors import MetarlError
from metarl.runs.interruptions import Interrupted, Interruptions

_LONGEST_REASON = 16 * 1024
"""In bytes; a pipe that nobody reads yet takes 64 KiB before it blocks."""


def do_job(work: Callable[[bytes, Interruptions], None]) -> int:
    """Do what a line of standard input asks for; give the exit code.

    Standard output gets the reason, if it fails; of a long one the beginning.

    Args:
        work: is given the line; signals raise Interrupted where it allows them to.

    """
    answer = os.dup(1)
    os.dup2(2, 1)  # environments may print what they like; it goes into the log
    # If the parent dies while this process is stopped, the kernel sends SIGHUP; together with the
    # SIGTERM of `_end_with_parent` that would be two signals, of which the second ends at once.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    with Interruptions() as interruptions:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            work(line, interruptions)
        except Interrupted as interruption:
            return interruption.exit_code
        except Exception as error:
            traceback.print_exc()
            known = isinstance(error, MetarlError)
            os.write(answer, _cut(str(error) if known else f"{type(error).__name__}: {error}"))
            return 1
    return 0


def _cut(reason: str) -> bytes:
    """Give what an unread pipe has room for; the log has all."""
    data = reason.encode()
    if len(data) <= _LONGEST_REASON:
        return data
    return f"{data[:_LONGEST_REASON].decode(errors='ignore')} …".encode()


def _end_with_parent() -> None:
    """Save what is reached and end, once nobody holds the other end of standard input."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
