"""Write one page about a run, or about several beside each other.

The page is complete in itself: what was trained, learning curves, adaptation curves beside
published numbers, every task's return, paths where tasks are goals in the plane, and the clips of
the run folder. What `metarl evaluate` and `metarl render` have not made yet is named with the
command that makes it. Runs of one agent are drawn together as seeds.

Examples:
  metarl report runs/navigation-2d
  metarl report runs/navigation-2d runs/navigation-2d-pretrained -o compared.html
"""

import contextlib
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from metarl.cli.parsing import parse
from metarl.cli.trained import run_folder
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_any_config

if TYPE_CHECKING:
    from metarl.reports.report import Run
    from metarl.reports.report_figures import TaskPaths

_PATHS_SHOWN = 4
_SEED = 1


@dataclass(frozen=True)
class ReportArguments:
    """The arguments of `metarl report`."""

    run_dirs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR…")]
    """The folders of one run or several; or names of policies that come trained."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page. None: report.html in the first run folder."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ReportArguments, argv, prog="metarl report", description=__doc__ or "")
    arguments = dataclasses.replace(arguments, run_dirs=tuple(map(run_folder, arguments.run_dirs)))
    if not arguments.run_dirs:
        raise ConfigError("name a run folder: metarl report RUN_DIR…")
    output = arguments.output or arguments.run_dirs[0] / "report.html"
    # From here on torch is needed, which takes its time to import.
    from metarl.reports.report import read_run, write_page, write_report

    if isinstance(read_any_config(arguments.run_dirs[0]), SupervisedConfig):
        from metarl.reports.supervised_report import read_supervised_run, render_supervised_page

        found = [read_supervised_run(run_dir) for run_dir in dict.fromkeys(arguments.run_dirs)]
        write_page(output, render_supervised_page(found))
        print(f"written to {output}; open it in a browser")
        return 0
    runs = [read_run(run_dir) for run_dir in dict.fromkeys(arguments.run_dirs)]
    first_of_groups = {each.group: each for each in reversed(runs)}
    paths = [found for each in runs if each in first_of_groups.values() for found in _paths(each)]
    write_report(output, runs, paths)
    print(f"written to {output}; open it in a browser")
    return 0


def _paths(run: "Run") -> list["TaskPaths"]:
    """Give a policy's paths, if it moves in the plane towards a goal there."""
    import gymnasium as gym
    import numpy as np

    from metarl.cli.runs import build_experiment, load_newest_state
    from metarl.experiments.evaluation import adapted_parameters, play, rates_at_test
    from metarl.foundation.seeding import Split
    from metarl.reports.report_figures import TaskPaths
    from metarl.tasks.distribution import sample_tasks, task_space
    from metarl.workers.shards import Shard, ShardSpec

    config = dataclasses.replace(run.config, seed=_SEED)
    if not run.versions or config.observe_task:
        return []
    try:
        experiment = build_experiment(config)
    except ConfigError as error:  # of a package that is not installed here
        print(f"metarl report: no paths of {run.run_dir}: {error}", file=sys.stderr)
        return []
    environment = experiment.environment
    spaces = (environment.observation_space, task_space(environment))
    if any(not isinstance(space, gym.spaces.Box) or space.shape != (2,) for space in spaces):
        return []
    state = load_newest_state(run.run_dir, experiment, "metarl report")
    tasks = sample_tasks(
        environment, config.seed, (Split.TEST, 0), _PATHS_SHOWN, config.train_range
    )
    spec = ShardSpec(config, experiment.policy, config.test_episodes_per_task, range(len(tasks)))
    with contextlib.closing(Shard(spec)) as shard:
        phases = adapted_parameters(
            shard, state.agent.theta, tasks, rates_at_test(state.agent, config)
        )
        paths = [
            [
                np.array([at for at, _ in play(shard, environment, parameters, task, _SEED)])
                for parameters in each
            ]
            for task, each in zip(tasks, phases, strict=True)
        ]
    title = f"{config.name}, {config.agent}, seed {run.config.seed}"
    return [TaskPaths(title, np.array(tasks), paths)]
