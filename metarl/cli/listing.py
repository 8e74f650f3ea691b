"""List presets, trained policies, environments, problems and agents of each package.

A preset's protocol: its horizon in time steps, tasks × episodes of a batch, inner steps and their
step size α, and meta-iterations.

Examples:
  metarl list
  metarl list --sources
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl.api.catalogue import (
    Entry,
    agents,
    by_package,
    environments,
    presets,
    problems,
    trained,
)
from metarl.cli.output import new_console
from metarl.cli.parsing import parse


@dataclass(frozen=True)
class ListArguments:
    """The arguments of `metarl list`."""

    sources: bool = False
    """Say also where each preset's task, protocol and hyperparameters come from."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ListArguments, argv, prog="metarl list", description=__doc__ or "")

    def of_preset(entry: Entry) -> list[str]:
        described = _described(entry.description, entry.source * arguments.sources)
        return [described, escape(entry.tasks), entry.protocol]

    console = new_console()
    headings = ["preset", "what is learned", "tasks", "protocol"]
    _show(console, "presets", presets(), headings, of_preset)
    headings = ["for evaluate, render, report, export"]
    _show(console, "trained policies", trained(), headings, lambda entry: [])
    headings = ["environment", "tasks"]
    _show(console, "environments", environments(), headings, lambda it: [escape(it.tasks)])
    headings = ["problem", "tasks"]
    _show(console, "problems", problems(), headings, lambda it: [escape(it.description)])
    headings = ["agent", "what it does"]
    _show(console, "agents", agents(), headings, lambda it: [_described(it.description, it.source)])
    return 0


def _show(
    console: Console,
    what: str,
    entries: Sequence[Entry],
    headings: Sequence[str],
    cells: Callable[[Entry], list[str]],
) -> None:
    """Print a table for each package, with a row for each entry."""
    for package, own in by_package(entries).items():
        title = f"{what} of {package}"
        table = Table(title=title, title_justify="left", expand=False)
        for number, heading in enumerate(headings):
            table.add_column(heading, no_wrap=number == 0, overflow="fold")
        for entry in own:
            table.add_row(entry.name, *cells(entry))
        console.print(table)


def _described(description: str, source: str) -> str:
    return escape(description) + (f"\n[dim]{escape(source)}[/]" if source else "")
