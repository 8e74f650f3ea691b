"""An evaluation of returns as `evaluation.json` holds it."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from metarl.config.reinforcement import Config
from metarl.experiments.curves import AdaptationCurve, interval_to_json
from metarl.experiments.interface import EvaluatedAgent, EvaluationCase
from metarl.tasks.distribution import Task, task_space, to_json


def record_of_returns(
    config: Config,
    environment: gym.Env[Any, Any],
    case: EvaluationCase,
    tasks: Sequence[Task],
    found: Sequence[EvaluatedAgent],
) -> dict[str, Any]:
    """Give an evaluation as JSON holds it: flat for one run, else under `curves` by agent.

    Args:
        config: of the evaluation.
        environment: knows how its tasks are written, and of which kind each is.
        case: what the tasks were drawn from.
        tasks: the held-out tasks.
        found: what was seen of each agent.

    """
    query = {"query_episodes": config.test_query_episodes} if config.test_query_episodes else {}
    evaluation = {
        "preset": config.name,
        "seed": config.seed,
        "episodes_per_task": config.test_episodes_per_task,
        **query,
        "task_range": {} if isinstance(case.tasks, list) else case.tasks,
        "tasks": to_json(task_space(environment), tasks),
    }
    kinds = kinds_of(environment, tasks)
    described = {one.agent: _as_json(one, kinds) for one in found}
    first = found[0]
    if len(found) == 1 and len(first.curves) == 1:
        alone = {"agent": first.agent, "iteration": first.iterations[0]}
        return {**evaluation, **alone, **described[first.agent]}
    return {**evaluation, "curves": described}


def kinds_of(environment: gym.Env[Any, Any], tasks: Sequence[Task]) -> dict[str, list[int]]:
    """Give the tasks of each kind, by their numbers; nothing where there are fewer than two."""
    if not environment.has_wrapper_attr("task_group"):
        return {}
    kinds: dict[str, list[int]] = {}
    for number, task in enumerate(tasks):
        kinds.setdefault(environment.get_wrapper_attr("task_group")(task), []).append(number)
    return kinds if len(kinds) > 1 else {}


def _as_json(found: EvaluatedAgent, kinds: Mapping[str, list[int]]) -> dict[str, Any]:
    joint = found.joint
    described: dict[str, Any] = {
        "unit": joint.unit,
        "iterations": list(found.iterations),
        "learning_rates": list(found.learning_rates),
        "adaptation_steps": list(range(len(joint.mean))),
        "mean_return": joint.mean.tolist(),
        "ci95": interval_to_json(joint.ci95),
        "gain": joint.gain,
        "gain_ci95": interval_to_json(joint.gain_ci95),
        "per_task_return": joint.per_task.tolist(),
        "env_steps": joint.env_steps,
        "phase_env_steps": list(joint.phase_env_steps),
        "experience": list(joint.experience),
    }
    if joint.trial is not None:
        described["trial_return"] = joint.trial.mean
        described["trial_ci95"] = interval_to_json(joint.trial.ci95)
    if joint.success is not None:
        described["mean_success"] = joint.success.mean.tolist()
        described["success_ci95"] = interval_to_json(joint.success.ci95)
        described["per_task_success"] = joint.success.per_task.tolist()
    if kinds:
        described["groups"] = means_of_kinds(joint, kinds)
    if found.seeds is None:
        return described
    described["over_seeds"] = {
        "mean_ci95": found.seeds.mean_ci95.tolist(),
        "iqm": found.seeds.iqm.tolist(),
        "iqm_ci95": found.seeds.iqm_ci95.tolist(),
    }
    described["runs"] = [
        {
            "run_dir": run_dir,
            "training_seed": seed,
            "iteration": iteration,
            "mean_return": curve.mean.tolist(),
            "per_task_return": curve.per_task.tolist(),
        }
        for run_dir, seed, iteration, curve in zip(
            found.run_dirs, found.training_seeds, found.iterations, found.curves, strict=True
        )
    ]
    return described


def means_of_kinds(
    curve: AdaptationCurve, kinds: Mapping[str, list[int]]
) -> dict[str, dict[str, Any]]:
    """Give each kind's number of tasks and its means after 0, 1, … units of adaptation."""
    means: dict[str, dict[str, Any]] = {}
    for kind, own in kinds.items():
        means[kind] = {"tasks": len(own), "mean_return": curve.per_task[own].mean(0).tolist()}
        if curve.success is not None:
            means[kind]["mean_success"] = curve.success.per_task[own].mean(0).tolist()
    return means
