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

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from metarl.cli.parsing import parse
from metarl.config.plugins import load_preset, preset_names
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import registered


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
    for name, least in (("horizon", 1), ("seed", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} = {value} must be at least {least}")
    if bool(arguments.subject) == bool(arguments.agent):
        raise ConfigError("name an environment or a preset: metarl check ENV_ID; or --agent NAME")
    # From here on torch is needed, which takes its time to import.
    from metarl.testing import check_agent, check_task_env

    if arguments.agent:
        verdicts = check_agent(arguments.agent, seed=arguments.seed)
    else:
        env_id, env_kwargs, horizon = _environment(arguments)
        verdicts = check_task_env(env_id, env_kwargs, horizon=horizon, seed=arguments.seed)
    subject = arguments.subject or arguments.agent
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
        console.print(f"{subject}: {failed} of {len(verdicts)} checks failed")
        return 1
    console.print(f"{subject} passes all {len(verdicts)} checks")
    return 0


def _environment(arguments: CheckArguments) -> tuple[str, dict[str, Any], int | None]:
    """Give id, keyword arguments and horizon of the environment to check."""
    from metarl.testing.kit import LONGEST_EPISODE

    subject = arguments.subject
    presets = [origin.name for origin in preset_names()]
    if subject.endswith(".toml") or subject in presets:
        config = load_preset(subject)
        horizon = arguments.horizon or min(config.horizon, LONGEST_EPISODE)
        return config.env_id, config.env_kwargs, horizon
    try:
        registered(subject)
    except ConfigError as error:
        near = get_close_matches(subject, presets, n=1)
        hint = f"; or did you mean the preset {near[0]!r}?" if near else ""
        raise ConfigError(f"{error}{hint}") from error
    return subject, {}, arguments.horizon
