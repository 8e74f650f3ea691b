"""Measure a meta-iteration beside what its physics alone costs, on the same cores.

The work unit W is one meta-iteration of half-cheetah direction: 40 tasks × 20 episodes × 200 steps,
before and after one adaptation step (320,000 env steps), policy 2×100, second-order MAML-TRPO with
10 conjugate-gradient iterations. After each iteration the same worker processes replay its very
controls from its start states in bare `mujoco.batch` loops, which observe and reward nothing.

What an iteration computes beside its physics is mostly matrix products. Torch counts their floating
point operations; so many of them, in bare products of the policy's hidden layer, say how near to
bare physics an iteration could come at best.

    python scripts/benchmark_iteration.py [--rounds 9]

Writes benchmarks/iteration.json and a table beside it. Iterations and replays alternate, with one
worker and with two; every number is a median over the rounds, every ratio a median of the rounds'
ratios. The shares are those of the metrics: means over the workers.
"""

import contextlib
import dataclasses
import resource
import statistics
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import torch
from mujoco.batch import Batch
from shared import BENCHMARKS, command, parse, parser, processor_seconds, ran_on, write
from torch.utils.flop_counter import FlopCounterMode

from metarl.agent.protocol import Record
from metarl.config.plugins import load_preset
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.foundation.seeding import Purpose, Split, integer_seed
from metarl.training import train
from metarl.workers.shards import Shard

W: dict[str, Any] = {
    "tasks_per_batch": 40,
    "episodes_per_task": 20,
    "horizon": 200,
    "hidden_sizes": (100, 100),
    "adaptation_steps": 1,
    # 100 of a task's 4,000 steps, as many as the preset takes of its 2,000.
    "agent_settings": {"curvature_fraction": 0.025},
}
NAVIGATION: dict[str, Any] = {"tasks_per_batch": 20, "episodes_per_task": 20, "horizon": 100}
SMALL: dict[str, Any] = {"tasks_per_batch": 2, "episodes_per_task": 2, "horizon": 10}
PACKAGES = ("torch", "mujoco", "gymnasium", "numpy")
PRODUCTS = 200
"""Bare products to time at once."""


class BareLoop:
    """A worker's half of an iteration's physics: start states and controls, time first."""

    def __init__(self, shard: Shard, iteration: int) -> None:
        config = shard.config
        single: Any = gym.make(config.env_id, **config.env_kwargs).unwrapped
        self.frame_skip = single.frame_skip
        self.phases = []
        for phase in range(config.adaptation_steps + 1):
            starts = []
            for task in shard.task_indices:
                for episode in range(shard.episodes_per_task):
                    key = (Split.TRAIN, iteration, phase, task, episode)
                    single.reset(seed=integer_seed(config.seed, Purpose.RESET, *key))
                    starts.append((single.data.qpos.copy(), single.data.qvel.copy()))
            controls = []
            for data in shard.experience:
                batch = (*data.supports, data.query)[phase]
                mapped = shard.action_map(batch.actions.numpy())
                controls.append(mapped.reshape(shard.episodes_per_task, config.horizon, -1))
            in_time = np.ascontiguousarray(np.concatenate(controls).swapaxes(0, 1), np.float64)
            self.phases.append(([np.stack(part) for part in zip(*starts, strict=True)], in_time))
        self.batch = Batch(single.model, len(starts), nthread=1)
        self.state = [self.batch.bind("qpos"), self.batch.bind("qvel")]
        self.controls = self.batch.bind("ctrl")

    def run(self) -> None:
        """Step it all."""
        for starts, controls in self.phases:
            self.batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
            for part, start in zip(self.state, starts, strict=True):
                part[:] = start
            self.batch.forward()
            for control in controls:
                self.controls[:] = control
                self.batch.step(nstep=self.frame_skip)


BARE: list[BareLoop] = []  # a worker's own


def prepare_replay(shard: Shard, iteration: int) -> list[None]:
    BARE[:] = [BareLoop(shard, iteration)]
    return []


def replay(shard: Shard) -> list[None]:
    BARE[0].run()
    return []


def peak_memory(shard: Shard) -> list[float]:
    return [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


class Runner:
    """Training that stops after each iteration, with its pool."""

    def __init__(self, config: Config, workers: int) -> None:
        experiment = build_experiment(config)
        self.pool = experiment.start_workers(workers)
        self._loop = train(experiment, self.pool, experiment.first_state())

    def iteration(self) -> Record:
        """Make the next iteration; give its metrics."""
        _, record = next(self._loop)
        return record

    def bare_seconds(self, iteration: int) -> float:
        """Replay an iteration's physics; give the time until the last worker is done."""
        self.pool.map(prepare_replay, iteration)
        started = time.perf_counter()
        self.pool.map(replay)
        seconds = time.perf_counter() - started
        self.pool.take_profile()
        return seconds


@contextlib.contextmanager
def runner(preset: str, workers: int, changes: dict[str, Any]) -> Iterator[Runner]:
    config = load_preset(preset)
    settings = {**config.agent_settings, **changes.get("agent_settings", {})}
    config = dataclasses.replace(
        config, **{"iterations": 10**6, **changes, "agent_settings": settings}
    )
    started = Runner(config, workers)
    try:
        yield started
    finally:
        started.pool.close()


def medians(records: list[Record]) -> dict[str, float]:
    """Give the median seconds of an iteration and of its phases."""
    return {
        name.removesuffix("_seconds"): statistics.median(record[name] for record in records)
        for name in records[0]
        if name.endswith("_seconds")
    }


def work_unit(rounds: int, sizes: dict[str, Any]) -> dict[str, Any]:
    """Alternate W and its bare physics, in one worker and in two."""
    records: dict[int, list[Record]] = {1: [], 2: []}
    bare: dict[int, list[float]] = {1: [], 2: []}
    with contextlib.ExitStack() as stack:
        runners = {
            workers: stack.enter_context(runner("half-cheetah-dir", workers, sizes))
            for workers in records
        }
        for number in range(1, rounds + 2):
            for workers, one in runners.items():
                record, seconds = one.iteration(), one.bare_seconds(number)
                if number > 1:  # the first round warms up
                    records[workers].append(record)
                    bare[workers].append(seconds)
        memory = runners[2].pool.map(peak_memory)
    result: dict[str, Any] = {}
    for workers in records:
        ratios = [
            record["iteration_seconds"] / seconds
            for record, seconds in zip(records[workers], bare[workers], strict=True)
        ]
        result[f"{workers} worker{'s' * (workers > 1)}"] = {
            "seconds": medians(records[workers]),
            "bare physics seconds": statistics.median(bare[workers]),
            "to bare physics": statistics.median(ratios),
            "line search candidates": statistics.mean(
                record["line_search_steps"] for record in records[workers]
            ),
        }
    result["iterations per second, 2 workers to 1"] = statistics.median(
        one["iteration_seconds"] / two["iteration_seconds"]
        for one, two in zip(records[1], records[2], strict=True)
    )
    result["bare physics, 2 processes to 1"] = statistics.median(
        one / two for one, two in zip(bare[1], bare[2], strict=True)
    )
    result["peak memory of a worker process, MB"] = max(memory)
    return result


def bare_products(rounds: int, sizes: dict[str, Any]) -> dict[str, float]:
    """Count the floating point operations of an iteration's products; time as many, bare."""
    with runner("half-cheetah-dir", 0, sizes) as one:
        one.iteration()
        with FlopCounterMode(display=False) as counter:
            one.iteration()
    rows, width = sizes["episodes_per_task"] * sizes["horizon"], sizes["hidden_sizes"][0]
    left, right = torch.randn(rows, width), torch.randn(width, width)

    def multiply() -> None:
        for _ in range(PRODUCTS):
            torch.mm(left, right)

    multiply()  # warms up
    spent = statistics.median(processor_seconds(multiply) for _ in range(rounds))
    rate = PRODUCTS * 2 * rows * width * width / spent
    operations = counter.get_total_flops()
    return {"operations": operations, "per second": rate, "seconds": operations / rate}


def navigation(rounds: int, sizes: dict[str, Any]) -> dict[str, Any]:
    with runner("navigation-2d", 2, sizes) as one:
        records = [one.iteration() for _ in range(3 * rounds + 1)][1:]
    return {"seconds": medians(records)}


def table(results: dict[str, Any]) -> str:
    unit, nav = results["W"], results["navigation-2d"]
    columns = [unit["1 worker"], unit["2 workers"], nav]
    products, physics = results["bare products"], unit["1 worker"]["bare physics seconds"]
    lines = [
        "Seconds of a meta-iteration and of its phases (means over the workers); medians.",
        "W is an iteration of half-cheetah direction: 40 tasks × 20 episodes × 200 steps before",
        "and after one gradient step (320,000 env steps), two layers of 100, second order.",
        f"Written by `{results['command']}`; versions in iteration.json.",
        "",
        "| | W, 1 worker | W, 2 workers | navigation-2d, 2 workers |",
        "|---|---|---|---|",
    ]
    phases = [*nav["seconds"]]
    for phase in phases:
        cells = []
        for column in columns:
            spent, whole = column["seconds"][phase], column["seconds"]["iteration"]
            share = "" if phase == "iteration" else f" ({spent / whole:.0%})"
            cells.append(f"{spent:.3f}{share}")
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    lines += [
        "| bare physics | "
        + " | ".join(f"{column['bare physics seconds']:.3f}" for column in columns[:2])
        + " | |",
        "| **iteration / bare physics** | "
        + " | ".join(f"{column['to bare physics']:.2f}" for column in columns[:2])
        + " | |",
        "",
        "Iterations per second of W, 2 workers to 1: "
        f"{unit['iterations per second, 2 workers to 1']:.2f} (bare physics: "
        f"{unit['bare physics, 2 processes to 1']:.2f}).",
        "",
        "Peak memory of a worker process in W: "
        f"{unit['peak memory of a worker process, MB']:.0f} MB.",
        "",
        f"The matrix products of W are {products['operations'] / 1e9:.0f} · 10⁹ floating point "
        f"operations. Bare products do {products['per second'] / 1e9:.0f} · 10⁹ in a second, so "
        f"they alone take one worker {products['seconds']:.2f} s: with nothing beside them and the "
        f"physics, iteration / bare physics would be {1 + products['seconds'] / physics:.2f}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=9)
    options = parse(made)
    torch.set_num_threads(1)
    smaller = SMALL if options.small else {}
    results = {
        "command": command(options, "rounds"),
        **ran_on(*PACKAGES),
        "W": work_unit(options.rounds, W | smaller),
        "navigation-2d": navigation(options.rounds, NAVIGATION | smaller),
        # Last: its memory is this process's, and started processes inherit the peak of it.
        "bare products": bare_products(options.rounds, W | smaller),
    }
    write(options.output, "iteration", results, table(results))


if __name__ == "__main__":
    main()
