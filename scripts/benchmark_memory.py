"""Show that a worker's memory stays flat over many iterations of W.

    python scripts/benchmark_memory.py [--iterations 200]

Writes benchmarks/memory.json and a table beside it: the resident memory of the larger of two worker
processes, and of the leading process, after some iterations.
"""

import os

import psutil
from benchmark_iteration import PACKAGES, SMALL, W, runner
from shared import BENCHMARKS, command, parse, parser, ran_on, write

from metarl.workers.shards import Shard

MEGABYTE = 2**20


def resident(shard: Shard) -> list[float]:
    return [psutil.Process(os.getpid()).memory_info().rss / MEGABYTE]


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--iterations", type=int, default=200)
    options = parse(made)
    samples = []
    with runner("half-cheetah-dir", 2, W | (SMALL if options.small else {})) as one:
        for number in range(1, options.iterations + 1):
            one.iteration()
            if number == 1 or number % 20 == 0:
                workers = max(one.pool.map(resident))
                leader = psutil.Process().memory_info().rss / MEGABYTE
                samples.append({"iteration": number, "worker MB": workers, "leader MB": leader})
                print(samples[-1], flush=True)
    lines = [
        "Resident memory over iterations of W (see iteration.md);",
        f"written by `{command(options, 'iterations')}`.",
        "",
        "| iteration | worker, MB | leading process, MB |",
        "|---|---|---|",
    ]
    lines += [
        f"| {one['iteration']} | {one['worker MB']:.0f} | {one['leader MB']:.0f} |"
        for one in samples
    ]
    record = {
        "command": command(options, "iterations"),
        **ran_on(*PACKAGES),
        "samples": samples,
    }
    write(options.output, "memory", record, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
