"""Measure what a map over the workers costs when the work is nothing: local processes and Ray.

Two workers of each kind, alternated call by call in one run; medians in milliseconds. The calls
carry what an iteration's do: nothing, a vector in parameter space to each task and back, 1 MB.

    python scripts/benchmark_workers.py [--rounds 200]

Writes benchmarks/workers.json and a table beside it.
"""

import argparse
import contextlib
import dataclasses
import json
import statistics
import time
from typing import Any

import numpy as np
from benchmark_iteration import FOLDER, versions

from metarl.cli.runs import build_experiment
from metarl.config.plugins import load_preset
from metarl.workers.shards import Shard

TASKS = 40
PARAMETERS = 12_612  # of half-cheetah's policy with two hidden layers of 100
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    config = dataclasses.replace(
        load_preset("half-cheetah-dir"), hidden_sizes=(100, 100), episodes_per_task=1
    )
    experiment = build_experiment(config)
    seconds: dict[str, dict[str, list[float]]] = {
        call: {kind: [] for kind in KINDS} for call in CALLS
    }
    with contextlib.ExitStack() as stack:
        pools = {
            kind: stack.enter_context(contextlib.closing(experiment.start_workers(count, TASKS, 1)))
            for kind, count in KINDS.items()
        }
        for number in range(arguments.rounds + 10):
            for call, (function, arguments_of_call) in CALLS.items():
                for kind, workers in pools.items():
                    started = time.perf_counter()
                    workers.map(function, *arguments_of_call)
                    if number >= 10:
                        seconds[call][kind].append(time.perf_counter() - started)
    results = {
        call: {kind: 1000 * statistics.median(values) for kind, values in kinds.items()}
        for call, kinds in seconds.items()
    }
    command = f"python scripts/benchmark_workers.py --rounds {arguments.rounds}"
    lines = [
        f"A map's milliseconds, medians; written by `{command}`.",
        "",
        f"| the call carries | {' | '.join(KINDS)} |",
        "|---|" + "---|" * len(KINDS),
    ]
    for call, kinds in results.items():
        lines.append(f"| {call} | {' | '.join(f'{value:.2f}' for value in kinds.values())} |")
    record = {"command": command, **versions(), "milliseconds": results}
    (FOLDER / "workers.json").write_text(json.dumps(record, indent=2) + "\n")
    (FOLDER / "workers.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
