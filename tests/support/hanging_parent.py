"""A program whose workers are busy for ever; it prints their process ids first."""

import os
import sys
import time

from building import tiny_config

from metarl.experiments.build import build_experiment
from metarl.workers.process_pool import Supervision


def pid(shard):
    return [os.getpid() for _ in shard.task_indices]


def sleep(shard):
    time.sleep(3600)
    return []


if __name__ == "__main__":
    experiment = build_experiment(tiny_config(tasks_per_batch=2))
    workers = experiment.start_workers(2, Supervision(start_method=sys.argv[1]))
    print(*workers.map(pid), flush=True)
    workers.map(sleep)
