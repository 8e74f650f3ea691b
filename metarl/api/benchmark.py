"""`metarl.benchmark`: train and evaluate the cells of a suite side by side, and compare them."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metarl.agent.protocol import Family
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
from metarl.runs.benchmark_speed import Measuring, record_call, speed_file, unmeasured
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
    checkpoint. A cell that fails does not stop the others. How fast environments are alone is
    measured before cells run, where it is not known yet.

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
        count = usable_cores() if workers is None else workers
        reasons = _run(folder, states, count, progress)
        states = [state_of(cell) for cell in cells]
        results = [
            collect(one, [it for it in states if it.cell.comparison == one.name], reasons, folder)
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
                slots_per_task=config.episodes_per_task if family.collects_in_shards else 1,
                meets_by=family.meet.__name__,
            )
            for seed in comparison.seeds
            for name, (config, evaluated, trains, family) in runs.items()
        ]
    return cells


def _configurations(comparison: Comparison) -> dict[str, tuple[Config, Config, bool, Family]]:
    """Give what each agent is trained by and evaluated by, whether it is trained, its family."""
    usual = with_fields(starting_point(comparison.preset), comparison.fields)
    options = dataclasses.asdict(comparison.evaluation)
    task_range, seed = options.pop("task_range"), options.pop("seed")
    first = tested(usual, seed, options)
    runs = {}
    for agent in comparison.agents:
        try:
            config = _configuration(comparison, agent, usual)
            evaluated: Any = tested_beside(config, first, options)
            experiment = build_experiment(evaluated)
            experiment.evaluation_sheets(task_range)
        except ConfigError as error:
            raise ConfigError(f"agent {agent.name!r}: {error}") from error
        trains, family = load_agent(agent.agent).trained, experiment.agent.family
        runs[agent.name] = (config, evaluated, trains, family)
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
    return dataclasses.replace(config, env_steps=agent.env_steps or comparison.env_steps)


def _run(
    folder: Path, states: Sequence[CellState], workers: int, progress: Progress | None
) -> dict[str, str]:
    """Run cells, and measure environments alone, which comes first; give why some failed, by name.

    Both only where it is still to be done.
    """
    cells = [it.cell for it in states if it.standing in ("begun", "not begun")]
    lacking = _unmeasured(folder, states)
    processes = min(workers, len(lacking) + len(cells))
    measurings = [Measuring(file, those, processes) for file, those in lacking.items()]
    jobs: dict[Job, Cell | Measuring] = {
        **{Job("metarl.api.benchmark_speed", it.to_json(), it.log): it for it in measurings},
        **{Job("metarl.api.benchmark_cell", it.to_json(), it.log): it for it in cells},
    }
    if cells:
        _record_call(folder, cells, processes)
    running: list[Cell | Measuring] = []
    failed: dict[str, str] = {}
    budgets = {str(it.cell): it.cell.config.env_steps for it in states if it.cell.trains}
    trained = {str(it.cell): it.env_steps for it in states if it.cell.trains}

    def started(job: Job) -> None:
        running.append(jobs[job])
        say(f"metarl benchmark: {jobs[job]}: begins")

    def ended(job: Job, failure: str) -> None:
        what = jobs[job]
        running.remove(what)
        if failure:
            failed[str(what)] = failure
        say(f"metarl benchmark: {what}: {'failed' if failure else 'done'}")

    def working() -> None:
        if progress is None:
            return
        for what in running:
            if isinstance(what, Cell) and what.trains:
                trained[str(what)] = latest_env_steps(what.folder)
        done = sum(min(trained[name], budget) for name, budget in budgets.items())
        progress("; ".join(map(str, running)), done, sum(budgets.values()))

    try:
        run_side_by_side(list(jobs), workers, started, ended, working)
    except (Interrupted, KeyboardInterrupt):
        say("metarl benchmark: stopped; what was reached is saved, and the same command goes on")
        raise
    return failed


def _unmeasured(folder: Path, states: Sequence[CellState]) -> dict[Path, tuple[Cell, ...]]:
    """Give for files of measurements the cells whose environments are not measured yet."""
    found = {}
    for name in dict.fromkeys(it.cell.comparison for it in states):
        own = [it for it in states if it.cell.comparison == name and it.standing != "refused"]
        file = speed_file(folder, name)
        if cells := unmeasured(file, [it.cell for it in own]):
            found[file] = cells
    return found


def _record_call(folder: Path, cells: Sequence[Cell], processes: int) -> None:
    try:
        record_call(folder, cells, processes)
    except OSError as error:
        _warn(f"cannot note in {folder} how many cells run at a time: {error.strerror}")


def _warn(text: str) -> None:
    say(f"metarl benchmark: {text}")
