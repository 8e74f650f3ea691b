"""A process of a benchmark: trains and evaluates one cell, which its standard input names.

    python -m metarl.api.benchmark_cell

Its standard output gets the reason, if it fails. It ends when its standard input does: with the
process that started it.
"""

import os
import signal
import sys
import threading
import traceback

from metarl.api.evaluation import evaluate_contenders
from metarl.api.training import run_training
from metarl.foundation.errors import MetarlError
from metarl.foundation.files import make_folder
from metarl.foundation.versions import versions
from metarl.reports.progress import FunctionDisplay
from metarl.runs.benchmark_cells import PROTOCOL, Cell, read_cell
from metarl.runs.contenders import Contender
from metarl.runs.interruptions import Interrupted, Interruptions
from metarl.runs.run_folder import CONFIG_FILE, write_config, write_evaluation
from metarl.runs.supervision import failures_kept, supervise


def run_cell(cell: Cell, interruptions: Interruptions) -> None:
    """Train a cell up to its budget, from where it was left, and evaluate it.

    Raises:
        MetarlError: with what went wrong; what was reached is saved.
        Interrupted: likewise.

    """
    if cell.trains:
        run_training(
            cell.config,
            cell.folder,
            display=FunctionDisplay(None),
            workers=0,
            resume=(cell.folder / CONFIG_FILE).exists(),
            tensorboard=False,
            command=f"metarl benchmark: {cell}",
            interruptions=interruptions,
        )
    else:
        _make_folder(cell)
    with interruptions.allowed(), failures_kept(cell.folder):
        supervision = supervise("metarl benchmark", cell.folder, 0.0, 0)
        contender = Contender(cell.tested, (cell.folder if cell.trains else None,), (cell.seed,))
        (found,) = evaluate_contenders([contender], 0, supervision, task_range=cell.task_range)
    record = {**found.record, "versions": versions(), PROTOCOL: cell.protocol}
    write_evaluation(cell.folder, record, cell.range_name)


def _make_folder(cell: Cell) -> None:
    """Make the folder of an agent that is not trained."""
    make_folder(cell.folder)
    write_config(cell.folder, cell.config)


def main() -> int:
    """Run the cell that standard input names; give the exit code."""
    answer = os.dup(1)
    os.dup2(2, 1)  # environments may print what they like; it goes into the log
    # If the parent dies while this process is stopped, the kernel sends SIGHUP; together with the
    # SIGTERM of `_end_with_parent` that would be two signals, of which the second ends at once.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    cell = read_cell(sys.stdin.buffer.readline())
    with Interruptions() as interruptions:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            run_cell(cell, interruptions)
        except Interrupted as interruption:
            return interruption.exit_code
        except Exception as error:
            traceback.print_exc()
            known = isinstance(error, MetarlError)
            os.write(answer, (str(error) if known else f"{type(error).__name__}: {error}").encode())
            return 1
    return 0


def _end_with_parent() -> None:
    """Save what is reached and end, once nobody holds the other end of standard input."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
