"""Train and evaluate agents × presets × seeds of a suite, and write how they compare.

A suite is a TOML file (docs/benchmark.md explains it):

  [[comparison]]
  name = "navigation-2d"
  preset = "navigation-2d"
  agents = ["maml-trpo", "promp", "random"]
  seeds = [1, 2, 3]
  env_steps = 3_200_000

Each agent with each seed is a cell: an ordinary run folder, trained until so many environment steps
are taken, then evaluated on the same held-out tasks as the others. Cells run side by side, each in
a process with one thread, with the numbers that each would have alone.

The same command goes on where it was stopped: cells that are done are not run again, and one that
was begun goes on from its checkpoint. With more seeds or a larger budget in the file, only what is
missing is run. A cell that fails does not stop the others; it is named at the end, and the exit
code is 1.

The folder gets README.md with a table of each comparison and one of speed, results.json, and
figures of learning curves, adaptation, performance profiles and the probability of improvement.

Examples:
  metarl benchmark benchmarks/suites/small.toml
  metarl benchmark my-suite.toml --dry-run
  metarl benchmark my-suite.toml --output results/mine --workers 8
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from metarl.cli.output import new_console, passing_bar, print_line
from metarl.cli.parsing import parse
from metarl.runs.interruptions import Interruptions


@dataclass(frozen=True)
class BenchmarkArguments:
    """The arguments of `metarl benchmark`."""

    suite: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SUITE.toml")]
    """The suite's file."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The folder to write into. None: runs/benchmarks/SUITE."""
    workers: int | None = None
    """Cells at a time, each in a process of its own. None: one for each core."""
    dry_run: bool = False
    """Say which cells are there and which are missing; run and write nothing."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(BenchmarkArguments, argv, prog="metarl benchmark", description=__doc__ or "")
    # From here on torch is needed, which takes its time to import.
    from metarl.api.benchmark import benchmark

    console = new_console()
    with Interruptions() as interruptions, interruptions.allowed(), passing_bar(console) as show:
        found = benchmark(
            arguments.suite,
            output=arguments.output,
            workers=arguments.workers,
            dry_run=arguments.dry_run,
            progress=show,
        )
    console.print(_table(found))
    if arguments.dry_run:
        return 0
    print_line(console, f"written to {found.folder / 'README.md'}")
    for name, reason in found.failed.items():
        print_line(console, f"failed: {name}: {reason}")
    return 1 if found.failed else 0


def _table(found: Any) -> Table:
    """Make the table of cells: those of each comparison and agent in a row."""
    left = sum(state.env_steps_left for state in found.states)
    done = sum(state.standing == "done" for state in found.states)
    title = f"{done} of {len(found.states)} cells are done; {left:,} env steps of training are left"
    table = Table(title=title)
    for heading in ("comparison", "agent", "seeds done", "begun", "not begun", "refused"):
        table.add_column(heading)
    table.add_column("env steps left", justify="right")
    rows = dict.fromkeys((state.cell.comparison, state.cell.agent) for state in found.states)
    for row in rows:
        own = [it for it in found.states if (it.cell.comparison, it.cell.agent) == row]
        cells = [
            ", ".join(str(it.cell.seed) for it in own if it.standing == standing)
            for standing in ("done", "begun", "not begun", "refused")
        ]
        table.add_row(*row, *cells, f"{sum(it.env_steps_left for it in own):,}")
    return table
