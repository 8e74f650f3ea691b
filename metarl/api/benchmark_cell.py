"""A process of a benchmark: trains and evaluates one cell, which its standard input names.

python -m metarl.api.benchmark_cell
"""

import sys

from metarl.api.evaluation import evaluate_contenders
from metarl.api.job_process import do_job
from metarl.api.training_session import run_training
from metarl.foundation.files import make_folder
from metarl.foundation.versions import versions
from metarl.reports.progress import FunctionDisplay
from metarl.runs.benchmark_cells import PROTOCOL, Cell, read_cell
from metarl.runs.contenders import Contender
from metarl.runs.interruptions import Interruptions
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


if __name__ == "__main__":
    sys.exit(do_job(lambda line, interruptions: run_cell(read_cell(line), interruptions)))
