"""A process of a benchmark: measures how fast the environments of a comparison are alone.

    python -m metarl.api.benchmark_speed

Standard input says what is to be measured, as `metarl.runs.benchmark_speed.Measuring` has it.
"""

import sys

from metarl.api.job_process import do_job
from metarl.foundation.versions import versions
from metarl.runs.benchmark_speed import (
    Measurement,
    Measuring,
    add_measurement,
    decides,
    read_measuring,
)
from metarl.runs.interruptions import Interruptions
from metarl.runs.provenance import describe_machine
from metarl.tasks.environment_speed import measured_speed


def measure(wanted: Measuring) -> None:
    """Measure, and keep each measurement as soon as it is made.

    Raises:
        MetarlError: an environment failed, or the file cannot be written.

    """
    for cell in wanted.cells:
        found = measured_speed(cell.config, cell.slots_per_task)
        measurement = Measurement(
            of=decides(cell),
            env_steps_per_second=found.env_steps_per_second,
            rounds=found.rounds,
            tasks_at_once=found.tasks_at_once,
            frame_skip=found.frame_skip,
            processes=wanted.processes,
            machine=describe_machine(cell.config.device),
            versions=versions(),
        )
        add_measurement(wanted.file, measurement)


def _do(line: bytes, interruptions: Interruptions) -> None:
    with interruptions.allowed():
        measure(read_measuring(line))


if __name__ == "__main__":
    sys.exit(do_job(_do))
