"""A page about one run or several, complete in itself: figures and videos are part of the file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import MEBIBYTE, read_bytes, write_whole
from metarl.foundation.versions import OWN_VERSION
from metarl.reports import report_figures
from metarl.reports.example_numbers import example_table
from metarl.reports.figures import adaptation_figure
from metarl.reports.inline_figures import inline_svg
from metarl.reports.report_figures import Drawn, TaskPaths
from metarl.reports.run_contents import VIDEO_TYPES, Run, groups_of
from metarl.reports.sections import EvaluatedTasks, evaluated_tasks
from metarl.reports.summary import MOST_ROWS, how_long, how_well, in_training, presets_of
from metarl.reports.tables import Table, adaptation_table, clip_table
from metarl.reports.task_figures import task_figure

_LARGEST_VIDEO = 256 * MEBIBYTE


@dataclass(frozen=True)
class Shown:
    """A figure on the page."""

    svg: str
    text: str
    table: Table


def write_report(
    file: Path,
    runs: Sequence[Run],
    paths: Sequence[TaskPaths],
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
    paths: Sequence[TaskPaths] = (),
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
    not_evaluated = [
        run
        for run in runs
        if not run.evaluations and run.config.title not in {it.preset for it in evaluated}
    ]
    trained = [run for run in runs if run.records]
    records = {
        label: [run.records for run in members] for label, members in groups_of(trained).items()
    }
    times = {str(run.run_dir): run.records for run in trained}
    return environment.get_template("report.html").render(
        version=OWN_VERSION,
        runs=runs,
        of_environments=[run for run in runs if not run.of_problem],
        of_problems=[run for run in runs if run.of_problem],
        title=" and ".join(dict.fromkeys(run.config.title for run in runs)),
        presets=presets_of(runs),
        how_well=how_well(evaluated),
        how_long=[how_long(run) for run in runs],
        not_evaluated=[in_training(run) for run in not_evaluated],
        most_not_evaluated=MOST_ROWS,
        learning=[_shown(drawn) for drawn in report_figures.learning_figures(records)],
        update=_optional(report_figures.update_figure(records)),
        shares=_optional(report_figures.time_figure(times)),
        evaluated=[_section(it) for it in evaluated],
        examples=[
            (
                data_uri(run.examples, "image/svg+xml"),
                f"Single held-out tasks of {run.run_dir}",
                example_table(run.example_numbers),
            )
            for run in runs
            if run.examples
        ],
        paths=[_shown(report_figures.paths_figure(each)) for each in paths],
        parts=parts,
        videos=[_video(run, file) for run in runs for file in run.videos],
    )


def data_uri(content: bytes, media_type: str) -> str:
    """Give content as an address that carries it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _shown(drawn: Drawn) -> Shown:
    return Shown(inline_svg(drawn.figure, drawn.text), drawn.text, drawn.table)


def _optional(drawn: Drawn | None) -> Shown | None:
    return _shown(drawn) if drawn else None


def _video(run: Run, file: Path) -> dict[str, Any]:
    source = data_uri(read_bytes(file, _LARGEST_VIDEO), VIDEO_TYPES[file.suffix])
    paid = run.videos[file]
    return {
        "source": source,
        "moves": file.suffix == ".mp4",
        "name": str(file),
        "task": paid.task if paid else "",
        "table": clip_table(paid) if paid else None,
    }


def _section(evaluated: EvaluatedTasks) -> dict[str, Any]:
    """Give what the page shows of the same held-out tasks: the means, and the figures."""
    first, panels = evaluated.first, evaluated.panels
    unit = evaluated.curves[0].unit
    against = "environment steps used" if evaluated.mixed else f"{evaluated.unit_word}s"
    text = f"{evaluated.measure} against {against} of adaptation; {evaluated.title}"
    figures = [adaptation_figure([it], evaluated.title, first.measure, unit) for it in panels]
    _share_vertical_axis(figures)
    drawn = [
        Drawn(figure, f"{text} {panel.title}".rstrip(), adaptation_table([panel], evaluated.digits))
        for figure, panel in zip(figures, panels, strict=True)
    ]
    if first.tasks:
        of_tasks = task_figure(first.tasks, panels[0].curves)
        text = f"{of_tasks.text}; {evaluated.title}"
        drawn.append(Drawn(of_tasks.figure, text, of_tasks.table))
    return {"means": evaluated, "figures": [_shown(it) for it in drawn]}


def _share_vertical_axis(figures: Sequence[Figure]) -> None:
    """Give figures of one pair of axes the same limits, so that their curves can be compared."""
    axes = [figure.axes[0] for figure in figures]
    low = min(it.get_ylim()[0] for it in axes)
    high = max(it.get_ylim()[1] for it in axes)
    for it in axes:
        it.set_ylim(low, high)
