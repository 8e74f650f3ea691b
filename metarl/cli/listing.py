"""List presets, trained policies, environments, problems and agents of each package.

A preset's protocol: its horizon in time steps, tasks × episodes of a batch, inner steps and their
step size α, and meta-iterations. `metarl show NAME` explains one of them.

With --json an object is printed: for each kind listed, by its name, a list of objects of strings
with the keys name, package, description, source, tasks, protocol, preset, environment, agent and
family. What an entry does not have is empty.

The exit code is 1 if nothing is found.

Examples:
  metarl list
  metarl list presets --family gradient --search cheetah
  metarl list agents --family memory --json
  metarl list presets --sources
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from metarl.api.catalogue import CANNOT_BE_MADE, KINDS, Entry, by_package, families, narrowed
from metarl.cli.output import new_console
from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError
from metarl.foundation.messages import say

_WITHOUT_FAMILY = ("environments", "problems")
_TITLES = {"trained": "trained policies"}
_FOR_WHAT = {"trained": ", for evaluate, render, report and export"}
_LONGEST_NAME = 0.5
"""Of the width; where a name is longer, all names stand in lines of their own."""


@dataclass(frozen=True)
class ListArguments:
    """The arguments of `metarl list`."""

    kind: Annotated[
        Literal["all", "presets", "trained", "environments", "problems", "agents"],
        tyro.conf.Positional,
    ] = "all"
    """What to list."""
    family: str = ""
    """Only presets, trained policies and agents of this family: gradient, memory, inference, or a
    plug-in's own."""
    search: str = ""
    """Only what has this text in its name, description, agent or environment."""
    sources: bool = False
    """Say also where each preset's task, protocol and hyperparameters come from."""
    json: bool = False
    """Print JSON."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ListArguments, argv, prog="metarl list", description=__doc__ or "")
    kinds = list(KINDS) if arguments.kind == "all" else [arguments.kind]
    if arguments.family:
        kinds = _with_families(kinds, arguments.family)
    wanted = narrowed(arguments.family, arguments.search)
    found = {kind: KINDS[kind](wanted) for kind in kinds}
    if arguments.json:
        print(json.dumps(_as_json(found), indent=2, ensure_ascii=False))
    else:
        console = new_console()
        for kind, entries in found.items():
            _show(console, kind, entries, arguments.sources)
    if any(found.values()):
        return 0
    say(f"metarl list: nothing found{_narrowed_to(arguments)}; `metarl list` shows all there is")
    return 1


def _with_families(kinds: Sequence[str], family: str) -> list[str]:
    """Give the kinds whose entries have a family.

    Raises:
        ConfigError: there is no such family, or none of these kinds has one.

    """
    left = [kind for kind in kinds if kind not in _WITHOUT_FAMILY]
    if not left:
        raise ConfigError(f"{kinds[0]} are of no family; leave --family away")
    if family not in (known := families()):
        raise ConfigError(f"unknown family {family!r}; there are {', '.join(known)}")
    return left


def _narrowed_to(arguments: ListArguments) -> str:
    what = "" if arguments.kind == "all" else f" among {arguments.kind}"
    what += f" of family {arguments.family}" if arguments.family else ""
    return what + (f" with {arguments.search!r} in it" if arguments.search else "")


def _as_json(found: Mapping[str, Sequence[Entry]]) -> dict[str, list[dict[str, str]]]:
    return {
        kind: [dataclasses.asdict(entry) for entry in entries] for kind, entries in found.items()
    }


def _show(console: Console, kind: str, entries: Sequence[Entry], sources: bool) -> None:
    """Print what each package brings of a kind: names, and beside or below them what they are."""
    for package, own in by_package(entries).items():
        title = f"{_TITLES.get(kind, kind)} of {escape(package)}"
        console.print(f"[bold]{title}[/]{_FOR_WHAT.get(kind, '')}", highlight=False)
        described = {entry.name: _described(kind, entry, sources) for entry in own}
        if max(map(len, described)) <= _LONGEST_NAME * console.width:
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
            table.add_column(no_wrap=True)
            table.add_column(overflow="fold")
            for name, text in described.items():
                table.add_row(f"  [cyan]{escape(name)}[/]", text)
            console.print(table)
        else:
            for name, text in described.items():
                console.print(f"  [cyan]{escape(name)}[/]", overflow="fold", highlight=False)
                console.print(Padding(text, (0, 0, 0, 6)), highlight=False)
        console.print()


def _described(kind: str, entry: Entry, sources: bool) -> str:
    """Say what an entry is, in a few lines of rich's markup."""
    lines = [escape(entry.description)] if entry.description else []
    if entry.agent:
        lines.append(
            f"[dim]{escape(entry.agent)}: {escape(entry.protocol or entry.environment)}[/]"
        )
    if entry.family and not entry.agent:
        lines[-1] += f" [dim]({escape(entry.family)})[/]"
    if entry.tasks:
        lines.append(_tasks(entry.tasks))
    if entry.source and (sources or kind == "agents"):
        lines.append(f"[dim]{escape(entry.source)}[/]")
    return "\n".join(lines)


def _tasks(text: str) -> str:
    joined = escape(text.replace("\n", "; "))
    return joined if text.startswith(CANNOT_BE_MADE) else f"tasks: {joined}"
