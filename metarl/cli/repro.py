"""Repeat an episode that failed in training or evaluation.

A run that ends, or leaves out a task, because an environment failed keeps the episode in its run
folder: the environment, the task, the seed and all actions. Here it is played again in one
environment, without policy or workers, until it fails.

Examples:
  metarl repro runs/mine/failures/episode-12-0-3.json
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from metarl.cli.parsing import parse
from metarl.foundation.wording import counted


@dataclass(frozen=True)
class ReproArguments:
    """The arguments of `metarl repro`."""

    episode: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file that the message named."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code: 0 if the episode failed again."""
    arguments = parse(ReproArguments, argv, prog="metarl repro", description=__doc__ or "")
    from metarl.api.checking import repeat_episode

    repeated = repeat_episode(arguments.episode)
    print(f"recorded: {repeated.recorded}")
    if not repeated.failure:
        print(f"did not fail again in {counted(repeated.steps, 'step')}", file=sys.stderr)
        return 1
    separator = "," if repeated.trace else ":"
    print(f"failed again{separator} {repeated.failure}")
    sys.stderr.write(repeated.trace)
    return 0
