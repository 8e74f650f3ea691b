"""Check that an environment keeps the promises that meta-training builds on, with reasons in words.

The exit code is 1 if it does not. Authors of plug-ins can run the same checks in their tests:
metarl.testing.check_task_env.

Examples:
  metarl check metarl_envs:metarl/Navigation2D-v0
  metarl check my_package:mine/Reach-v0 --horizon 100
"""

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from metarl.cli.parsing import parse
from metarl.errors import ConfigError


@dataclass(frozen=True)
class CheckArguments:
    """The arguments of `metarl check`."""

    env_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV_ID")]
    """The environment, as package:namespace/Name-v0."""
    horizon: int | None = None
    """Time limit to check with, in steps. None: the registered one, at most 40."""
    seed: int = 1
    """Seeds the tasks, episodes and actions that are tried."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(CheckArguments, argv, prog="metarl check", description=__doc__ or "")
    for name, least in (("horizon", 1), ("seed", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} = {value} must be at least {least}")
    from metarl.testing import check_task_env

    verdicts = check_task_env(arguments.env_id, horizon=arguments.horizon, seed=arguments.seed)
    failed = sum(not verdict.passed for verdict in verdicts)
    console = Console()
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
        console.print(f"{arguments.env_id}: {failed} of {len(verdicts)} checks failed")
        return 1
    console.print(f"{arguments.env_id} passes all {len(verdicts)} checks")
    return 0
