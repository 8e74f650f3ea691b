"""Check that a plug-in keeps the promises that meta-training builds on, with reasons in words.

The exit code is 1 if it does not. Authors of plug-ins can run the same checks in their tests:
metarl.testing.check_task_env, and metarl.testing.check_agent for --agent.

A preset is checked with its own environment, keyword arguments and, up to 40 steps, horizon.

Examples:
  metarl check metarl_envs:metarl/Navigation2D-v0
  metarl check my_package:mine/Reach-v0 --horizon 100
  metarl check navigation-2d
  metarl check mine.toml
  metarl check --agent promp
  metarl check --agent my_module:SPEC
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from metarl.cli.output import print_line
from metarl.cli.parsing import parse


@dataclass(frozen=True)
class CheckArguments:
    """The arguments of `metarl check`."""

    subject: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV_ID|PRESET")] = ""
    """An environment, as package:namespace/Name-v0; or a preset of `metarl list`, or the path of a
    TOML file of your own."""
    agent: str = ""
    """An agent to check instead, by its name or as module:NAME of its AgentSpec."""
    horizon: int | None = None
    """Time limit to check with, in steps. None: the registered one or the preset's, at most 40."""
    seed: int = 1
    """Seeds all that is tried."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(CheckArguments, argv, prog="metarl check", description=__doc__ or "")
    # From here on torch is needed, which takes its time to import.
    from metarl.api.checking import check

    verdicts = check(**dataclasses.asdict(arguments))
    subject = arguments.subject or arguments.agent
    failed = sum(not verdict.passed for verdict in verdicts)
    console = Console(emoji=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for verdict in verdicts:
        mark = "[green]pass[/]" if verdict.passed else "[bold red]FAIL[/]"
        # Explanations hold shapes in brackets, which rich would read as markup.
        table.add_row(mark, verdict.name, verdict.explanation.replace("[", r"\["))
    console.print(table)
    if failed:
        print_line(console, f"{subject}: {failed} of {len(verdicts)} checks failed")
        return 1
    print_line(console, f"{subject} passes all {len(verdicts)} checks")
    return 0
