"""`metarl.benchmark`: train and evaluate the cells of a suite side by side, and compare them."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metarl.api.evaluation import tested_beside
from metarl.api.side_by_side import Job, run_side_by_side
from metarl.api.starting_point import starting_point, with_fields
from metarl.config.base import tested
from metarl.config.plugins import load_agent
from metarl.config.reinforcement import Config
from metarl.config.suite import Comparison, Suite, SuiteAgent, read_suite
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.foundation.files import make_folder
from metarl.foundation.messages import say
from metarl.reports.benchmark_page import write_results
from metarl.reports.benchmark_results import collect
from metarl.runs.benchmark_cells import Cell, CellState, latest_env_steps, state_of
from metarl.runs.interruptions import Interrupted
from metarl.runs.run_lock import locked
from metarl.workers.cores import usable_cores

CELLS_FOLDER = "cells"
Folder = str | os.PathLike[str]
Progress = Callable[[str, int, int], Any]
"""Told what is being done, and how many env steps of training of how many are."""


@dataclass(frozen=True)
class Benchmark:
    """What there is of a suite."""

    folder: Path
    """What is written lies here: README.md, results.json, figures and the runs."""
    states: tuple[CellState, ...]
    """Of each cell."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why cells are not done, by their names; empty after a dry run."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """All numbers, as `results.json` holds them; of a dry run none."""


def benchmark(
    suite: Folder,
    *,
    output: Folder | None = None,
    workers: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Benchmark:
    """Train and evaluate what is missing of a suite, and write how its agents compare.

    Every cell, one agent with one seed in one comparison, is a run of its own and computes the same
    numbers as it would alone. What is there is not run again, and what was begun goes on from its
    checkpoint. A cell that fails does not stop the others.

    Args:
        suite: a TOML file; docs/benchmark.md says what it holds.
        output: the folder to write into; None: runs/benchmarks/SUITE.
        workers: cells at a time, each in a process with one thread; None: one for each core.
        dry_run: only say what is there and what is missing; nothing is run or written.
        progress: told how far training has come.

    Raises:
        ConfigError: the suite is not a valid one.
        RunFolderError: the folder cannot be written, or another process is at work there.

    """
    file = Path(suite)
    read = read_suite(file)
    folder = Path("runs") / "benchmarks" / file.stem if output is None else Path(output)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers = {workers} must be at least 1")
    cells = cells_of(read, folder)
    if dry_run:
        return Benchmark(folder, tuple(state_of(cell) for cell in cells))
    make_folder(folder)
    with locked(folder, _warn, "--output"):
        states = [state_of(cell) for cell in cells]
        reasons = _run(states, usable_cores() if workers is None else workers, progress)
        states = [state_of(cell) for cell in cells]
        results = [
            collect(one, [it for it in states if it.cell.comparison == one.name], reasons)
            for one in read.comparisons
        ]
        record = write_results(folder, file.stem, results)
    failed = {str(it.cell): it.reason for result in results for it in result.missing}
    return Benchmark(folder, tuple(states), failed, record)


def cells_of(suite: Suite, folder: Path) -> list[Cell]:
    """Give the cells in the order in which they run: all agents with the first seed at first.

    Args:
        suite: that is run.
        folder: of the benchmark.

    Raises:
        ConfigError: an agent does not fit its preset, or learns other tasks than the comparison's.

    """
    cells = []
    for comparison in suite.comparisons:
        origin = f"{suite.file}: comparison {comparison.name!r}"
        try:
            runs = _configurations(comparison)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from error
        cells += [
            Cell(
                comparison=comparison.name,
                agent=name,
                seed=seed,
                folder=folder / CELLS_FOLDER / comparison.name / name / f"seed-{seed}",
                config=dataclasses.replace(config, seed=seed),
                tested=evaluated,
                task_range=comparison.evaluation.task_range,
                trains=trains,
            )
            for seed in comparison.seeds
            for name, (config, evaluated, trains) in runs.items()
        ]
    return cells


def _configurations(comparison: Comparison) -> dict[str, tuple[Config, Config, bool]]:
    """Give what each agent is trained by and evaluated by, and whether it is trained at all."""
    usual = with_fields(starting_point(comparison.preset), comparison.fields)
    options = dataclasses.asdict(comparison.evaluation)
    task_range, seed = options.pop("task_range"), options.pop("seed")
    first = tested(usual, seed, options)
    runs = {}
    for agent in comparison.agents:
        try:
            config = _configuration(comparison, agent, usual)
            evaluated: Any = tested_beside(config, first, options)
            build_experiment(evaluated).evaluation_sheets(task_range)
        except ConfigError as error:
            raise ConfigError(f"agent {agent.name!r}: {error}") from error
        runs[agent.name] = (config, evaluated, load_agent(agent.agent).trained)
    return runs


def _configuration(comparison: Comparison, agent: SuiteAgent, usual: Config) -> Config:
    fields = {**comparison.fields, **agent.fields}
    config: Config = with_fields(starting_point(agent.preset, agent=agent.agent), fields)
    for name in config.same_tasks:
        own, wanted = getattr(config, name), getattr(usual, name)
        if own != wanted:
            raise ConfigError(
                f"it would learn other tasks than preset {comparison.preset!r}: {name} is {own!r}, "
                f"there {wanted!r}"
            )
    return dataclasses.replace(config, env_steps=comparison.env_steps)


def _run(states: Sequence[CellState], workers: int, progress: Progress | None) -> dict[str, str]:
    """Run the cells that are to be run; give why some failed, by their names."""
    jobs = {
        Job("metarl.api.benchmark_cell", it.cell.to_json(), it.cell.log): it.cell
        for it in states
        if it.standing in ("begun", "not begun")
    }
    running: list[Cell] = []
    failed: dict[str, str] = {}
    budgets = {str(it.cell): it.cell.config.env_steps for it in states if it.cell.trains}
    trained = {str(it.cell): it.env_steps for it in states if it.cell.trains}

    def started(job: Job) -> None:
        running.append(jobs[job])
        say(f"metarl benchmark: {jobs[job]}: begins")

    def ended(job: Job, failure: str) -> None:
        cell = jobs[job]
        running.remove(cell)
        if failure:
            failed[str(cell)] = failure
        say(f"metarl benchmark: {cell}: {'failed' if failure else 'done'}")

    def working() -> None:
        if progress is None:
            return
        for cell in running:
            if cell.trains:
                trained[str(cell)] = latest_env_steps(cell.folder)
        done = sum(min(trained[name], budget) for name, budget in budgets.items())
        progress("; ".join(map(str, running)), done, sum(budgets.values()))

    try:
        run_side_by_side(list(jobs), workers, started, ended, working)
    except (Interrupted, KeyboardInterrupt):
        say("metarl benchmark: stopped; what was reached is saved, and the same command goes on")
        raise
    return failed


def _warn(text: str) -> None:
    say(f"metarl benchmark: {text}")
