"""Functions over shards, in a module that workers on other machines can import."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from metarl.workers.shards import starts_anew


def ask_for_pid(shard):
    return [os.getpid() for _ in shard.task_indices]


def ask_for_cards(shard):
    return [os.environ.get("CUDA_VISIBLE_DEVICES") for _ in shard.task_indices]


def fail_everywhere(shard):
    raise ValueError(f"shard {shard.task_indices.start} fails")


@starts_anew
def begin(shard, number):
    shard.scratch = [(number, index) for index in shard.task_indices]
    return shard.scratch


def add(shard, amount):
    shard.scratch = [(number + amount, index) for number, index in shard.scratch]
    return shard.scratch


def add_and_die_once(shard, amount, marker):
    """Die in the middle of the work, the first time that the worker of task 0 comes here."""
    if 0 in shard.task_indices and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return add(shard, amount)


def hang_once(shard, marker):
    if not Path(marker).exists():
        Path(marker).touch()
        time.sleep(3600)
    return list(shard.task_indices)


def give_what_cannot_travel(shard):
    return [threading.Lock() for _ in shard.task_indices]


def start_a_program(shard):
    program = subprocess.Popen(["sleep", "600"])
    return [program.pid for _ in shard.task_indices]


def die(shard):
    os.kill(os.getpid(), signal.SIGKILL)
