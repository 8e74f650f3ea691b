"""Compute what it would bring to deal tasks to whichever worker is free.

`metarl train` gives each worker a fixed share of the meta-batch. Here the same functions run in two
processes of a trial pool that deals parts of the meta-batch: a process takes the next part when it
has done one, and keeps the experience of what it took for the maps that follow. The parts are: a
share for each worker, as in training (fixed); fewer and fewer tasks (shrinking: half of a worker's
share of what is left); one task each (single).

    python scripts/benchmark_dealing.py [--rounds 3]

Writes benchmarks/dealing.json and a table beside it. From the processor seconds of each part it
computes when each of so many workers, with a core each, would be done: that does not depend on what
else the machine does, nor on how many cores it has. The kinds of parts take turns, iteration by
iteration, and must give the same bits; numbers are medians over the rounds of their ratios.
"""

import contextlib
import dataclasses
import heapq
import multiprocessing
import statistics
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
from benchmark_iteration import PACKAGES, SMALL, W
from shared import BENCHMARKS, command, parse, parser, ran_on, write

from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment
from metarl.foundation.stopwatch import PhaseSeconds
from metarl.training import train
from metarl.workers.partition import partition
from metarl.workers.process_main import environment_of_children
from metarl.workers.shards import Shard, ShardSpec

EXPERIMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "half-cheetah (W)": ("half-cheetah-dir", W),
    "hopper": ("hopper-rand-params", {}),
}
KEPT = ("tasks", "task_indices", "experience", "statistics", "adapted")


def shrinking(tasks: int, workers: int) -> list[range]:
    parts, start = [], 0
    while start < tasks:
        size = -(-(tasks - start) // (2 * workers))
        parts.append(range(start, start + size))
        start += size
    return parts


KINDS: dict[str, Callable[[int, int], list[range]]] = {
    "fixed": partition,
    "shrinking": shrinking,
    "single": lambda tasks, workers: partition(tasks, tasks),
}
PROCESSES = 2
WORKERS = [2, 8]


def serve(pipe: Connection, spec: ShardSpec) -> None:
    """Work on the parts that are dealt, and on the experience of all that were."""
    torch.set_num_threads(1)
    held = Shard(dataclasses.replace(spec, task_indices=range(1)))
    rooms: dict[int, Shard] = {}
    while (request := pipe.recv()) is not None:
        part, function, args = request
        cpu = time.process_time()
        if part is None:
            results, indices = function(held, *args), held.task_indices
        else:
            if not part[0]:
                for name in KEPT:
                    setattr(held, name, [])
            own = part[1]
            shard = rooms.get(len(own)) or Shard(
                dataclasses.replace(spec, task_indices=range(len(own)))
            )
            rooms[len(own)] = shard
            shard._all_tasks = own
            results, indices = function(shard, *args), shard.task_indices
            for name in KEPT:
                getattr(held, name).extend(getattr(shard, name))
            held.key = shard.key
        pipe.send((list(indices), results, time.process_time() - cpu))


class DealingPool:
    """Worker processes that take parts of the meta-batch as they become free."""

    count = PROCESSES

    def __init__(self, spec: ShardSpec, parts: list[range]) -> None:
        self.parts = parts
        self.pipes: list[Connection] = []
        self.processes = []
        self.dealt: list[list[float]] = []
        """The processor seconds of each part, for each map that dealt since last asked."""
        self.others = 0.0
        """Likewise of all processes together, for the other maps."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["metarl.workers.process_main"])
        with environment_of_children():
            for _ in range(PROCESSES):
                ours, theirs = context.Pipe()
                process = context.Process(target=serve, args=(theirs, spec), daemon=True)
                process.start()
                self.pipes.append(ours)
                self.processes.append(process)

    def map(self, function: Callable[..., list[Any]], *args: Any) -> list[Any]:
        """Deal the parts to a function that starts anew, and call others on what was taken."""
        deals = getattr(function, "starts_anew", False)
        waiting = deque((number, part) for number, part in enumerate(self.parts))
        seconds = [0.0] * (len(self.parts) if deals else self.count)
        at_work: dict[Connection, int] = {}
        for number, pipe in enumerate(self.pipes):
            if deals:
                number, part = waiting.popleft()
                pipe.send(((False, part), function, args))
            else:
                pipe.send((None, function, args))
            at_work[pipe] = number
        found: dict[int, Any] = {}
        while at_work:
            for pipe in wait(list(at_work)):
                assert isinstance(pipe, Connection)
                indices, results, spent = pipe.recv()
                found.update(zip(indices, results, strict=True))
                seconds[at_work.pop(pipe)] = spent
                if deals and waiting:
                    number, part = waiting.popleft()
                    pipe.send(((True, part), function, args))
                    at_work[pipe] = number
        if deals:
            self.dealt.append(seconds)
        else:
            self.others += sum(seconds)
        return [found[index] for index in sorted(found)]

    def take_profile(self) -> PhaseSeconds:
        """Give nothing: no time is taken."""
        return {}

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join()


@dataclasses.dataclass(frozen=True)
class Computed:
    """An iteration on a machine with a core for each worker, in seconds."""

    whole: float
    work: float
    """Of the mean worker."""


def computed(pool: DealingPool, workers: int) -> Computed:
    """Deal the parts that were measured to so many workers; the other maps go by tasks held."""
    ends, held = [(0.0, worker) for worker in range(workers)], [0] * workers
    (seconds,) = pool.dealt
    for part, spent in zip(pool.parts, seconds, strict=True):
        end, worker = ends[0]
        heapq.heapreplace(ends, (end + spent, worker))
        held[worker] += len(part)
    other = pool.others / sum(held)
    found = Computed(max(ends)[0] + other * max(held), (sum(seconds) + pool.others) / workers)
    pool.dealt, pool.others = [], 0.0
    return found


def measure(preset: str, changes: dict[str, Any], counts: list[int], rounds: int) -> dict[str, Any]:
    """Let the kinds of parts take turns."""
    config = load_preset(preset)
    settings = {**config.agent_settings, **changes.get("agent_settings", {})}
    config = dataclasses.replace(
        config, **{**changes, "agent_settings": settings, "iterations": 10**6}
    )
    tasks = config.tasks_per_batch
    found: dict[tuple[int, str], list[Computed]] = {}
    with contextlib.ExitStack() as stack:
        pools, loops = {}, {}
        for count in counts:
            for kind, parts in KINDS.items():
                experiment = build_experiment(config)
                spec = experiment.shards(tasks, config.episodes_per_task)
                pool = DealingPool(spec, parts(tasks, min(count, tasks)))
                pools[count, kind] = stack.enter_context(contextlib.closing(pool))
                loops[count, kind] = train(experiment, pool, experiment.first_state())
                found[count, kind] = []
        for number in range(rounds + 1):
            thetas = set()
            for (count, kind), loop in loops.items():
                state, _ = next(loop)
                thetas.add(state.agent.theta.tobytes())
                one = computed(pools[count, kind], min(count, tasks))
                if number:  # the first round warms up
                    found[count, kind].append(one)
            assert len(thetas) == 1, "dealing changed a number"
    return {
        str(count): {kind: compared(found[count, kind], found[count, "fixed"]) for kind in KINDS}
        for count in counts
    }


def compared(these: list[Computed], fixed: list[Computed]) -> dict[str, float]:
    pairs = list(zip(these, fixed, strict=True))
    return {
        "seconds": statistics.median(one.whole for one in these),
        "to fixed": statistics.median(one.whole / other.whole for one, other in pairs),
        "waiting": statistics.median(1 - one.work / one.whole for one in these),
        "work to fixed": statistics.median(one.work / other.work for one, other in pairs),
    }


def table(results: dict[str, Any]) -> str:
    lines = [
        "Seconds of an iteration, computed for a machine with a core for each worker; how long it",
        "takes, and how much all workers work, compared with a fixed share (100%). Waiting: what",
        f"the mean worker does not work. Written by `{results['command']}`; versions in",
        "dealing.json.",
        "",
        "| | workers | parts | seconds | to fixed | waiting | work |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, counts in results["results"].items():
        for count, kinds in counts.items():
            for kind, one in kinds.items():
                lines.append(
                    f"| {name} | {count} | {kind} | {one['seconds']:.2f} | {one['to fixed']:.0%} | "
                    f"{one['waiting']:.0%} | {one['work to fixed']:.0%} |"
                )
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=3)
    options = parse(made)
    counts, experiments = WORKERS, EXPERIMENTS
    if options.small:
        counts, experiments = [2], {"half-cheetah (W)": ("half-cheetah-dir", W | SMALL)}
    results = {
        "command": command(options, "rounds"),
        **ran_on(*PACKAGES),
        "results": {
            name: measure(preset, changes, counts, options.rounds)
            for name, (preset, changes) in experiments.items()
        },
    }
    write(options.output, "dealing", results, table(results))


if __name__ == "__main__":
    main()
