"""Measure how time and memory grow with tasks, episodes, horizon, width and inner steps.

Half-cheetah direction, one quantity doubled at a time from a common base, two workers, all steps in
the curvature products. A pool of its own for each size, so that peak memory is that size's alone.

    python scripts/benchmark_scaling.py [--rounds 4]

Writes benchmarks/scaling.json, a table and a figure (scaling.png) beside it.
"""

import resource
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from benchmark_iteration import PACKAGES, runner
from shared import BENCHMARKS, command, parse, parser, ran_on, write

from metarl.workers.shards import Shard

BASE = {
    "tasks_per_batch": 8,
    "episodes_per_task": 10,
    "horizon": 100,
    "hidden_sizes": (64, 64),
    "adaptation_steps": 1,
}
SWEEPS: dict[str, list[Any]] = {
    "tasks_per_batch": [4, 8, 16, 32],
    "episodes_per_task": [5, 10, 20, 40],
    "horizon": [50, 100, 200, 400],
    "hidden_sizes": [(32, 32), (64, 64), (128, 128), (256, 256)],
    "adaptation_steps": [1, 2, 4, 8],
}
SMALL_SWEEPS: dict[str, list[Any]] = {"tasks_per_batch": [2]}
NAMES = {
    "tasks_per_batch": "tasks",
    "episodes_per_task": "episodes a task",
    "horizon": "horizon",
    "hidden_sizes": "width of two hidden layers",
    "adaptation_steps": "inner steps",
}


def memory(shard: Shard) -> list[float]:
    """Peak memory now, in MB."""
    return [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


def measure(changes: dict[str, Any], rounds: int) -> dict[str, float]:
    settings = {"curvature_fraction": 1.0}
    with runner("half-cheetah-dir", 2, {**BASE, **changes, "agent_settings": settings}) as one:
        before = max(one.pool.map(memory))
        records = [one.iteration() for _ in range(rounds)][1:]
        after = max(one.pool.map(memory))
    return {
        "seconds": statistics.median(record["iteration_seconds"] for record in records),
        "physics seconds": statistics.median(record["physics_seconds"] for record in records),
        "MB before": before,
        "MB added": after - before,
    }


def value(size: Any) -> int:
    return size[0] if isinstance(size, tuple) else size


def table(results: dict[str, Any], written_by: str) -> str:
    base = ", ".join(f"{NAMES[name]} {value(size)}" for name, size in BASE.items())
    lines = [
        f"Base: {base}; one quantity changed at a time; two workers.",
        f"Memory is what a worker's peak grew by over its start. Written by `{written_by}`.",
        "",
        "| quantity | size | seconds | of which physics | MB added |",
        "|---|---|---|---|---|",
    ]
    for name, sizes in results.items():
        for size, result in sizes.items():
            lines.append(
                f"| {NAMES[name]} | {size} | {result['seconds']:.2f} | "
                f"{result['physics seconds']:.2f} | {result['MB added']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], file: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(10, 4))
    for axes, key, label in zip(
        panels,
        ("seconds", "MB added"),
        ("seconds an iteration", "MB added to a worker"),
        strict=True,
    ):
        for name, sizes in results.items():
            numbers = [int(size) for size in sizes]
            relative = [number / value(BASE[name]) for number in numbers]
            axes.plot(relative, [one[key] for one in sizes.values()], "o-", label=NAMES[name])
        axes.set(xlabel="size, relative to the base", ylabel=label, xlim=0, ylim=0)
        axes.grid(alpha=0.3)
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=4, help="the first only warms up")
    options = parse(made)
    results = {
        name: {str(value(size)): measure({name: size}, options.rounds) for size in sizes}
        for name, sizes in (SMALL_SWEEPS if options.small else SWEEPS).items()
    }
    written_by = command(options, "rounds")
    record = {"command": written_by, **ran_on(*PACKAGES), "base": BASE, "results": results}
    write(options.output, "scaling", record, table(results, written_by))
    draw(results, options.output / "scaling.png")


if __name__ == "__main__":
    main()
