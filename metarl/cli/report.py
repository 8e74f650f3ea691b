"""Write one page about a run, or about several beside each other.

The page is complete in itself. A summary says what was trained, how well, beside published numbers,
how long, and by which command. Below stand learning curves, adaptation curves, every task's return,
paths where tasks are goals in the plane, policies to try where the environment has a part for it,
and the clips of the run folder; every figure has a table of its numbers. What `metarl evaluate` and
`metarl render` have not made yet is named with the command that makes it. Runs of one agent are
drawn together as seeds.

Examples:
  metarl report runs/navigation-2d
  metarl report runs/navigation-2d runs/navigation-2d-pretrained -o compared.html
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True)
class ReportArguments:
    """The arguments of `metarl report`."""

    run_dirs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR…")]
    """The folders of one run or several; or names of policies that come trained, or runs on the
    Hugging Face hub, as hf://USER/NAME or hf://USER/NAME@REVISION."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page. None: report.html in the run folder, if there is only one."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ReportArguments, argv, prog="metarl report", description=__doc__ or "")
    if not arguments.run_dirs:
        raise ConfigError("name a run folder: metarl report RUN_DIR…")
    # From here on torch is needed, which takes its time to import.
    from metarl.api.run import report

    file = report(arguments.run_dirs, arguments.output)
    print(f"written to {file}; open it in a browser")
    return 0
