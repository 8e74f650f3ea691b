"""What `metarl evaluate` prints and writes for a task range: tables, a JSON file, a figure."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.table import Table

from metarl.cli.comparison import Group
from metarl.config.plugins import published_returns
from metarl.experiments.evaluation import (
    AdaptationCurve,
    SeedStatistics,
    describe_range,
    join_seeds,
    over_seeds,
)
from metarl.foundation.versions import versions
from metarl.reports.figures import adaptation_figure, save_figure
from metarl.runs.run_folder import write_evaluation
from metarl.tasks.distribution import Task, task_space, to_json


@dataclass(frozen=True)
class GroupCurves:
    """What was seen of one group of runs in one task range."""

    group: Group
    iterations: tuple[int, ...]
    """How long each run was trained."""
    learning_rates: tuple[float, ...]
    curves: list[AdaptationCurve]
    """Of each run."""

    @property
    def joint(self) -> AdaptationCurve:
        """The curve of the group."""
        if len(self.curves) == 1:
            return self.curves[0]
        return join_seeds(self.curves, self.group.config.seed)


def show_and_write(
    console: Console,
    output: Path,
    range_name: str,
    task_range: Mapping[str, Any],
    tasks: Sequence[Task],
    environment: gym.Env[Any, Any],
    found: Mapping[str, GroupCurves],
) -> None:
    """Print the table of one task range and write its files.

    Args:
        console: to print to.
        output: the folder to write into.
        range_name: its name; empty for the range of training.
        task_range: its ends; empty for the environment's own distribution.
        tasks: the held-out tasks.
        environment: knows how its tasks are written as JSON.
        found: by agent.

    """
    first = next(iter(found.values()))
    config = first.group.config
    joint = {agent: group.joint for agent, group in found.items()}
    seeds = {
        agent: over_seeds(group.curves, config.seed)
        for agent, group in found.items()
        if len(group.curves) > 1
    }
    evaluation = {
        "preset": config.name,
        "seed": config.seed,
        "episodes_per_task": config.test_episodes_per_task,
        **({"query_episodes": config.test_query_episodes} if config.test_query_episodes else {}),
        "task_range": task_range,
        "tasks": to_json(task_space(environment), tasks),
        "versions": versions(),
    }
    kinds = _kinds(environment, tasks)
    described = {
        agent: {
            **_as_json(group, joint[agent], seeds.get(agent)),
            **({"groups": _means_of_kinds(joint[agent], kinds)} if kinds else {}),
        }
        for agent, group in found.items()
    }
    if len(found) == 1 and len(first.curves) == 1:
        alone = {"agent": config.agent, "iteration": first.iterations[0]}
        evaluation = {**evaluation, **alone, **described[config.agent]}
    else:
        evaluation["curves"] = described
    file = write_evaluation(output, evaluation, range_name)
    which = describe_range(range_name, task_range, len(tasks))
    title = f"{config.name}: mean return on {which}"
    console.print(_over_tasks(title, found, joint))
    if kinds:
        console.print(_over_kinds(f"{config.name}: kinds of tasks, {which}", described))
    if seeds:
        console.print(_over_seeds(f"{title}; seeds, interquartile mean (IQM)", found, joint, seeds))
    published = {} if range_name else published_returns(config)
    figure = adaptation_figure(joint, published, f"{config.name}, {which}")
    written = [file, *save_figure(figure, file.with_suffix(""))]
    console.print(f"written to {', '.join(map(str, written))}", soft_wrap=True)


def _as_json(
    group: GroupCurves, joint: AdaptationCurve, seeds: SeedStatistics | None
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "learning_rates": list(group.learning_rates),
        "adaptation_steps": list(range(len(joint.mean_return))),
        "mean_return": joint.mean_return.tolist(),
        "ci95": joint.ci95.tolist(),
        "gain": joint.gain,
        "gain_ci95": joint.gain_ci95.tolist(),
        "per_task_return": joint.per_task_return.tolist(),
        "env_steps": joint.env_steps,
    }
    if joint.success is not None:
        described["mean_success"] = joint.success.mean.tolist()
        described["success_ci95"] = joint.success.ci95.tolist()
        described["per_task_success"] = joint.success.per_task.tolist()
    if seeds is None:
        return described
    described["over_seeds"] = {
        "mean_ci95": seeds.mean_ci95.tolist(),
        "iqm": seeds.iqm.tolist(),
        "iqm_ci95": seeds.iqm_ci95.tolist(),
    }
    described["runs"] = [
        {
            "run_dir": str(run_dir) if run_dir else None,
            "training_seed": seed,
            "iteration": iteration,
            "mean_return": curve.mean_return.tolist(),
            "per_task_return": curve.per_task_return.tolist(),
        }
        for run_dir, seed, iteration, curve in zip(
            group.group.run_dirs, group.group.seeds, group.iterations, group.curves, strict=True
        )
    ]
    return described


def _over_tasks(
    title: str, found: Mapping[str, GroupCurves], joint: Mapping[str, AdaptationCurve]
) -> Table:
    """Make the table of means over tasks, and of the gain, with a section for each agent."""
    headings = ["adaptation steps", "mean return", "95 % interval over tasks"]
    if any(curve.success is not None for curve in joint.values()):
        headings += ["success", "95 % interval"]
    table = _new_table(title, *headings)
    for agent, curve in joint.items():
        rows = [
            [str(step), f"{mean:.2f}", _interval(interval), *_success(curve, step)]
            for step, (mean, interval) in enumerate(zip(curve.mean_return, curve.ci95, strict=True))
        ]
        if (last := len(rows) - 1) > 0:
            rows.append([f"gain, 0 → {last}", f"{curve.gain:+.2f}", _interval(curve.gain_ci95)])
        _add_section(table, found[agent], rows)
    return table


def _success(curve: AdaptationCurve, step: int) -> list[str]:
    if curve.success is None:
        return []
    low, high = curve.success.ci95[step]
    return [f"{curve.success.mean[step]:.1%}", f"[{low:.1%}, {high:.1%}]"]


def _kinds(environment: gym.Env[Any, Any], tasks: Sequence[Task]) -> dict[str, list[int]]:
    """Give the tasks of each kind, by their numbers; nothing where there are fewer than two."""
    if not environment.has_wrapper_attr("task_group"):
        return {}
    kinds: dict[str, list[int]] = {}
    for number, task in enumerate(tasks):
        kinds.setdefault(environment.get_wrapper_attr("task_group")(task), []).append(number)
    return kinds if len(kinds) > 1 else {}


def _means_of_kinds(
    curve: AdaptationCurve, kinds: Mapping[str, list[int]]
) -> dict[str, dict[str, Any]]:
    """Give each kind's number of tasks and its means after 0, 1, … steps."""
    means: dict[str, dict[str, Any]] = {}
    for kind, own in kinds.items():
        means[kind] = {
            "tasks": len(own),
            "mean_return": curve.per_task_return[own].mean(0).tolist(),
        }
        if curve.success is not None:
            means[kind]["mean_success"] = curve.success.per_task[own].mean(0).tolist()
    return means


def _over_kinds(title: str, described: Mapping[str, Mapping[str, Any]]) -> Table:
    """Make the table of each kind's means before adaptation and after the last step."""
    table = _new_table(title, "kind", "tasks", "mean return", "success")
    for agent, found in described.items():
        for kind, means in found["groups"].items():
            table.add_row(
                agent,
                kind,
                str(means["tasks"]),
                _first_to_last(means["mean_return"], "{:.2f}"),
                _first_to_last(means.get("mean_success", []), "{:.1%}"),
            )
        table.add_section()
    return table


def _first_to_last(means: Sequence[float], form: str) -> str:
    return " → ".join(form.format(mean) for mean in dict.fromkeys([*means[:1], *means[-1:]]))


def _over_seeds(
    title: str,
    found: Mapping[str, GroupCurves],
    joint: Mapping[str, AdaptationCurve],
    seeds: Mapping[str, SeedStatistics],
) -> Table:
    """Make the table of what several seeds say, with a section for each agent."""
    table = _new_table(title, "steps", "mean", "95 % interval", "IQM", "95 % interval")
    for agent, statistics in seeds.items():
        rows = [
            [
                str(step),
                f"{joint[agent].mean_return[step]:.2f}",
                _interval(statistics.mean_ci95[step]),
                f"{statistics.iqm[step]:.2f}",
                _interval(statistics.iqm_ci95[step]),
            ]
            for step in range(len(statistics.iqm))
        ]
        _add_section(table, found[agent], rows)
    return table


def _new_table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    table.add_column("agent")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _add_section(table: Table, group: GroupCurves, rows: Sequence[Sequence[str]]) -> None:
    """Add an agent's rows, and beside them what it is."""
    fewest, most = min(group.iterations), max(group.iterations)
    trained = f"{most}" if fewest == most else f"{fewest} to {most}"
    about = [group.group.config.agent, f"{trained} iterations"]
    if len(group.curves) > 1:
        about.insert(1, f"{len(group.curves)} seeds")
    beside = [*about[: len(rows) - 1], "\n".join(about[len(rows) - 1 :])]
    for label, row in itertools.zip_longest(beside, rows, fillvalue=""):
        table.add_row(label, *row)
    table.add_section()


def _interval(ends: Any) -> str:
    low, high = ends
    return f"[{low:.2f}, {high:.2f}]"
