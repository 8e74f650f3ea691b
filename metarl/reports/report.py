"""A page about one run or several, complete in itself: figures and videos are part of the file."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from metarl import __version__
from metarl.config.plugins import published_returns
from metarl.config.reinforcement import Config
from metarl.experiments.curves import AdaptationCurve, SuccessCurve
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import MEBIBYTE, read_bytes, read_json, write_whole
from metarl.reports import report_figures
from metarl.reports.figures import adaptation_figure
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.metrics import read_metrics
from metarl.runs.provenance import read_sessions, summary_of
from metarl.runs.run_folder import read_config
from metarl.tasks.distribution import describe_range

_LARGEST_EVALUATION = 256 * MEBIBYTE
_LARGEST_VIDEO = 256 * MEBIBYTE
_VIDEO_TYPES = {".mp4": "video/mp4", ".webp": "image/webp", ".gif": "image/gif"}


@dataclass(frozen=True)
class Run:
    """What a run folder holds, as far as a page shows it."""

    run_dir: Path
    config: Config
    records: list[dict[str, Any]]
    """One of each iteration."""
    versions: dict[str, str]
    """Of what wrote the newest checkpoint; empty: there is none."""
    evaluations: dict[str, dict[str, Any]]
    """By task range; the range of training is called training."""
    videos: list[Path]
    sessions: list[str]
    """Start and resumes, a line each."""

    @property
    def group(self) -> tuple[str, str]:
        """What runs that differ in their seed have in common."""
        return self.config.name, self.config.agent


@dataclass(frozen=True)
class EvaluatedTasks:
    """Adaptation curves on the same held-out tasks."""

    preset: str
    which: str
    """Which held-out tasks, and how many."""
    tasks: Any
    curves: dict[str, AdaptationCurve]
    published: dict[str, list[float]]

    @cached_property
    def title(self) -> str:
        """Name preset, number of tasks and range."""
        return f"{self.preset}: {self.which}"


@dataclass(frozen=True)
class Picture:
    """A figure on the page."""

    source: str
    """As a data URI."""
    text: str
    """What it shows, for those who do not see it."""


def read_run(run_dir: Path) -> Run:
    """Read a run folder.

    Raises:
        RunFolderError: it is none, or something in it cannot be read.

    """
    config = read_config(run_dir)
    evaluations = {}
    for file in sorted(run_dir.glob("evaluation*.json")):
        name = file.stem.removeprefix("evaluation").removeprefix("-") or "training"
        evaluations[name] = read_evaluation(file)
    return Run(
        run_dir=run_dir,
        config=config,
        records=read_metrics(run_dir),
        versions=Checkpoints(run_dir).newest_versions(),
        evaluations=evaluations,
        videos=sorted(it for it in run_dir.glob("videos/*") if it.suffix in _VIDEO_TYPES),
        sessions=[summary_of(session) for session in read_sessions(run_dir)],
    )


def write_report(
    file: Path, runs: Sequence[Run], paths: Sequence[report_figures.TaskPaths]
) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        file: where to.
        runs: at least one.
        paths: of the policies in the plane, where tasks are goals there; may be empty.

    Raises:
        RunFolderError: the file cannot be written.

    """
    write_page(file, render_page(runs, paths))


def write_page(file: Path, page: str) -> None:
    """Write a page that is there; it appears whole or not at all.

    Raises:
        RunFolderError: the file cannot be written.

    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror}") from error
    write_whole(file, page.encode())


def render_page(runs: Sequence[Run], paths: Sequence[report_figures.TaskPaths] = ()) -> str:
    """Give the page as HTML; arguments as for `write_report`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metarl.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evaluated = evaluated_tasks(runs)
    trained = [run for run in runs if run.records]
    groups = {
        label: [run.records for run in members] for label, members in _groups(trained).items()
    }
    return environment.get_template("report.html").render(
        version=__version__,
        runs=runs,
        title=" and ".join(dict.fromkeys(run.config.name for run in runs)),
        learning=[
            picture(figure, text) for figure, text in report_figures.learning_figures(groups)
        ],
        update=_optional(
            report_figures.update_figure(groups),
            "KL divergence and candidates of the line search against meta-iterations",
        ),
        shares=_optional(
            report_figures.time_figure({str(run.run_dir): run.records for run in trained}),
            "Shares of an iteration's time",
        ),
        evaluated=[
            {
                "title": it.title,
                "rows": _rows(it),
                "steps": max(len(curve.mean_return) for curve in it.curves.values()),
                "published": {name: values for name, values in it.published.items() if values},
                "curves": picture(
                    adaptation_figure(it.curves, it.published, it.title),
                    f"Mean return against adaptation steps; {it.title}",
                ),
                "tasks": _optional(
                    report_figures.task_figure(it.tasks, it.curves),
                    f"Return on each task; {it.title}",
                ),
            }
            for it in evaluated
        ],
        paths=[
            picture(
                report_figures.paths_figure(each),
                f"Paths before and after adaptation; {each.title}",
            )
            for each in paths
        ],
        videos=[
            {
                "source": data_uri(read_bytes(file, _LARGEST_VIDEO), _VIDEO_TYPES[file.suffix]),
                "moves": file.suffix == ".mp4",
                "name": str(file),
            }
            for run in runs
            for file in run.videos
        ],
        sources=list(dict.fromkeys((run.config.name, run.config.source) for run in runs)),
    )


def evaluated_tasks(runs: Sequence[Run]) -> list[EvaluatedTasks]:
    """Join what evaluations say of the same held-out tasks, whichever run's folder it lies in."""
    seeds = {label: len(members) for label, members in _groups(runs).items()}
    found: dict[str, EvaluatedTasks] = {}
    for run in runs:
        for name, evaluation in run.evaluations.items():
            key = json.dumps([run.config.name, name, evaluation["tasks"]])
            published = published_returns(run.config) if name == "training" else {}
            which = describe_range(
                "" if name == "training" else name,
                evaluation.get("task_range", {}),
                _number_of_tasks(evaluation),
            )
            it = found.setdefault(
                key,
                EvaluatedTasks(run.config.name, which, evaluation["tasks"], {}, published),
            )
            alone = run.config.agent
            if seeds.get(_label(run, runs), 1) > 1:
                alone = f"{alone}, seed {run.config.seed}"
            curves = evaluation.get("curves", {alone: evaluation})
            for label, curve in curves.items():
                it.curves.setdefault(label, _curve(curve))
    return list(found.values())


def picture(figure: Figure, text: str) -> Picture:
    """Give a figure as an SVG inside a data URI; the same figure gives the same text."""
    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "metarl"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(data_uri(drawn.getvalue(), "image/svg+xml"), text)


def data_uri(content: bytes, media_type: str) -> str:
    """Give content as an address that carries it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _optional(figure: Figure | None, text: str) -> Picture | None:
    return picture(figure, text) if figure else None


def _label(run: Run, runs: Sequence[Run]) -> str:
    """Name a run's group: by its agent, with the preset where there are several."""
    several = len({each.config.name for each in runs}) > 1
    return " · ".join(run.group) if several else run.config.agent


def _groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_label(run, runs), []).append(run)
    return groups


def _rows(evaluated: EvaluatedTasks) -> list[dict[str, Any]]:
    """Give a table's rows: the mean and its interval after each step, and the gain."""
    return [
        {
            "name": name,
            "means": [
                f"{mean:.2f} [{low:.2f}, {high:.2f}]" + _success(curve, step)
                for step, (mean, (low, high)) in enumerate(
                    zip(curve.mean_return, curve.ci95, strict=True)
                )
            ],
            "gain": "{:+.2f} [{:.2f}, {:.2f}]".format(curve.gain, *curve.gain_ci95)
            if len(curve.mean_return) > 1
            else "takes no step",
        }
        for name, curve in evaluated.curves.items()
    ]


def _success(curve: AdaptationCurve, step: int) -> str:
    return "" if curve.success is None else f", success {curve.success.mean[step]:.1%}"


def _number_of_tasks(evaluation: dict[str, Any]) -> int:
    curves = evaluation.get("curves", {"": evaluation})
    return len(next(iter(curves.values()))["per_task_return"])


def _curve(described: dict[str, Any]) -> AdaptationCurve:
    def numbers(name: str) -> np.ndarray:
        return np.array(described[name], dtype=np.float64)

    return AdaptationCurve(
        per_task_return=numbers("per_task_return"),
        mean_return=numbers("mean_return"),
        ci95=numbers("ci95"),
        gain=float(described["gain"]),
        gain_ci95=numbers("gain_ci95"),
        env_steps=int(described["env_steps"]),
        success=SuccessCurve(
            per_task=numbers("per_task_success"),
            mean=numbers("mean_success"),
            ci95=numbers("success_ci95"),
        )
        if "mean_success" in described
        else None,
    )


def read_evaluation(file: Path) -> dict[str, Any]:
    """Read what `metarl evaluate` wrote, as far as a page shows it.

    Raises:
        RunFolderError: it cannot be read, or is no evaluation.

    """
    found = read_json(file, _LARGEST_EVALUATION)
    try:
        number = len(found["tasks"])
        for curve in found.get("curves", {"": found}).values():
            _check_curve(_curve(curve), number)
        describe_range("", found.get("task_range", {}), number)
        json.dumps(found["tasks"])
    except Exception as error:  # what somebody else wrote may break its reader anywhere
        raise RunFolderError(
            f"{file} is no evaluation: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        ) from error
    return dict(found)


def _check_curve(curve: AdaptationCurve, tasks: int) -> None:
    steps = len(curve.mean_return)
    shapes = [
        (curve.per_task_return.shape, (tasks, steps)),
        (curve.mean_return.shape, (steps,)),
        (curve.ci95.shape, (steps, 2)),
        (curve.gain_ci95.shape, (2,)),
    ]
    if curve.success is not None:
        shapes += [
            (curve.success.per_task.shape, (tasks, steps)),
            (curve.success.mean.shape, (steps,)),
            (curve.success.ci95.shape, (steps, 2)),
        ]
    for found, expected in shapes:
        if found != expected or not steps:
            raise ValueError(f"an array has the shape {found}, not {expected}")
