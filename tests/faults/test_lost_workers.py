"""Workers that die, hang, talk or hoard: replaced, and the numbers stay the same."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from building import FORKED, build_experiment, pool, run
from faulty_runs import assert_same, config_of, listening, shared_memory
from sessions import wait_for
from shard_functions import add, ask_for_pid, begin, die, start_a_program

from metarl.foundation.errors import WorkerError
from metarl.tasks.single_environments import resident_bytes
from metarl.workers import process_pool
from metarl.workers.process_handle import ProcessHandle
from metarl.workers.process_pool import Supervision

pytestmark = pytest.mark.whole_runs


@pytest.fixture(scope="module")
def undisturbed():
    return run(config_of())


@pytest.mark.fault(
    1,
    "worker killed, as the OOM killer does",
    "replaced, work repeated, same numbers",
    group="workers",
)
@pytest.mark.fault(
    2, "worker segfaults or leaves", "the same; the signal or exit code is named", group="workers"
)
@pytest.mark.fault(
    3, "environment hangs in a step", "worker replaced after `--worker-timeout`", group="workers"
)
@pytest.mark.fault(4, "worker stopped (SIGSTOP)", "the same", group="workers")
@pytest.mark.parametrize(
    ("fault", "how", "timeout"),
    [
        ("kill", "was killed by SIGKILL, perhaps because the machine ran out of memory", 0.0),
        ("segfault", "was killed by SIGSEGV", 0.0),
        ("exit", "ended with exit code 3", 0.0),
        ("hang", "gave no sign of life for 2 s", 2.0),
        ("stop", "gave no sign of life for 2 s", 2.0),
    ],
)
def test_a_lost_worker_is_replaced_and_changes_no_number(
    fault, how, timeout, tmp_path, undisturbed
):
    heard, supervision = listening(timeout=timeout)
    result = run(config_of(fault, marker=str(tmp_path / "done")), 2, supervision)
    assert_same(result, undisturbed)
    (event,) = heard
    assert how in event
    assert "during collect_and_adapt in step 1 of adaptation phase 0, task " in event
    assert "([0." in event


@pytest.mark.fault(
    6,
    "a task kills every worker that meets it",
    "an error that names it, after 3 attempts",
    group="workers",
)
def test_a_task_that_kills_every_worker_ends_the_run():
    heard, supervision = listening()
    with pytest.raises(WorkerError) as failure:
        run(config_of("exit"), 2, supervision)
    text = str(failure.value)
    assert text.startswith("lost 3 times in a row, at last: worker ")
    assert "in step 1 of adaptation phase 0, task " in text
    assert "--resume" in text
    assert len([event for event in heard if "replaced" in event]) in {2, 3, 4}


def test_workers_are_not_replaced_without_end():
    experiment = build_experiment(config_of())
    heard, supervision = listening(restarts=2)
    with pool(experiment, 2, supervision) as workers:
        for _ in range(2):
            os.kill(workers.map(ask_for_pid)[0], signal.SIGKILL)
            assert len(workers.map(ask_for_pid)) == 4
        os.kill(workers.map(ask_for_pid)[3], signal.SIGKILL)
        with pytest.raises(WorkerError, match="2 workers were replaced already, and now worker 1"):
            workers.map(ask_for_pid)
    assert len(heard) == 2


def test_a_new_worker_repeats_what_was_mapped_since_the_last_fresh_start():
    experiment = build_experiment(config_of())
    _, supervision = listening()
    with pool(experiment, 2, supervision) as workers:
        workers.map(begin, 100)
        workers.map(begin, 1)
        workers.map(add, 10)
        os.kill(workers.map(ask_for_pid)[0], signal.SIGKILL)
        assert workers.map(add, 100) == [(111, index) for index in range(4)]
        with pytest.raises(WorkerError, match="was killed by SIGKILL"):
            workers.map(die)


def test_a_new_worker_has_as_long_to_build_as_the_first_had(monkeypatch):
    heard, supervision = listening()
    monkeypatch.setattr(process_pool, "_POLL_SECONDS", 0.01)
    with pool(build_experiment(config_of()), 2, supervision) as workers:
        os.kill(workers.map(ask_for_pid)[0], signal.SIGKILL)
        monkeypatch.setattr(ProcessHandle, "silent_for", lambda self: 0.0 if self.ready else 100.0)
        assert len(workers.map(ask_for_pid)) == 4
    (event,) = heard
    assert "was killed by SIGKILL" in event


@pytest.mark.fault(
    2,
    "a worker that has started programs dies, or is done",
    "what it started ends with it",
    group="workers",
)
def test_what_a_worker_has_started_ends_with_it():
    _, supervision = listening()
    with pool(build_experiment(config_of()), 2, supervision) as workers:
        lost, *_, kept = workers.map(start_a_program)
        os.kill(workers.map(ask_for_pid)[0], signal.SIGKILL)
        workers.map(ask_for_pid)
        wait_for(lambda: has_ended(lost), "the end of what the lost worker started")
        assert not has_ended(kept)
    wait_for(lambda: has_ended(kept), "the end of what the last worker started")


def has_ended(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.fault(
    7, "all workers die as they start", "one error, with what they wrote", group="workers"
)
def test_workers_that_die_as_they_start():
    broken = replace(build_experiment(config_of()), config=config_of("constructor-exit"))
    with pytest.raises(WorkerError) as failure, pool(broken, 2):
        pass
    text = str(failure.value)
    assert "ended with exit code 4 during the construction of its environments" in text
    assert text.count("the licence server does not answer") >= 1
    assert text.count("worker ") == 1


@pytest.mark.fault(
    12,
    "environment floods stdout",
    "kept out of the terminal; the last 50 lines on failure",
    group="workers",
)
def test_output_is_kept_and_its_end_shown(capfd):
    with pytest.raises(WorkerError) as failure:
        run(config_of("talk-and-exit"), 2, listening()[1])
    lines = str(failure.value).partition("last lines of output:\n")[2].splitlines()
    talk = [line for line in lines if line.startswith("line ")]
    assert talk[-1] == "line 19999 of the simulator"
    assert len(talk) <= 50
    assert "of the simulator" not in capfd.readouterr().out


@pytest.mark.fault(
    13, "arguments or results that cannot be pickled", "a named error", group="workers"
)
def test_what_cannot_travel_is_named():
    with pool(build_experiment(config_of()), 2) as workers:
        with pytest.raises(WorkerError, match="add or its arguments cannot be sent to workers"):
            workers.map(add, lambda: None)
        assert len(workers.map(ask_for_pid)) == 4  # the pool stays usable


def memory_of(shard):
    return [resident_bytes() for _ in shard.task_indices]


@pytest.mark.fault(
    14,
    "environment leaks memory",
    "`--worker-memory` replaces it between iterations",
    group="workers",
)
def test_a_worker_that_hoards_memory_is_replaced_between_iterations(undisturbed):
    with pool(build_experiment(config_of()), 2) as workers:
        held = max(workers.map(memory_of))
    heard, supervision = listening(memory=held + 2**26)
    config = replace(config_of("hoard"), iterations=4)
    expected = run(replace(config_of(), iterations=4))
    assert_same(run(config, 2, supervision), expected)
    assert any("MiB and is replaced" in event for event in heard)


@pytest.mark.fault(
    16,
    "another number of workers, or another start method",
    "the same numbers, to the last bit",
    group="workers",
)
@pytest.mark.parametrize(
    ("workers", "method"), [(1, "forkserver"), (2, "forkserver"), (3, "forkserver"), (2, "spawn")]
)
def test_workers_and_start_methods_change_no_bit(workers, method, undisturbed):
    supervision = replace(FORKED, start_method=method)
    assert_same(run(config_of(), workers, supervision), undisturbed)


def threads_of(shard):
    return [(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) for _ in shard.task_indices]


@pytest.mark.fault(35, "more threads than cores", "every worker has one thread", group="platform")
def test_workers_have_one_thread():
    with pool(build_experiment(config_of()), 2, Supervision()) as workers:
        assert workers.map(threads_of) == [(1, "1")] * 4


@pytest.mark.fault(
    34, 'no `if __name__ == "__main__":` in a script', "our message, once", group="platform"
)
def test_a_script_without_the_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    support = Path(__file__).parent.parent / "support"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(support)!r})
            from building import build_experiment, pool, tiny_config, Supervision
            from metarl.foundation.errors import WorkerError
            try:
                with pool(build_experiment(tiny_config()), 2, Supervision()):
                    pass
            except WorkerError as error:
                print("ERROR", error)
                raise SystemExit(1)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert 'put what the script does under `if __name__ == "__main__":`' in done.stdout
    assert "Traceback" not in done.stderr


def open_things():
    """Everything that a pool may leave behind."""
    process = psutil.Process()
    return {
        "descriptors": process.num_fds(),
        "children": len(process.children(recursive=True)),
        "threads": threading.active_count(),
        "shared memory": shared_memory(),
    }


@pytest.mark.fault(
    "leaks",
    "50 pools started and ended, some by crashes",
    "no process, handle, thread or shared memory is left; memory stays flat",
    group="workers",
)
def test_nothing_is_left_of_50_pools():
    experiment = build_experiment(config_of())
    _, supervision = listening(restarts=1)

    def cycle(number):
        with pool(experiment, 2, supervision) as workers:
            pids = workers.map(ask_for_pid)
            if number % 5 == 0:
                os.kill(pids[0], signal.SIGKILL)
                workers.map(ask_for_pid)
            if number % 5 == 1:
                with pytest.raises(WorkerError):
                    workers.map(die)

    cycle(0)
    cycle(1)
    before, held = open_things(), psutil.Process().memory_info().rss
    for number in range(50):
        cycle(number)
    assert open_things() == before
    assert psutil.Process().memory_info().rss - held < 2**24


@pytest.mark.fault(
    36,
    "/dev/shm missing, as in some containers",
    "works: pipes and anonymous memory only",
    group="platform",
)
def test_workers_need_no_shared_memory_folder(tmp_path):
    away = ["unshare", "--mount", "sh", "-c"]
    hide = "mount -t tmpfs -o ro,size=4k none /dev/shm"
    if subprocess.run([*away, hide], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount in a namespace of its own")
    small = "--iterations 1 --tasks-per-batch 2 --episodes-per-task 2 --horizon 5 --workers 2"
    train_it = f"{sys.executable} -m metarl train navigation-2d {small} --run-dir {tmp_path / 'r'}"
    done = subprocess.run(
        [*away, f"{hide} && ! touch /dev/shm/x && {train_it}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
