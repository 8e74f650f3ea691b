"""Check that metarl works on this machine, and say what to do where something does not.

It looks at versions, optional packages, devices, worker processes, rendering (it draws a frame and
writes a clip), run folders, plug-ins and environment variables. `ok` is in order, `missing` is
optional and not there, `problem` is wrong. The exit code is 1 if something that metarl needs is
wrong, otherwise 0. Add what is printed here to a bug report. Nothing is kept or sent.

With --json an object is printed: healthy (true or false), and findings, each with area, subject,
state, words, advice and needed.

Examples:
  metarl doctor
  metarl doctor --json
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl.api.findings import Finding, broken
from metarl.cli.output import new_console
from metarl.cli.parsing import parse

_COLOURS = {"ok": "green", "missing": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class DoctorArguments:
    """The arguments of `metarl doctor`."""

    json: bool = False
    """Print JSON."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(DoctorArguments, argv, prog="metarl doctor", description=__doc__ or "")
    # From here on more is imported, which may be what is broken.
    from metarl.api.doctor import examine

    findings: list[Finding] = []
    if arguments.json:
        findings += examine()
        said = {
            "healthy": not broken(findings),
            "findings": [dataclasses.asdict(each) for each in findings],
        }
        print(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        console = new_console()
        for area, group in itertools.groupby(examine(), lambda finding: finding.area):
            found = list(group)
            findings += found
            _show(console, area, found)
        _conclude(console, findings, broken(findings))
    return 1 if broken(findings) else 0


def _show(console: Console, area: str, findings: Iterable[Finding]) -> None:
    console.print(f"[bold]{escape(area)}[/]", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(max_width=max(12, console.width // 3), overflow="fold")
    table.add_column(overflow="fold")
    for each in findings:
        state = f"  [{_COLOURS[each.state]}]{each.state}[/]"
        advice = f"\n→ {each.advice}" if each.advice and each.state != "ok" else ""
        table.add_row(state, escape(each.subject), escape(each.words + advice))
    console.print(table)


def _conclude(console: Console, findings: list[Finding], wrong: list[Finding]) -> None:
    problems = sum(each.state == "problem" for each in findings)
    if wrong:
        subjects = ", ".join(each.subject for each in wrong)
        console.print(f"\nmetarl cannot work before this is in order: {escape(subjects)}")
    elif problems:
        console.print(f"\nmetarl works here; problems beside that: {problems}")
    else:
        console.print("\nmetarl works here")
