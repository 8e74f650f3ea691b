"""Adapt trained policies to held-out tasks and print how they do before and after each step.

Fresh episodes are collected before every step of adaptation and after the last. Defaults come from
the run's preset. The held-out tasks have a seed of their own, so that all runs meet the same ones.
They are distributed as in training and, where the preset names other ranges, lie in those as well
(out of distribution): each range has its own table, file and figure. A run on a supervised problem
is measured by mean squared error or accuracy, for each number of examples to adapt to (--shots).

Where the environment says of success, the share of episodes that succeeded stands beside the
return; where its tasks are of several kinds, each kind's means do as well.

Several run folders of one agent are taken as seeds of one experiment: each task's number is its
mean over seeds, and the interquartile mean over seeds and tasks comes with it. Folders of different
agents, trained on the same tasks, share table and figure. --baselines adds the paper's: random,
pretrained and oracle. The oracle, which observes the task, takes no step. Beside an agent that
adapts by the episode stand methods that are not learned, as far as they fit the environment.

The run folder, or --output, gets evaluation.json, evaluation.png and evaluation.svg. With --json a
list is printed in place of tables: what evaluation.json holds, an object for each range of tasks.
Progress is said on standard error then.

Examples:
  metarl evaluate runs/navigation-2d
  metarl evaluate runs/navigation-2d-halves --task-range right
  metarl evaluate runs/navigation-2d --adaptation-steps 5 --tasks 100 --seed 3
  metarl evaluate runs/navigation-2d --learning-rates 0.5 0.1
  metarl evaluate runs/metaworld-ml10 --task-range test --tasks 50
  metarl evaluate runs/navigation-2d --baselines
  metarl evaluate runs/seed-1 runs/seed-2 runs/seed-3 --output runs/three-seeds
  metarl evaluate runs/sinusoid --baselines --shots 5 10 20
  metarl evaluate runs/navigation-2d --json | jq '.[0].mean_return'
"""

import contextlib
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from metarl.cli.output import TaskProgress, new_console, print_line
from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError
from metarl.workers.cores import usable_cores


@dataclass(frozen=True)
class EvaluateArguments:
    """The arguments of `metarl evaluate`."""

    run_dirs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR…")]
    """The folders of one run or several; or names of policies that come trained, or runs on the
    Hugging Face hub, as hf://USER/NAME or hf://USER/NAME@REVISION."""
    adaptation_steps: int | None = None
    """Steps of adaptation; may be more than in training. None: the preset's number."""
    tasks: int | None = None
    """Held-out tasks. None: the preset's number."""
    episodes_per_task: int | None = None
    """Episodes per task and phase. None: the preset's number."""
    query_episodes: int | None = None
    """Episodes per task after the last step, where these are others; 0: as many as in the other
    phases. None: the preset's number."""
    learning_rates: tuple[float, ...] | None = None
    """Step sizes α of gradient steps, one a step, the last repeated. None: the preset's."""
    shots: tuple[int, ...] | None = None
    """Of a supervised problem: examples to adapt to, each number in turn; of each class, for a
    classification. None: the preset's numbers."""
    queries: int | None = None
    """Of a supervised problem: examples to judge by; likewise. None: the preset's number."""
    task_range: str = ""
    """Draw the held-out tasks from this range of the preset alone; `training` is the one trained
    on. Empty: from that and every other that the preset names, one after the other."""
    baselines: bool = False
    """Compare with the baselines. Those that are trained (`metarl train PRESET --agent NAME`) are
    looked for beside the first run, as PRESET-NAME, unless they are among the RUN_DIRs."""
    output: Path | None = None
    """The folder for what is written. None: the run folder, if there is only one."""
    seed: int = 1
    """Seeds the held-out tasks and their episodes; the same seed gives the same tasks."""
    workers: int | str = dataclasses.field(default_factory=usable_cores)
    """Worker processes; 0: this process does all the work, and dies with an environment that
    crashes. Or ray, or the address of a Ray cluster: one on each of its CPUs. The numbers do not
    depend on it, and a supervised problem needs none."""
    worker_timeout: float = 0.0
    """Seconds without a sign of life after which a worker is replaced; 0: at least 60, and more
    where an iteration takes long. On Ray the only sign is a reply, and the first is waited for."""
    worker_memory: int = 0
    """MiB above which a worker is replaced between two iterations; 0: no limit. Ray has its own."""
    json: bool = False
    """Print JSON."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(EvaluateArguments, argv, prog="metarl evaluate", description=__doc__ or "")
    if not arguments.run_dirs:
        raise ConfigError("name a run folder: metarl evaluate RUN_DIR…")
    # From here on torch is needed, which takes its time to import.
    from metarl.api.evaluation import evaluate
    from metarl.api.tables import tables_of

    console = new_console(sys.stderr if arguments.json else None)
    options = {
        item.name: getattr(arguments, item.name)
        for item in dataclasses.fields(arguments)
        if item.name not in ("run_dirs", "json")
    }
    with contextlib.ExitStack() as stack:
        if arguments.json:  # what an environment prints is no JSON
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        progress = stack.enter_context(TaskProgress(console).shown())
        found = evaluate(arguments.run_dirs, **options, save=True, progress=progress)
    if arguments.json:
        print(json.dumps([evaluation.to_json() for evaluation in found], indent=2))
        return 0
    for evaluation in found:
        for table in tables_of(evaluation):
            console.print(table)
        files = ", ".join(map(str, evaluation.files))
        print_line(console, f"written to {files}")
    return 0
