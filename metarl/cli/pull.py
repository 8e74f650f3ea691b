"""Fetch a run from the Hugging Face hub into a run folder of your own.

The other verbs do so by themselves where hf://USER/NAME stands for a run folder: they use the copy
in runs/hub. This verb is for another folder, to go on with the training, and for --trust.

Fetched are only files of the kinds that a run has: safetensors, JSON, pictures and clips, which are
checked by their checksums; nothing is unpickled. A run whose configuration names code as
module:name, which is of no plug-in installed here, is refused, since that code would be run. Where
the hub does not answer, or HF_HUB_OFFLINE is set, what was fetched before is used.

Examples:
  metarl pull USER/navigation-2d
  metarl pull hf://USER/navigation-2d@seed-2 --run-dir runs/theirs
  metarl train --run-dir runs/theirs --resume --iterations 200
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True)
class PullArguments:
    """The arguments of `metarl pull`."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="USER/NAME")] = ""
    """The model repository; with @REVISION behind it, a branch, a tag or a commit of it."""
    run_dir: Path | None = None
    """The folder, new or one that holds this run already. None: runs/hub/USER--NAME@COMMIT."""
    trust: bool = False
    """Take a run that names code of no installed plug-in. That code, as it is installed here, is
    run with all that you may do, and with arguments that the run's maker has chosen."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(PullArguments, argv, prog="metarl pull", description=__doc__ or "")
    if not arguments.run:
        raise ConfigError("name a repository: metarl pull USER/NAME")
    # From here on torch is needed, which takes its time to import.
    from metarl.api.run import load

    named = arguments.run if arguments.run.startswith("hf:") else f"hf://{arguments.run}"
    fetched = load(named, run_dir=arguments.run_dir, trust=arguments.trust)
    print(f"{fetched.run_dir}: {fetched.config.agent} on {fetched.config.name}")
    return 0
