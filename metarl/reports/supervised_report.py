"""The page about runs on supervised problems; as `metarl.reports.report`, complete in itself."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from metarl import __version__
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.problem_evaluation import MeasureCurve, from_json
from metarl.foundation.errors import RunFolderError
from metarl.reports.report import Picture, data_uri, picture
from metarl.reports.supervised_figures import curves_figure, losses_figure
from metarl.runs.metrics import read_metrics
from metarl.runs.run_folder import EVALUATION_FILE, read_config


@dataclass(frozen=True)
class SupervisedRun:
    """What a run folder holds, as far as a page shows it."""

    run_dir: Path
    config: SupervisedConfig
    records: list[dict[str, Any]]
    evaluation: dict[str, Any]
    """Empty: it is not evaluated."""
    examples: Picture | None
    """What `metarl evaluate` drew of single tasks."""

    @property
    def seconds(self) -> float:
        """Seconds that the recorded iterations took."""
        interval = self.config.record_interval
        return sum(interval * float(record["iteration_seconds"]) for record in self.records)


def read_supervised_run(run_dir: Path) -> SupervisedRun:
    """Read a run folder.

    Raises:
        RunFolderError: it is none, is of an environment, or something in it cannot be read.

    """
    config = read_config(run_dir)
    if not isinstance(config, SupervisedConfig):
        raise RunFolderError(
            f"{run_dir} is a run on an environment; runs on problems have a page of their own"
        )
    evaluation = {}
    file = run_dir / EVALUATION_FILE
    if file.exists():
        try:
            evaluation = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{file} cannot be read: {error}") from error
    drawn = run_dir / "examples.svg"
    examples = None
    if drawn.exists():
        source = data_uri(drawn.read_bytes(), "image/svg+xml")
        examples = Picture(source, f"Single held-out tasks of {run_dir}")
    return SupervisedRun(run_dir, config, read_metrics(run_dir), evaluation, examples)


def render_supervised_page(runs: Sequence[SupervisedRun]) -> str:
    """Give the page about one run or several as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metarl.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    trained = {str(run.run_dir): run.records for run in runs if run.records}
    return environment.get_template("supervised_report.html").render(
        version=__version__,
        runs=runs,
        title=" and ".join(dict.fromkeys(run.config.name for run in runs)),
        sources=list(dict.fromkeys((run.config.name, run.config.source) for run in runs)),
        learning=picture(losses_figure(trained), "Query loss of training") if trained else None,
        evaluated=[_evaluated(run) for run in runs if run.evaluation],
        settings={
            run.run_dir: json.dumps(dataclasses.asdict(run.config), indent=2) for run in runs
        },
    )


def _evaluated(run: SupervisedRun) -> dict[str, Any]:
    curves = [from_json(each) for each in run.evaluation["curves"]]
    what, tasks = run.evaluation["measure"], run.evaluation["tasks"]
    title = f"{run.run_dir}: {what} on {tasks} held-out tasks"
    return {
        "title": title,
        "measure": what,
        "steps": max(len(curve.mean) for curve in curves),
        "rows": [_row(curve) for curve in curves],
        "published": [
            (agent, shots, dict(zip(numbers["steps"], numbers["measures"], strict=True)))
            for shots, table in run.config.published.items()
            for agent, numbers in table.items()
        ],
        "curves": picture(curves_figure(curves, run.config.published, what, title), title),
        "examples": run.examples,
    }


def _row(curve: MeasureCurve) -> dict[str, Any]:
    means = [
        f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        for mean, (low, high) in zip(curve.mean, curve.ci95, strict=True)
    ]
    return {"agent": curve.agent, "shots": curve.shots, "means": means}
