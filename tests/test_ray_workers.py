"""Workers on Ray: a real cluster of two nodes, real kills, the same bits."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest
from building import first_state, pool, run, tiny_config, without_times
from faulty_runs import listening
from shard_functions import (
    add,
    add_and_die_once,
    ask_for_pid,
    begin,
    die,
    fail_everywhere,
    give_what_cannot_travel,
    hang_once,
)

from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError, WorkerError
from metarl.training import train
from metarl.workers import ray_pool as ray_workers
from metarl.workers.cores import checked_workers

pytest.importorskip("ray")
import ray
from ray_clusters import QUICK, STORE, ray_cluster

pytestmark = pytest.mark.whole_runs


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each, on this machine."""
    with ray_cluster(num_cpus=1) as started:
        started.second_node = started.add_node(num_cpus=1, object_store_memory=STORE)
        started.wait_for_nodes()
        yield started


@pytest.fixture(scope="module")
def connected(cluster):
    """The cluster, with a driver that stays connected."""
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()


CONFIG = tiny_config(tasks_per_batch=5, iterations=4, hidden_sizes=(9,))


@pytest.fixture(scope="module")
def local():
    """What one worker in this process gives."""
    state, records = run(CONFIG, 1)
    return state.agent.theta.tobytes(), without_times(records)


def test_two_nodes_give_the_bits_of_one_process(cluster, local):
    state, records = run(CONFIG, cluster.address)
    assert (state.agent.theta.tobytes(), without_times(records)) == local
    assert records[0]["physics_seconds"] > 0
    assert not ray.is_initialized()


def test_where_there_is_no_cluster_one_line_says_so(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "navigation-2d", "--workers", "127.0.0.1:1", "--run-dir", run]) == 2
    said = capsys.readouterr().err
    assert "no Ray cluster at '127.0.0.1:1'" in said
    assert said.count("\n") == 1


def test_without_ray_one_line_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, ray_workers.__name__)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["train", "navigation-2d", "--workers", "ray", "--run-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "metarl train: error: workers on Ray need the package: pip install 'metarl-suite[ray]'\n"
    )


def test_an_agent_with_a_memory_has_the_same_bits(connected):
    settings = {
        "memory_size": 16,
        "gradient_parts": 3,
        "minibatches": 2,
        "value_targets": "returns",
    }
    small = {"tasks_per_batch": 5, "episodes_per_task": 1, "iterations": 2, "hidden_sizes": (8,)}
    config = tiny_config("grid-navi-rl2", **small, agent_settings=settings)
    state, records = run(config, 0)
    other, others = run(config, connected.address)
    assert other.agent.theta.tobytes() == state.agent.theta.tobytes()
    assert without_times(others) == without_times(records)


def test_results_come_in_task_order_and_an_exception_with_its_traceback(connected):
    with pool(build_experiment(CONFIG), connected.address) as workers:
        pids = workers.map(ask_for_pid)
        assert workers.count == 2
        assert pids[0] == pids[1] == pids[2] != pids[3] == pids[4]
        assert workers.map(begin, 7) == [(7, index) for index in range(5)]
        with pytest.raises(WorkerError) as failure:
            workers.map(fail_everywhere)
    text = str(failure.value)
    assert text.startswith("worker 0 (tasks 0 to 2) failed: ValueError: shard 0 fails")
    assert text.count("The worker's traceback:") == 1


@pytest.mark.fault(
    39,
    "an actor of a Ray cluster is killed",
    "replaced, work repeated, same numbers",
    group="cluster",
)
def test_a_killed_actor_is_replaced_and_repeats_what_came_since_the_last_fresh_start(
    connected, tmp_path
):
    with pool(build_experiment(CONFIG), connected.address) as workers:
        workers.map(begin, 100)
        workers.map(begin, 1)
        workers.map(add, 10)
        before = workers.map(ask_for_pid)
        # Killed in the middle of a call, and between two.
        results = workers.map(add_and_die_once, 100, str(tmp_path / "died"))
        assert results == [(111, index) for index in range(5)]
        assert workers.map(ask_for_pid)[0] != before[0]
        os.kill(before[4], signal.SIGKILL)
        assert workers.map(add, 1000) == [(1111, index) for index in range(5)]


def test_an_actor_that_dies_again_and_again_ends_the_run(connected, monkeypatch):
    monkeypatch.setattr(ray_workers, "_REPLACEMENTS", 1)
    with (
        pool(build_experiment(CONFIG), connected.address) as workers,
        pytest.raises(WorkerError, match=r"lost 2 times in a row.*--resume"),
    ):
        workers.map(die)


@pytest.mark.fault(
    39,
    "an environment hangs in an actor of a Ray cluster",
    "replaced after `--worker-timeout`, work repeated, same numbers",
    group="cluster",
)
def test_an_actor_that_hangs_is_replaced_and_what_cannot_travel_is_named(connected, tmp_path):
    heard, supervision = listening(timeout=1.0)
    one = build_experiment(replace(CONFIG, tasks_per_batch=1))
    with pool(one, connected.address, supervision) as workers:
        assert workers.map(hang_once, str(tmp_path / "hung")) == [0]
        assert "was lost (no reply to hang_once for 1 s)" in heard[0]
        with pytest.raises(WorkerError, match=r"add or its arguments cannot be sent .*pickle"):
            workers.map(add, threading.Lock())
        with pytest.raises(WorkerError, match=r"Ray failed during give_what.*TypeError: .*pickle"):
            workers.map(give_what_cannot_travel)


@pytest.mark.fault(
    40,
    "a machine of a Ray cluster is lost",
    "the run goes on with those left; same numbers",
    group="cluster",
)
def test_a_node_that_is_removed_changes_no_number(connected, local):
    experiment = build_experiment(CONFIG)
    records = []
    with pool(experiment, connected.address) as workers:
        loop = train(experiment, workers, first_state(experiment))
        for reached, record in loop:
            state = reached
            records.append(record)
            if record["iteration"] == 1:
                connected.remove_node(connected.second_node, allow_graceful=False)
            if record["iteration"] == 3:
                connected.second_node = connected.add_node(
                    num_cpus=1, object_store_memory=100 * 2**20
                )
    assert (state.agent.theta.tobytes(), without_times(records)) == local


METARL = [sys.executable, "-c", "import sys; from metarl.cli import main; sys.exit(main())"]


def of_this_test_process(process: psutil.Process) -> bool:
    """Whether it was started from here; another test process may have a Ray cluster as well."""
    try:
        own = process.environ().get("PYTEST_XDIST_WORKER")
    except psutil.Error:  # it has ended
        return False
    return own == os.environ.get("PYTEST_XDIST_WORKER")


def test_the_command_line_starts_ray_here_and_leaves_nothing_behind(tmp_path):
    tiny = ["--iterations", 2, "--tasks-per-batch", 2, "--horizon", 5, "--hidden-sizes", 4]
    before = {process.pid for process in psutil.process_iter()}
    arguments = list(map(str, ["train", "navigation-2d", *tiny, "--run-dir"]))
    done = subprocess.run(
        [*METARL, *arguments, tmp_path / "ray", "--workers", "ray"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **QUICK},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert main([*arguments, str(tmp_path / "local"), "--workers", "0"]) == 0
    checkpoints = [
        (tmp_path / name / "checkpoints").rglob("*.safetensors") for name in ("ray", "local")
    ]
    for one, other in zip(*map(sorted, checkpoints), strict=True):
        assert one.read_bytes() == other.read_bytes()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [
            process
            for process in psutil.process_iter(["cmdline"])
            if process.pid not in before
            and of_this_test_process(process)
            and re.search(r"/ray/|ray::", " ".join(process.info["cmdline"] or []))
        ]
        if not left:
            break
        time.sleep(0.1)
    assert not left


@pytest.mark.fault(
    42,
    "machines of a cluster have other versions than the one in front",
    "refused at the start, naming the packages and both versions",
    group="cluster",
)
def test_other_versions_on_a_machine_are_refused(connected, monkeypatch):
    ours = {**ray_workers.package_versions(), "numpy": "1.0"}
    monkeypatch.setattr(ray_workers, "package_versions", lambda: ours)
    with (
        pytest.raises(WorkerError, match=r"other versions .*: numpy 1\.0 and \d"),
        pool(build_experiment(CONFIG), connected.address),
    ):
        pass


def test_other_words_are_no_workers():
    with pytest.raises(ConfigError, match="must be a number, ray, or the address"):
        checked_workers("many", 5)


def test_ray_watches_over_memory_itself():
    assert checked_workers("ray", 5, 0) == ("ray", None)
    assert checked_workers(2, 5, 2**30) == (2, None)
    with pytest.raises(ConfigError, match="worker_memory means nothing for workers on Ray"):
        checked_workers("ray", 5, 2**30)
