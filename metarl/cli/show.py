"""Explain a preset, a trained policy, an agent, an environment or a problem.

Of a preset: its task, its protocol in words, the environment steps that it takes, the settings that
are not their defaults and what they mean, other presets on the same tasks, published numbers, and
the commands to run it. A name that both a preset and an agent have means the preset.

With --json an object is printed, with the keys kind, name, package, description, source, facts
(text or lists of names, by what they are about), settings (all of them, each with name, value,
default, meaning), env_steps_per_iteration, env_steps, published and commands.

Examples:
  metarl show half-cheetah-dir
  metarl show mine.toml
  metarl show promp
  metarl show Navigation2D-v0
  metarl show sinusoid --json
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from metarl.cli.output import new_console
from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True)
class ShowArguments:
    """The arguments of `metarl show`."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """A name of `metarl list`, the path of a preset's TOML file, or module:NAME."""
    json: bool = False
    """Print JSON."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ShowArguments, argv, prog="metarl show", description=__doc__ or "")
    if not arguments.name:
        raise ConfigError("name what to show: metarl show NAME; `metarl list` shows all names")
    # From here on Gymnasium is needed, which takes its time to import.
    from metarl.api.descriptions import describe

    found = describe(arguments.name)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False))
        return 0
    console = new_console()
    package = f" of {found.package}" if found.package else ""
    title = f"[bold cyan]{escape(found.name)}[/]: {found.kind}{escape(package)}"
    console.print(title, highlight=False)
    for text in (found.description, found.source):
        if text:
            console.print(escape(text), highlight=False)
    console.print()
    _show_rows(console, {name: _joined(fact) for name, fact in found.facts.items()})
    _show_settings(console, found.settings, found.kind == "preset")
    _show_published(console, found.published)
    if found.commands:
        _show_heading(console, "commands")
        for command in found.commands:
            console.print(Padding(escape(command), (0, 0, 0, 2)), highlight=False)
    return 0


def _joined(fact: str | Sequence[str]) -> str:
    return fact if isinstance(fact, str) else ", ".join(fact)


def _show_heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]", highlight=False)


def _show_rows(console: Console, rows: Mapping[str, str]) -> None:
    """Print names, and beside them what is said of them."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(max_width=max(12, console.width // 3), overflow="fold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(f"  [cyan]{escape(name)}[/]", escape(text))
    console.print(table)


def _show_settings(console: Console, settings: Sequence[Any], of_preset: bool) -> None:
    """Print the settings with their meaning; of a preset's, those at their defaults in short."""
    shown = [setting for setting in settings if setting.changed or not of_preset]
    if shown:
        title = "settings that are not their defaults" if of_preset else "settings and defaults"
        _show_heading(console, title)
        _show_rows(
            console,
            {
                setting.name: f"{_value(setting.value)}{_before(setting)}\n{setting.meaning}"
                for setting in shown
            },
        )
    if left := [setting for setting in settings if setting not in shown]:
        text = ", ".join(f"{setting.name} {_value(setting.value)}" for setting in left)
        _show_heading(console, "settings at their defaults")
        console.print(Padding(escape(text), (0, 0, 0, 2)), highlight=False)


def _before(setting: Any) -> str:
    known = setting.changed and setting.default is not None
    return f" (default {_value(setting.default)})" if known else ""


def _value(value: Any) -> str:
    return value if value and isinstance(value, str) else json.dumps(value)


def _show_published(console: Console, published: Mapping[str, Any]) -> None:
    """Print the source's numbers: of returns after 0, 1, … units, or of problems by shots."""
    if not published:
        return
    rows, heading = {}, "published"
    for name, numbers in published.items():
        if isinstance(numbers, list):
            heading = "published mean returns: before adaptation, then after each unit"
            rows[name] = _numbers(numbers)
            continue
        for agent, table in numbers.items():
            after = f"after {_numbers(table['steps'])} steps"
            rows[f"{agent}, {name} shots"] = f"{_numbers(table['measures'])} {after}"
    _show_heading(console, heading)
    _show_rows(console, rows)


def _numbers(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" for value in values)
