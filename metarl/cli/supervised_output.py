"""What `metarl evaluate` prints and writes for a supervised problem."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from metarl.config.supervised import SupervisedConfig
from metarl.experiments.supervised_evaluation import MEASURES, MeasureCurve, as_json, fits
from metarl.experiments.supervised_learner import Learner
from metarl.foundation.versions import versions
from metarl.reports.figures import save_figure
from metarl.reports.supervised_figures import curves_figure, fits_figure, image_figure
from metarl.runs.run_folder import write_evaluation
from metarl.training import TrainingState

Contenders = Mapping[str, tuple[Learner, TrainingState]]

_DRAWN_STEPS = (0, 1, 10)
_DRAWN_TASKS = 2
_DRAWN_POINTS = 200


def show_and_write(
    console: Console,
    output: Path,
    config: SupervisedConfig,
    seed: int,
    curves: Sequence[MeasureCurve],
    contenders: Contenders,
) -> None:
    """Print the table and write the files.

    Args:
        console: to print to.
        output: the folder to write into.
        config: of the evaluation.
        seed: of the held-out tasks.
        curves: of every model and number of shots.
        contenders: the models, by the name of their curves; the first is the run's.

    """
    learner, state = next(iter(contenders.values()))
    what = MEASURES[learner.problem.loss]
    evaluation = {
        "preset": config.preset,
        "problem": config.problem,
        "problem_settings": dataclasses.asdict(learner.problem),  # type: ignore[call-overload]
        "measure": what,
        "seed": seed,
        "tasks": config.test_tasks,
        "queries": config.test_queries,
        "curves": [as_json(curve) for curve in curves],
        "versions": versions(),
    }
    file = write_evaluation(output, evaluation)
    title = f"{config.preset}: {what} on {config.test_tasks} held-out tasks"
    console.print(_table(title, curves))
    figure = curves_figure(curves, config.published, what, title)
    written = [file, *save_figure(figure, file.with_suffix(""))]
    drawn = None
    if learner.problem.input_shape == (1,) and learner.problem.outputs == 1:
        shots, last = config.shots_at_test[0], config.test_adaptation_steps
        steps = [step for step in _DRAWN_STEPS if step <= last]
        shown = {}
        for agent, (one, at) in contenders.items():
            taken = [0] if agent == "oracle" else steps
            shown[agent] = fits(one, at.agent, shots, taken, _DRAWN_TASKS, _DRAWN_POINTS, seed)
        drawn = fits_figure(shown, shots)
    elif len(learner.problem.input_shape) == 3:
        steps = [0, config.test_adaptation_steps]
        drawn = image_figure(fits(learner, state.agent, config.shots_at_test[0], steps, 1, 3, seed))
    if drawn is not None:
        written += save_figure(drawn, file.with_name("examples"))
    console.print(f"written to {', '.join(map(str, written))}", soft_wrap=True)


def _table(title: str, curves: Sequence[MeasureCurve]) -> Table:
    table = Table(title=title)
    last = max(len(curve.mean) - 1 for curve in curves)
    shown = [step for step in sorted({0, 1, 2, 3, 5, last}) if step <= last]
    for heading in ("agent", "shots", "α", *(f"step {step}" for step in shown)):
        table.add_column(heading, justify="left" if heading == "agent" else "right", no_wrap=True)
    for curve in curves:
        cells = [
            f"{curve.mean[step]:.3f}\n{curve.ci95[step][0]:.3f}–{curve.ci95[step][1]:.3f}"
            for step in shown
            if step < len(curve.mean)
        ]
        rate = ", ".join(f"{each:g}" for each in dict.fromkeys(curve.learning_rates))
        table.add_row(curve.agent, str(curve.shots), rate, *cells)
    return table
