"""Evaluations as run folders hold them: of episodes, and of the query sets of a problem."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config.supervised import SupervisedConfig
from metarl.experiments.curves import GRADIENT_STEP, AdaptationCurve, SuccessCurve, TrialReturn
from metarl.experiments.problem_evaluation import describe_shots
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import read_json
from metarl.foundation.wording import counted
from metarl.reports.figures import Panel
from metarl.runs.run_folder import LARGEST_EVALUATION
from metarl.tasks.distribution import describe_range

_RETURN = "mean return"


@dataclass(frozen=True)
class Evaluation:
    """What `metarl evaluate` wrote into one file, as far as a page shows it."""

    measure: str
    which: str
    """What was measured on which held-out tasks, and how many they are."""
    identity: str
    """The same where the held-out tasks are the same."""
    tasks: Any
    """The tasks as their space writes them as JSON; empty: the file has only their number."""
    curves: dict[int, dict[str, AdaptationCurve]]
    """By the shots adapted to, 0 where it was to episodes, and by agent; an empty name: the run's.
    """
    iterations: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of each agent, those that its runs had, a number for each seed; it may not be recorded."""

    @property
    def of_returns(self) -> bool:
        """Whether returns of episodes were measured."""
        return self.measure == _RETURN


def range_of(file: Path) -> str:
    """Give the task range that an evaluation's file is named after; empty: that of training."""
    return file.stem.removeprefix("evaluation").removeprefix("-")


def read_evaluation(file: Path) -> Evaluation:
    """Read what `metarl evaluate` wrote.

    Raises:
        RunFolderError: it cannot be read, or is no evaluation.

    """
    found = read_json(file, LARGEST_EVALUATION)
    try:
        return _of_measures(found) if "measure" in found else _of_returns(found, range_of(file))
    except Exception as error:  # what somebody else wrote may break its reader anywhere
        raise RunFolderError(
            f"{file} is no evaluation: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        ) from error


def curves_by_shots(
    described: Sequence[Mapping[str, Any]], tasks: int
) -> dict[int, dict[str, AdaptationCurve]]:
    """Give the curves that an evaluation of a problem describes, by shots and agent.

    Args:
        described: each curve, as `metarl.experiments.problem_evaluation.as_json` gives it.
        tasks: how many held-out tasks there were.

    Raises:
        ValueError: something is not what it should be.

    """
    curves: dict[int, dict[str, AdaptationCurve]] = {}
    for each in described:
        shots = _whole(each, "shots")
        curves.setdefault(shots, {})[str(each["agent"])] = _curve_of_measures(each, tasks)
    return curves


def panels_by_shots(
    curves: Mapping[int, Mapping[str, AdaptationCurve]], config: SupervisedConfig
) -> list[Panel]:
    """Give a problem's panels, one for each number of shots, with what its source gives."""
    return [
        Panel(describe_shots(shots), by_agent, config.published_measures(shots))
        for shots, by_agent in curves.items()
    ]


def _of_measures(found: Mapping[str, Any]) -> Evaluation:
    measure, tasks = found["measure"], _whole(found, "tasks")
    if not isinstance(measure, str):
        raise ValueError(f"measure = {measure!r} is no text")
    curves = curves_by_shots(found["curves"], tasks)
    if not curves:
        raise ValueError("it has no curves")
    same = ("problem", "problem_settings", "measure", "seed", "tasks", "queries")
    iterations = {
        str(each["agent"]): (int(each["iteration"]),) * len(each.get("training_seeds", [0]))
        for each in found["curves"]
        if "iteration" in each
    }
    return Evaluation(
        measure=measure,
        which=f"{measure} on {counted(tasks, 'held-out task')}",
        identity=json.dumps([found.get(name) for name in same]),
        tasks=(),
        curves=curves,
        iterations=iterations,
    )


def _curve_of_measures(described: Mapping[str, Any], tasks: int) -> AdaptationCurve:
    mean = _numbers(described, "mean")
    nowhere = np.empty((0, len(mean)))
    curve = AdaptationCurve(
        per_task=_numbers(described, "per_task") if "per_task" in described else nowhere,
        mean=mean,
        ci95=_numbers(described, "ci95"),
        gain=float(mean[-1] - mean[0]),
        gain_ci95=np.full(2, np.nan),
        env_steps=0,
    )
    _check_curve(curve, tasks if "per_task" in described else 0)
    return curve


def _of_returns(found: Mapping[str, Any], range_name: str) -> Evaluation:
    described = found.get("curves", {"": found})
    curves = {name: _curve_of_returns(curve) for name, curve in described.items()}
    if not curves:
        raise ValueError("it has no curves")
    # Not the length of the tasks: those of several parts are written part by part.
    count = len(next(iter(curves.values())).per_task)
    for curve in curves.values():
        _check_curve(curve, count)
    alone = [found["iteration"]] if "iteration" in found else []
    iterations = {
        name: tuple(map(int, curve.get("iterations", alone))) for name, curve in described.items()
    }
    return Evaluation(
        measure=_RETURN,
        which=describe_range(range_name, found.get("task_range", {}), count),
        identity=json.dumps(found["tasks"]),
        tasks=found["tasks"],
        curves={0: curves},
        iterations=iterations,
    )


def _curve_of_returns(described: Mapping[str, Any]) -> AdaptationCurve:
    success = None
    if "mean_success" in described:
        success = SuccessCurve(
            per_task=_numbers(described, "per_task_success"),
            mean=_numbers(described, "mean_success"),
            ci95=_numbers(described, "success_ci95"),
        )
    trial = None
    if "trial_return" in described:
        trial = TrialReturn(float(described["trial_return"]), _numbers(described, "trial_ci95"))
    return AdaptationCurve(
        per_task=_numbers(described, "per_task_return"),
        mean=_numbers(described, "mean_return"),
        ci95=_numbers(described, "ci95"),
        gain=float(described["gain"]),
        gain_ci95=_numbers(described, "gain_ci95"),
        env_steps=int(described["env_steps"]),
        experience=tuple(map(float, described.get("experience", ()))),
        unit=str(described.get("unit", GRADIENT_STEP)),
        success=success,
        trial=trial,
    )


def _numbers(described: Mapping[str, Any], name: str) -> np.ndarray:
    return np.array(described[name], dtype=np.float64)


def _whole(described: Mapping[str, Any], name: str) -> int:
    value = described[name]
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} = {value!r} is no positive whole number")
    return value


def _check_curve(curve: AdaptationCurve, tasks: int) -> None:
    steps = len(curve.mean)
    shapes = [
        (curve.per_task.shape, (tasks, steps)),
        (curve.mean.shape, (steps,)),
        (curve.ci95.shape, (steps, 2)),
        (curve.gain_ci95.shape, (2,)),
    ]
    if curve.experience:
        shapes.append((np.shape(curve.experience), (steps,)))
    if curve.success is not None:
        shapes += [
            (curve.success.per_task.shape, (tasks, steps)),
            (curve.success.mean.shape, (steps,)),
            (curve.success.ci95.shape, (steps, 2)),
        ]
    for found, expected in shapes:
        if found != expected or not steps:
            raise ValueError(f"an array has the shape {found}, not {expected}")
