"""Adapt trained policies to held-out tasks and print their returns before and after each step.

Fresh episodes are collected before every inner step and after the last. Defaults come from the
run's preset. The held-out tasks have a seed of their own, so that all runs meet the same ones. They
are distributed as in training and, where the preset names other ranges, lie in those as well (out
of distribution): each range has its own table, file and figure.

Where the environment says of success, the share of episodes that succeeded stands beside the
return; where its tasks are of several kinds, each kind's means do as well.

Several run folders of one agent are taken as seeds of one experiment: each task's return is its
mean over seeds, and the interquartile mean over seeds and tasks comes with it. Folders of different
agents, trained on the same tasks, share table and figure. --baselines adds the paper's: random,
pretrained and oracle. The oracle, which observes the task, takes no step.

The run folder, or --output, gets evaluation.json, evaluation.png and evaluation.svg.

Examples:
  metarl evaluate runs/navigation-2d
  metarl evaluate runs/navigation-2d-halves --task-range right
  metarl evaluate runs/navigation-2d --adaptation-steps 5 --tasks 100 --seed 3
  metarl evaluate runs/metaworld-ml10 --task-range test --tasks 50
  metarl evaluate runs/navigation-2d --baselines
  metarl evaluate runs/seed-1 runs/seed-2 runs/seed-3 --output runs/three-seeds
  metarl evaluate runs/sinusoid --help            a run on a supervised problem has its own options
"""

import contextlib
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from metarl.cli import supervised_evaluate
from metarl.cli.comparison import Group, group_runs, with_baselines
from metarl.cli.cores import checked_workers, usable_cores
from metarl.cli.parsing import parse
from metarl.cli.trained import run_folder
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError, RunFolderError

TRAINING_RANGE = "training"


@dataclass(frozen=True)
class EvaluateArguments:
    """The arguments of `metarl evaluate`."""

    run_dirs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR…")]
    """The folders of one run or several; or names of policies that come trained."""
    adaptation_steps: int | None = None
    """Inner steps; may be more than in training. None: the preset's number."""
    tasks: int | None = None
    """Held-out tasks. None: the preset's number."""
    episodes_per_task: int | None = None
    """Episodes per task and phase. None: the preset's number."""
    query_episodes: int | None = None
    """Episodes per task after the last step, where these are others; 0: as many as in the other
    phases. None: the preset's number."""
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
    depend on it."""
    worker_timeout: float = 0.0
    """Seconds without a sign of life after which a worker is replaced; 0: at least 60, and more
    where an iteration takes long."""
    worker_memory: int = 0
    """MiB above which a worker is replaced between two iterations; 0: no limit."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    if supervised_evaluate.means_a_problem(argv):
        return supervised_evaluate.run(argv)
    arguments = parse(EvaluateArguments, argv, prog="metarl evaluate", description=__doc__ or "")
    arguments = dataclasses.replace(arguments, run_dirs=tuple(map(run_folder, arguments.run_dirs)))
    if not arguments.run_dirs:
        raise ConfigError("name a run folder: metarl evaluate RUN_DIR…")
    groups = group_runs(arguments.run_dirs)
    if arguments.baselines:
        groups = with_baselines(groups, arguments.run_dirs[0])
    config = _for_test(groups[0].config, arguments)
    groups = [_as_tested(group, config) for group in groups]
    ranges = _ranges(config, arguments.task_range)
    output = _output(arguments)
    workers, note = checked_workers(arguments.workers, config.test_tasks)
    if note:
        print(f"metarl evaluate: {note}", file=sys.stderr)
    # From here on torch is needed, which takes its time to import.
    from rich.console import Console

    from metarl.cli.evaluation_output import GroupCurves, show_and_write
    from metarl.cli.runs import build_experiment, load_newest_state, untrained_state
    from metarl.cli.supervision import failures_kept, supervise
    from metarl.experiments.evaluation import evaluate, rates_at_test
    from metarl.foundation.seeding import Split
    from metarl.tasks.distribution import sample_tasks

    console = Console()
    found: dict[str, dict[str, GroupCurves]] = {name: {} for name in ranges}
    tasks: dict[str, list[Any]] = {}
    for group in groups:
        experiment = build_experiment(group.config)
        states = [
            load_newest_state(run_dir, experiment, "metarl evaluate")
            if run_dir
            else untrained_state(group.config, seed)
            for run_dir, seed in zip(group.run_dirs, group.seeds, strict=True)
        ]
        rates = group.config.learning_rates_at_test(group.config.test_adaptation_steps)
        pool = experiment.start_workers(
            workers,
            config.test_tasks,
            group.config.test_episodes_per_task,
            group.config.test_query_episodes,
            supervision=supervise(
                "metarl evaluate",
                arguments.run_dirs[0],
                arguments.worker_timeout,
                arguments.worker_memory,
            ),
        )
        with failures_kept(arguments.run_dirs[0]), contextlib.closing(pool):
            for name, task_range in ranges.items():
                tasks[name] = sample_tasks(
                    experiment.environment,
                    config.seed,
                    (Split.TEST, 0),
                    config.test_tasks,
                    task_range,
                )
                curves = []
                for run_dir, state in zip(group.run_dirs, states, strict=True):
                    with console.status(
                        f"{run_dir or group.config.agent}: adapting to {config.test_tasks} "
                        "held-out tasks"
                    ):
                        at_test = rates_at_test(state.agent, group.config)
                        curves.append(
                            evaluate(pool, state.agent.theta, tasks[name], at_test, config.seed)
                        )
                iterations = tuple(state.iteration for state in states)
                found[name][group.config.agent] = GroupCurves(group, iterations, rates, curves)
    for name, task_range in ranges.items():
        where = "" if name == TRAINING_RANGE and task_range == config.train_range else name
        show_and_write(
            console, output, where, task_range, tasks[name], experiment.environment, found[name]
        )
    return 0


def _for_test(config: Config, arguments: EvaluateArguments) -> Config:
    """Give the configuration to evaluate with."""
    given: dict[str, Any] = {
        "seed": arguments.seed,
        "test_adaptation_steps": arguments.adaptation_steps,
        "test_tasks": arguments.tasks,
        "test_episodes_per_task": arguments.episodes_per_task,
        "test_query_episodes": arguments.query_episodes,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(config, **changes)


def _as_tested(group: Group, first: Config) -> Group:
    """Give the group with the first one's protocol; who observes the task takes no step."""
    steps = 0 if group.config.observe_task else first.test_adaptation_steps
    config = dataclasses.replace(
        group.config,
        seed=first.seed,
        test_tasks=first.test_tasks,
        test_episodes_per_task=first.test_episodes_per_task,
        test_query_episodes=first.test_query_episodes,
        test_adaptation_steps=steps,
    )
    return dataclasses.replace(group, config=config)


def _ranges(config: Config, wanted: str) -> dict[str, Mapping[str, Any]]:
    """Give the ranges to draw held-out tasks from, by name."""
    known = {TRAINING_RANGE: config.train_range, **config.test_ranges}
    if not wanted:
        return known
    if wanted not in known:
        kind = "preset" if config.preset else "environment"
        raise ConfigError(
            f"there is no task range {wanted!r}; {kind} {config.name!r} has {', '.join(known)}"
        )
    return {wanted: known[wanted]}


def _output(arguments: EvaluateArguments) -> Path:
    """Give the folder to write into; it exists afterwards."""
    if arguments.output is None:
        if len(arguments.run_dirs) > 1:
            raise ConfigError("several runs are evaluated into a folder: name it by --output DIR")
        return arguments.run_dirs[0]
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make {arguments.output}: {error.strerror}") from error
    return arguments.output
