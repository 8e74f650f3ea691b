"""The pool: the same bits for any number of workers, and failures that reach the user."""

import dataclasses
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from building import first_state, pool, run, tiny_config, without_times
from faulty_runs import shared_memory

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import WorkerError
from metarl.training import train
from metarl.workers.partition import partition
from metarl.workers.process_pool import Supervision

FAULTY = {"env_id": "faulty_environments:Faulty-v0", "horizon": 5}


def test_tasks_are_cut_into_contiguous_parts_of_almost_equal_length():
    assert partition(7, 3) == [range(0, 3), range(3, 5), range(5, 7)]
    assert partition(3, 3) == [range(0, 1), range(1, 2), range(2, 3)]
    for tasks in range(1, 20):
        for workers in range(1, tasks + 1):
            parts = partition(tasks, workers)
            assert [index for part in parts for index in part] == list(range(tasks))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


# Sizes at which the kernels of one and of many tasks could differ: real widths, several tasks.
CASES = {
    "navigation-2d": {
        "tasks_per_batch": 5,
        "episodes_per_task": 20,
        "horizon": 30,
        "hidden_sizes": (100, 100),
        "adaptation_steps": 2,
        "iterations": 2,
    },
    "half-cheetah-vel": {
        "tasks_per_batch": 5,
        "episodes_per_task": 2,
        "horizon": 10,
        "hidden_sizes": (64, 64),
        "iterations": 2,
    },
    "bernoulli-bandit": {"tasks_per_batch": 5, "episodes_per_task": 1, "iterations": 2},
}


@pytest.mark.parametrize("preset", list(CASES))
def test_metrics_and_parameters_are_bit_equal_for_1_to_4_workers(preset):
    config = tiny_config(preset, **CASES[preset])
    state, records = run(config, workers=1)
    for workers in (2, 3, 4):
        other_state, other_records = run(config, workers=workers)
        assert without_times(other_records) == without_times(records)
        assert other_state.agent.theta.tobytes() == state.agent.theta.tobytes()


def test_the_environments_random_numbers_do_not_come_from_the_worker():
    # Faulty's start is random, by the episode's own seed.
    config = tiny_config(**FAULTY, tasks_per_batch=5)
    assert without_times(run(config, 2)[1]) == without_times(run(config, 3)[1])


def no_children():
    """Wait until no worker is left (multiprocessing's own tracker and fork server stay)."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        us = psutil.Process()
        spawned = [c for c in us.children() if "spawn_main" in " ".join(c.cmdline())]
        alive = spawned + [c for c in us.children(recursive=True) if c.ppid() != us.pid]
        if not alive:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("step", ["in step 1", "ZeroDivisionError: the sensor divided by zero", "reset seed"]),
        ("reset", ["in reset", "RuntimeError: the gripper is stuck"]),
        ("constructor", ["RuntimeError: no such robot"]),
        ("nan-reward", ["the reward of step 1 is not finite: nan"]),
        ("nan-observation", ["an observation before step 2 is not finite"]),
        ("shape", ["observation of shape (4,) where the observation space says (1,)"]),
    ],
)
def test_an_exception_reaches_the_user_once_with_traceback_and_task(fault, expected, workers):
    config = tiny_config(**FAULTY, tasks_per_batch=4)
    experiment = build_experiment(config)
    # The parent's own environment is sound; those of the workers are not.
    broken = tiny_config(**FAULTY, tasks_per_batch=4, env_kwargs={"fault": fault})
    experiment = dataclasses.replace(experiment, config=broken)
    started = time.monotonic()
    with pytest.raises(WorkerError) as failure:
        train_once(experiment, workers)
    assert time.monotonic() - started < 30
    text = str(failure.value)
    for part in expected:
        assert part in text
    assert text.count("The worker's traceback:") == 1
    assert "Traceback (most recent call last)" in text
    if fault != "constructor":
        # Only tasks above 0 fail, and the one that did is named.
        assert re.search(r"task \d \(\[0\.", text)
    assert "tasks" in text.partition("\n")[0]
    assert no_children()


def train_once(experiment, workers):
    with pool(experiment, workers) as started:
        for _ in train(experiment, started, first_state(experiment)):
            pass


def ask_for_pid(shard):
    return [os.getpid() for _ in shard.task_indices]


def fail_everywhere(shard):
    raise ValueError(f"shard {shard.task_indices.start} fails")


def test_results_come_back_in_task_order():
    experiment = build_experiment(tiny_config(tasks_per_batch=5))
    with pool(experiment, 2) as workers:
        pids = workers.map(ask_for_pid)
        assert len(pids) == 5
        assert pids[0] == pids[1] == pids[2] != pids[3] == pids[4]
        assert os.getpid() not in pids
        assert workers.count == 2


def test_one_failure_is_told_when_all_workers_fail():
    experiment = build_experiment(tiny_config(tasks_per_batch=4))
    with pool(experiment, 2) as workers, pytest.raises(WorkerError) as failure:
        workers.map(fail_everywhere)
    assert str(failure.value).count("The worker's traceback:") == 1
    assert "shard 0 fails" in str(failure.value) or "shard 2 fails" in str(failure.value)
    assert no_children()


def give_what_cannot_travel(shard):
    return [lambda: None for _ in shard.task_indices]


def test_a_result_that_cannot_travel_is_named():
    experiment = build_experiment(tiny_config(tasks_per_batch=4))
    with pool(experiment, 2) as workers, pytest.raises(WorkerError, match="pickle"):
        workers.map(give_what_cannot_travel)
    assert no_children()


@pytest.mark.fault(
    19,
    "main process killed while workers are busy",
    "no worker outlives it; nothing is left in shared memory or the temporary folder",
    group="workers",
)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_die_with_their_parent(method, tmp_path):
    program = Path(__file__).parent / "support" / "hanging_parent.py"
    before = shared_memory()
    parent = subprocess.Popen(
        [sys.executable, program, method],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(set(pids)) == 2
    assert all(psutil.pid_exists(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert shared_memory() == before
    if method == "spawn":
        assert list(tmp_path.iterdir()) == []


def test_an_event_that_nobody_can_be_told_ends_no_run(monkeypatch):
    with open(os.devnull, "w") as gone:
        monkeypatch.setattr(sys, "stderr", gone)
    Supervision().report("worker 0 was killed")
