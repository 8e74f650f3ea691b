"""A page about one run or several, complete in itself: figures and videos are part of the file."""

import base64
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from metarl.config.plugins import published_returns
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.curves import AdaptationCurve, in_different_units, shown_units
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import MEBIBYTE, read_bytes, write_whole
from metarl.foundation.versions import OWN_VERSION
from metarl.reports import report_figures
from metarl.reports.evaluations import Evaluation, panels_by_shots, range_of, read_evaluation
from metarl.reports.figures import Panel, adaptation_figure
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.metrics import read_metrics
from metarl.runs.provenance import read_sessions, summary_of
from metarl.runs.run_folder import read_config

_LARGEST_DRAWING = 64 * MEBIBYTE
_LARGEST_VIDEO = 256 * MEBIBYTE
_VIDEO_TYPES = {".mp4": "video/mp4", ".webp": "image/webp", ".gif": "image/gif"}
_TRAINING = "training"
_MAY_DIFFER = (
    "seed",
    "iterations",
    "env_steps",
    "checkpoint_interval",
    "description",
    "source",
    "published",
)
"""Settings in which seeds of one experiment may differ."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds, as far as a page shows it."""

    run_dir: Path
    config: Config | SupervisedConfig
    records: list[dict[str, Any]]
    """One of each iteration, or of each interval of them."""
    versions: dict[str, str]
    """Of what wrote the newest checkpoint; empty: there is none."""
    evaluations: dict[str, Evaluation]
    """By task range; the range of training is called training."""
    examples: bytes
    """What `metarl evaluate` drew of single tasks of a problem, as SVG; empty: nothing."""
    videos: list[Path]
    sessions: list[str]
    """Start and resumes, a line each."""

    @property
    def of_problem(self) -> bool:
        """Whether it trains on a supervised problem, not on an environment."""
        return isinstance(self.config, SupervisedConfig)

    @property
    def agent(self) -> str:
        """The agent, and what of a problem's makes it another."""
        if not isinstance(self.config, SupervisedConfig):
            return self.config.agent
        first_order = ", first order" if self.config.first_order else ""
        learned = ", learned α" if self.config.learn_step_sizes else ""
        return f"{self.config.agent}{first_order}{learned}"

    @property
    def group(self) -> tuple[str, str, str]:
        """What runs that differ in their seed have in common: preset, agent and settings."""
        settings = dataclasses.asdict(self.config)
        for name in _MAY_DIFFER:
            settings.pop(name, None)
        return self.config.name, self.agent, json.dumps(settings)

    @property
    def seconds(self) -> float:
        """Seconds that the recorded iterations took."""
        each = [record.get("iteration_seconds") or 0.0 for record in self.records]
        interval = self.config.record_interval if isinstance(self.config, SupervisedConfig) else 1
        return interval * sum(each, 0.0)


@dataclass(frozen=True)
class EvaluatedTasks:
    """Adaptation curves on the same held-out tasks, whichever runs they are of."""

    preset: str
    first: Evaluation
    """One that says what was measured, and of which tasks."""
    panels: list[Panel]

    @property
    def title(self) -> str:
        """Name preset, number of tasks and range."""
        return f"{self.preset}: {self.first.which}"


@dataclass(frozen=True)
class Picture:
    """A figure on the page."""

    source: str
    """As a data URI."""
    text: str
    """What it shows, for those who do not see it."""


def read_run(run_dir: Path) -> Run:
    """Read a run folder, whatever it trains on.

    Raises:
        RunFolderError: it is none, or something in it cannot be read.

    """
    config = read_config(run_dir)
    files = sorted(run_dir.glob("evaluation*.json"))
    drawn = run_dir / "examples.svg"
    there = drawn.exists() or drawn.is_symlink()
    return Run(
        run_dir=run_dir,
        config=config,
        records=read_metrics(run_dir),
        versions=Checkpoints(run_dir).newest_versions(),
        evaluations={range_of(file) or _TRAINING: read_evaluation(file) for file in files},
        examples=read_bytes(drawn, _LARGEST_DRAWING) if there else b"",
        videos=sorted(it for it in run_dir.glob("videos/*") if it.suffix in _VIDEO_TYPES),
        sessions=[summary_of(session) for session in read_sessions(run_dir)],
    )


def write_report(
    file: Path,
    runs: Sequence[Run],
    paths: Sequence[report_figures.TaskPaths],
    parts: Sequence[str] = (),
) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        file: where to.
        runs: at least one.
        paths: of the policies in the plane, where tasks are goals there; may be empty.
        parts: HTML in which a reader tries policies (`metarl.reports.interactive`).

    Raises:
        RunFolderError: the file cannot be written.

    """
    page = render_page(runs, paths, parts)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror}") from error
    write_whole(file, page.encode())


def render_page(
    runs: Sequence[Run],
    paths: Sequence[report_figures.TaskPaths] = (),
    parts: Sequence[str] = (),
) -> str:
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
    records = {
        label: [run.records for run in members] for label, members in _groups(trained).items()
    }
    times = {str(run.run_dir): run.records for run in trained}
    return environment.get_template("report.html").render(
        version=OWN_VERSION,
        runs=runs,
        of_environments=[run for run in runs if not run.of_problem],
        of_problems=[run for run in runs if run.of_problem],
        title=" and ".join(dict.fromkeys(run.config.name for run in runs)),
        sources=list(dict.fromkeys((run.config.name, run.config.source) for run in runs)),
        learning=[
            picture(figure, text) for figure, text in report_figures.learning_figures(records)
        ],
        update=_optional(
            report_figures.update_figure(records),
            "KL divergence and candidates of the line search against meta-iterations",
        ),
        shares=_optional(report_figures.time_figure(times), "Shares of an iteration's time"),
        evaluated=[_section(it) for it in evaluated],
        not_evaluated=[
            run
            for run in runs
            if not run.evaluations and run.config.name not in {it.preset for it in evaluated}
        ],
        examples=[
            Picture(
                data_uri(run.examples, "image/svg+xml"), f"Single held-out tasks of {run.run_dir}"
            )
            for run in runs
            if run.examples
        ],
        paths=[
            picture(
                report_figures.paths_figure(each),
                f"Paths before and after adaptation; {each.title}",
            )
            for each in paths
        ],
        parts=parts,
        videos=[_video(file) for run in runs for file in run.videos],
    )


def evaluated_tasks(runs: Sequence[Run]) -> list[EvaluatedTasks]:
    """Join what evaluations say of the same held-out tasks, whichever run's folder it lies in."""
    found: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        for name, evaluation in run.evaluations.items():
            found.setdefault((run.config.name, name, evaluation.identity), []).append(run)
    seeds = {run.run_dir: members for members in _groups(runs).values() for run in members}
    joined = []
    for (preset, range_name, _), members in found.items():
        curves: dict[int, dict[str, AdaptationCurve]] = {}
        for run in members:
            several = len(seeds[run.run_dir]) > 1
            alone = f"{run.config.agent}, seed {run.config.seed}" if several else run.config.agent
            for shots, by_agent in run.evaluations[range_name].curves.items():
                there = curves.setdefault(shots, {})
                for agent, curve in by_agent.items():
                    there.setdefault(_free_name(there, agent or alone, curve, run), curve)
        first = members[0]
        panels = _panels(first.config, range_name, curves)
        joined.append(EvaluatedTasks(preset, first.evaluations[range_name], panels))
    return joined


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


def _video(file: Path) -> dict[str, Any]:
    source = data_uri(read_bytes(file, _LARGEST_VIDEO), _VIDEO_TYPES[file.suffix])
    return {"source": source, "moves": file.suffix == ".mp4", "name": str(file)}


def _groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Give the runs of each group, by a name: that of the agent and of what tells it from others.

    That is the preset where there are several, and the run folder where settings differ.
    """
    members: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        members.setdefault(run.group, []).append(run)
    several = len({preset for preset, _, _ in members}) > 1
    groups: dict[str, list[Run]] = {}
    for (preset, agent, _), found in members.items():
        name = f"{preset} · {agent}" if several else agent
        groups[f"{name}, {found[0].run_dir}" if name in groups else name] = found
    return groups


def _free_name(
    taken: Mapping[str, AdaptationCurve], name: str, curve: AdaptationCurve, run: Run
) -> str:
    """Give a name that no other numbers have: its own, or with the run's folder."""
    same = name not in taken or np.array_equal(taken[name].mean, curve.mean, equal_nan=True)
    return name if same else f"{name}, {run.run_dir}"


def _panels(
    config: Config | SupervisedConfig,
    range_name: str,
    curves: Mapping[int, Mapping[str, AdaptationCurve]],
) -> list[Panel]:
    if isinstance(config, SupervisedConfig):
        return panels_by_shots(curves, config)
    returns = published_returns(config) if range_name == _TRAINING else {}
    published = {agent: dict(enumerate(means)) for agent, means in returns.items() if means}
    return [Panel("", by_agent, published) for by_agent in curves.values()]


def _section(evaluated: EvaluatedTasks) -> dict[str, Any]:
    """Give what the page shows of the same held-out tasks."""
    first, panels, title = evaluated.first, evaluated.panels, evaluated.title
    curve = next(iter(panels[0].curves.values()))
    measure = first.measure[:1].upper() + first.measure[1:]
    mixed = in_different_units(_curves(panels))
    against = "environment steps used" if mixed else f"{curve.unit_word}s of adaptation"
    tasks = None
    if first.tasks:
        figure = report_figures.task_figure(first.tasks, panels[0].curves)
        tasks = picture(figure, f"Return on each task; {title}")
    return {
        "title": title,
        "measure": measure,
        "of_returns": first.of_returns,
        "adapted_to": any(panel.title for panel in panels),
        "has_gain": any(np.isfinite(curve.gain_ci95).all() for curve in _curves(panels)),
        "steps": shown_units(_most_units(panels)),
        "has_trial": any(curve.trial for curve in _curves(panels)),
        "unit_word": "unit" if mixed else curve.unit_word,
        "rows": _rows(panels, digits=2 if first.of_returns else 3),
        "curves": picture(
            adaptation_figure(panels, title, first.measure, curve.unit),
            f"{measure} against {against}; {title}",
        ),
        "tasks": tasks,
    }


def _most_units(panels: Sequence[Panel]) -> int:
    return max(len(curve.mean) - 1 for curve in _curves(panels))


def _curves(panels: Sequence[Panel]) -> list[AdaptationCurve]:
    return [curve for panel in panels for curve in panel.curves.values()]


def _rows(panels: Sequence[Panel], digits: int) -> list[dict[str, Any]]:
    """Give a table's rows: the mean and its interval after each unit, the gain, the whole trial."""
    rows = []
    steps = shown_units(_most_units(panels))
    mixed = in_different_units(_curves(panels))
    for panel in panels:
        for name, curve in panel.curves.items():
            name = f"{name}, by {curve.unit}s" if mixed else name
            there = len(curve.mean)
            means = [_mean(curve, step, digits) if step < there else "" for step in steps]
            row = {"means": means, "gain": _gain(curve, digits), "trial": _trial(curve, digits)}
            rows.append({"name": name, "adapted_to": panel.title, **row})
        for name, numbers in panel.published.items():
            means = [f"{numbers[step]:g}" if step in numbers else "" for step in steps]
            row = {"means": means, "gain": "", "trial": ""}
            rows.append({"name": f"{name}, published", "adapted_to": panel.title, **row})
    return rows


def _mean(curve: AdaptationCurve, step: int, digits: int) -> str:
    low, high = curve.ci95[step]
    rate = f", success {curve.success.mean[step]:.1%}" if curve.success else ""
    return f"{curve.mean[step]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]{rate}"


def _trial(curve: AdaptationCurve, digits: int) -> str:
    if curve.trial is None:
        return ""
    low, high = curve.trial.ci95
    return f"{curve.trial.mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _gain(curve: AdaptationCurve, digits: int) -> str:
    if len(curve.mean) == 1:
        return "takes no step"
    low, high = curve.gain_ci95
    return f"{curve.gain:+.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
