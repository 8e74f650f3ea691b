"""Adapt a trained policy to held-out tasks and print its returns before and after each step.

Fresh episodes are collected before every inner step and after the last. The run folder gets
evaluation.json. Defaults come from the run's preset. The held-out tasks have a seed of their own;
they are distributed as in training, or lie in another range that the preset names.

Examples:
  metarl evaluate runs/navigation-2d
  metarl evaluate runs/navigation-2d-halves --task-range right
  metarl evaluate runs/navigation-2d --adaptation-steps 5 --tasks 100 --seed 3
"""

import contextlib
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from metarl.cli.cores import checked_workers, usable_cores
from metarl.cli.parsing import parse
from metarl.errors import ConfigError
from metarl.run_folder import read_config, versions, write_evaluation


@dataclass(frozen=True)
class EvaluateArguments:
    """The arguments of `metarl evaluate`."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of a run."""
    adaptation_steps: int | None = None
    """Inner steps; may be more than in training. None: the preset's number."""
    tasks: int | None = None
    """Held-out tasks. None: the preset's number."""
    episodes_per_task: int | None = None
    """Episodes per task and phase. None: the preset's number."""
    task_range: str = ""
    """Draw the held-out tasks from this range of the preset. Empty: as in training."""
    seed: int = 1
    """Seeds the held-out tasks and their episodes; the same seed gives the same tasks."""
    workers: int | str = dataclasses.field(default_factory=usable_cores)
    """Worker processes; 1 works in this process. Or ray, or the address of a Ray cluster: one on
    each of its CPUs. The numbers do not depend on it."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(EvaluateArguments, argv, prog="metarl evaluate", description=__doc__ or "")
    given: dict[str, Any] = {
        "seed": arguments.seed,
        "test_adaptation_steps": arguments.adaptation_steps,
        "test_tasks": arguments.tasks,
        "test_episodes_per_task": arguments.episodes_per_task,
    }
    trained = read_config(arguments.run_dir)
    config = dataclasses.replace(
        trained, **{name: value for name, value in given.items() if value is not None}
    )
    named_range = config.train_range
    if arguments.task_range:
        if arguments.task_range not in config.test_ranges:
            raise ConfigError(
                f"there is no task range {arguments.task_range!r}; preset {config.preset!r} has "
                f"{', '.join(config.test_ranges) or 'none'}"
            )
        named_range = config.test_ranges[arguments.task_range]
    workers, note = checked_workers(arguments.workers, config.test_tasks)
    if note:
        print(f"metarl evaluate: {note}", file=sys.stderr)
    # From here on torch is needed, which takes its time to import.
    from rich.console import Console
    from rich.table import Table

    from metarl.cli.runs import build_experiment, load_newest_state
    from metarl.evaluation import evaluate
    from metarl.seeding import Split
    from metarl.tasks import sample_tasks, task_space, to_json

    experiment = build_experiment(config)
    state = load_newest_state(arguments.run_dir, experiment, "metarl evaluate")
    tasks = sample_tasks(
        experiment.environment, config.seed, (Split.TEST, 0), config.test_tasks, named_range
    )
    learning_rates = config.learning_rates_at_test(config.test_adaptation_steps)
    console = Console()
    with (
        console.status(f"adapting to {len(tasks)} held-out tasks"),
        contextlib.closing(
            experiment.start_workers(workers, len(tasks), config.test_episodes_per_task)
        ) as pool,
    ):
        curve = evaluate(pool, state.agent.theta, tasks, learning_rates, config.seed)

    steps = list(range(len(learning_rates) + 1))
    space = task_space(experiment.environment)
    evaluation = {
        "preset": config.preset,
        "iteration": state.iteration,
        "seed": config.seed,
        "episodes_per_task": config.test_episodes_per_task,
        "learning_rates": list(learning_rates),
        "adaptation_steps": steps,
        "mean_return": curve.mean_return.tolist(),
        "ci95": curve.ci95.tolist(),
        "per_task_return": curve.per_task_return.tolist(),
        "task_range": named_range,
        "tasks": to_json(space, tasks),
        "env_steps": curve.env_steps,
        "versions": versions(),
    }
    file = write_evaluation(arguments.run_dir, evaluation, arguments.task_range)

    where = f" of range {arguments.task_range}" if arguments.task_range else ""
    table = Table(
        title=f"{config.preset} after {state.iteration} iterations: mean return on "
        f"{len(tasks)} held-out tasks{where}"
    )
    for heading in ("adaptation steps", "mean return", "95 % confidence interval"):
        table.add_column(heading, justify="right")
    for step, mean, (low, high) in zip(steps, curve.mean_return, curve.ci95, strict=True):
        table.add_row(str(step), f"{mean:.2f}", f"[{low:.2f}, {high:.2f}]")
    console.print(table)
    console.print(f"written to {file}", soft_wrap=True)
    return 0
