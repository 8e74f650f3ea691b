"""A night's run: its memory does not grow."""

from pathlib import Path

import psutil
import pytest
from sessions import SMALL, wait_for

pytestmark = [pytest.mark.whole_runs, pytest.mark.usefixtures("in_the_folder_of_runs")]

MEBIBYTE = 2**20


def lines(file):
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.fault(
    "memory",
    "a run of a thousand iterations",
    "its memory is that of its first iterations",
    group="platform",
)
def test_memory_is_flat_over_a_thousand_iterations(zygote):
    options = ["--iterations", 100_000, "--run-dir", "r", "--checkpoint-interval", 50]
    pid = zygote.start("train", "navigation-2d", *SMALL, *options)
    process, metrics, resident = psutil.Process(pid), Path("r/metrics.jsonl"), []
    for iterations in (50, 1000):
        wait_for(lambda count=iterations: lines(metrics) >= count, "iterations", seconds=300)
        resident.append(process.memory_info().rss)
    zygote.interrupt(pid)
    assert zygote.wait(pid).code == 130
    assert resident[1] - resident[0] < 2 * MEBIBYTE
