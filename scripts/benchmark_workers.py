"""Measure what a map over the workers costs when the work is nothing: local processes and Ray.

Two workers of each kind, alternated call by call in one run; medians in milliseconds. The calls
carry what an iteration's do: nothing, a vector in parameter space to each task and back, 1 MB.

    python scripts/benchmark_workers.py [--rounds 200]

Writes benchmarks/workers.json and a table beside it.
"""

import contextlib
import dataclasses
import statistics
import time
from typing import Any

import numpy as np
from shared import BENCHMARKS, command, parse, parser, ran_on, write

from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment
from metarl.workers.pools import start_workers
from metarl.workers.shards import Shard

TASKS = 40
PARAMETERS = 12_512  # of half-cheetah's policy with two hidden layers of 100
KINDS: dict[str, int | str] = {"in this process": 0, "2 processes": 2, "2 actors of Ray": "ray"}


def nothing(shard: Shard) -> list[None]:
    return [None for _ in shard.task_indices]


def echo(shard: Shard, vector: np.ndarray) -> list[np.ndarray]:
    return [vector + 1 for _ in shard.task_indices]


def swallow(shard: Shard, vector: np.ndarray) -> list[None]:
    return [None for _ in shard.task_indices]


CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "nothing": (nothing, ()),
    "a vector in, one for each of 40 tasks out": (echo, (np.zeros(PARAMETERS, np.float32),)),
    "1 MB in, nothing out": (swallow, (np.zeros(2**18, np.float32),)),
}


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=200)
    options = parse(made)
    tasks = 2 if options.small else TASKS
    config = dataclasses.replace(
        load_preset("half-cheetah-dir"), hidden_sizes=(100, 100), episodes_per_task=1
    )
    experiment = build_experiment(config)
    seconds: dict[str, dict[str, list[float]]] = {
        call: {kind: [] for kind in KINDS} for call in CALLS
    }
    with contextlib.ExitStack() as stack:
        pools = {
            kind: stack.enter_context(
                contextlib.closing(start_workers(experiment.shards(tasks, 1), count))
            )
            for kind, count in KINDS.items()
        }
        for number in range(options.rounds + 10):
            for call, (function, arguments) in CALLS.items():
                for kind, workers in pools.items():
                    started = time.perf_counter()
                    workers.map(function, *arguments)
                    if number >= 10:
                        seconds[call][kind].append(time.perf_counter() - started)
    results = {
        call: {kind: 1000 * statistics.median(values) for kind, values in kinds.items()}
        for call, kinds in seconds.items()
    }
    written_by = command(options, "rounds")
    lines = [
        f"A map's milliseconds, medians; written by `{written_by}`.",
        "",
        f"| the call carries | {' | '.join(KINDS)} |",
        "|---|" + "---|" * len(KINDS),
    ]
    for call, kinds in results.items():
        lines.append(f"| {call} | {' | '.join(f'{value:.2f}' for value in kinds.values())} |")
    on = ran_on("torch", "mujoco", "gymnasium", "numpy")
    record = {"command": written_by, **on, "milliseconds": results}
    write(options.output, "workers", record, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
