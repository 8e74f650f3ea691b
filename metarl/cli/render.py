"""Show a trained policy on held-out tasks, before adaptation and after each step, side by side.

There is a clip for each task, in RUN_DIR/videos unless --output says where, and beside it a JSON
file of the same name with what its episodes paid, for the report. The clip's ending chooses the
format: .mp4, .webp or .gif. No display is needed. Actions are the policy's most likely ones, and
every phase starts alike; adaptation itself samples its episodes as evaluation does.

Examples:
  metarl render runs/navigation-2d
  metarl render runs/navigation-2d --task "[0.3, 0.2]" --adaptation-steps 2 --output clip.mp4
  metarl render runs/half-cheetah-dir --tasks 4 --output cheetah.webp
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from metarl.cli.output import TaskProgress, new_console, print_line
from metarl.cli.parsing import parse, parse_task


@dataclass(frozen=True)
class RenderArguments:
    """The arguments of `metarl render`."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of a run; or the name of a policy that comes trained (`metarl list`), or a run on
    the Hugging Face hub, as hf://USER/NAME."""
    output: Path | None = None
    """The file; with more than one task, -1, -2, … come before its ending.
    None: RUN_DIR/videos/task.mp4."""
    adaptation_steps: int | None = None
    """Steps of adaptation. None: the preset's number for evaluation."""
    tasks: int = 1
    """Held-out tasks to draw."""
    task: str = ""
    """One task, as JSON, in place of drawn ones."""
    seed: int = 1
    """Seeds the held-out tasks and their episodes."""
    fps: int = 20
    """Frames a second."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(RenderArguments, argv, prog="metarl render", description=__doc__ or "")
    task = parse_task(arguments.task)
    # From here on torch is needed, which takes its time to import.
    from metarl.api.run import Run

    console = new_console()
    with TaskProgress(console).shown() as progress:
        files = Run(arguments.run_dir).render(
            arguments.tasks,
            task=task,
            adaptation_steps=arguments.adaptation_steps,
            output=arguments.output,
            fps=arguments.fps,
            seed=arguments.seed,
            progress=progress,
        )
    for file in files:
        print_line(console, f"written to {file}")
    return 0
