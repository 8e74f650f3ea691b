"""A benchmark that is killed or interrupted goes on by the same command, to the same bits."""

import os
import shutil
import signal

import psutil
import pytest
from benchmark_suites import STEPS, write_suite
from sessions import newest_checkpoint, recorded, records, wait_for

import metarl

ITERATIONS = 60
CELL = "b/cells/nav/reptile/seed-3"
FIELDS = {"agent", "seed", "env_steps", "tasks_per_batch", "episodes_per_task", "horizon"}
FIELDS |= {"hidden_sizes", "checkpoint_interval"}
"""What the suite sets."""
COMMAND = ["benchmark", "suite.toml", "--output", "b", "--workers", 1]

pytestmark = pytest.mark.usefixtures("in_the_folder_of_runs")


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.fault(
    "benchmark",
    "Ctrl-C of `metarl benchmark`, then SIGKILL of it, then SIGKILL of the process of a cell",
    "cells save what they have reached and end with the command; a cell that is killed is named, "
    "with its log, and the exit code is 1; the same command goes on to the bits of a run that was "
    "never interrupted",
    group="interruption",
)
def test_a_benchmark_goes_on_after_every_kind_of_end(zygote, tmp_path):
    shutil.rmtree("b", ignore_errors=True)
    write_suite(zygote.folder / "suite.toml", ["reptile"], [3], ITERATIONS * STEPS)

    def start():
        before, pid = recorded(CELL), zygote.start(*COMMAND)
        wait_for(lambda: recorded(CELL) >= before + 3, "the training of the cell")
        (child,) = psutil.Process(pid).children()
        child.suspend()  # so that the cell does not come to its end meanwhile
        return pid, child

    pid, child = start()
    os.kill(pid, signal.SIGINT)
    child.resume()
    ended = zygote.wait(pid)
    assert ended.code == 128 + signal.SIGINT
    assert "stopped; what was reached is saved, and the same command goes on" in ended.error
    assert has_ended(child)
    assert newest_checkpoint(CELL)[0] == f"iteration-{recorded(CELL):06d}"

    pid, child = start()
    os.kill(pid, signal.SIGKILL)
    zygote.wait(pid)
    child.send_signal(signal.SIGHUP)  # as the kernel does where the parent of a stopped one dies
    child.resume()
    wait_for(lambda: has_ended(child), "the end of the cell's process")
    assert newest_checkpoint(CELL)[0] == f"iteration-{recorded(CELL):06d}"

    pid, child = start()
    child.kill()
    ended = zygote.wait(pid)
    assert ended.code == 1
    assert "failed: nav, reptile, seed 3: its process ended by signal SIGKILL" in ended.output

    assert recorded(CELL) < ITERATIONS
    assert zygote.run(*COMMAND).code == 0
    assert recorded(CELL) == ITERATIONS

    run = metarl.load(CELL)
    fields = {name: value for name, value in run.config.flat().items() if name in FIELDS}
    whole = tmp_path / "whole"
    metarl.train("navigation-2d", run_dir=whole, workers=0, tensorboard=False, **fields)
    assert records(whole) == records(CELL)
    assert newest_checkpoint(whole) == newest_checkpoint(CELL)
