"""List presets, environments and agents, with the package that each comes from.

Examples:
  metarl list
"""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from metarl.cli.parsing import parse
from metarl.plugins import agent_names, environment_ids, load_agent, load_preset, preset_names
from metarl.tasks import make_environment, task_space


@dataclass(frozen=True)
class ListArguments:
    """`metarl list` takes no arguments."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    parse(ListArguments, argv, prog="metarl list", description=__doc__ or "")
    console = Console()
    presets = _table("presets", "preset", "what is learned", "source", "package")
    for origin in preset_names():
        config = load_preset(origin.name)
        presets.add_row(origin.name, config.description, config.source, origin.package)
    environments = _table("environments", "environment", "tasks", "package")
    for origin in environment_ids():
        environment = make_environment(origin.name, {})
        environments.add_row(origin.name, str(task_space(environment)), origin.package)
        environment.close()
    agents = _table("agents", "agent", "what it does", "source", "package")
    for origin in agent_names():
        spec = load_agent(origin.name)
        agents.add_row(origin.name, spec.description, spec.source, origin.package)
    for table in (presets, environments, agents):
        console.print(table)
    return 0


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    return table
