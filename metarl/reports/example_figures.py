"""Figures of single tasks of supervised problems: fits of functions, sheets of images."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from metarl.agent.protocol import TrainingState
from metarl.experiments.interface import Experiment
from metarl.experiments.problem_evaluation import Fits, describe_shots
from metarl.experiments.problem_experiment import ProblemExperiment

_DRAWN_STEPS = (0, 1, 10)
_DRAWN_TASKS = 2
_DRAWN_POINTS = 200
_DRAWN_QUERIES = 3


def fits_figure(fits: Mapping[str, Fits], shots: int) -> Figure:
    """Draw functions of one number before and after adaptation: a row a task, a column a model."""
    first = next(iter(fits.values()))
    tasks = len(first.outputs)
    figure = Figure(figsize=(1 + 3.4 * len(fits), 0.6 + 2.5 * tasks), layout="constrained")
    grid = figure.subplots(tasks, len(fits), sharex=True, sharey="row", squeeze=False)
    for column, (agent, shown) in enumerate(fits.items()):
        for task in range(tasks):
            axes, episodes = grid[task][column], shown.episodes
            order = np.argsort(episodes.query_inputs[task, :, 0])
            x = episodes.query_inputs[task, order, 0]
            axes.plot(x, episodes.query_targets[task, order, 0], color="0.2", label="truth")
            for number, step in enumerate(shown.steps):
                label = "before adaptation" if step == 0 else f"{step} step{'s' * (step > 1)}"
                label = label if len(shown.steps) > 1 else "told the task"
                axes.plot(
                    x,
                    shown.outputs[task, number, order, 0],
                    color=("0.6", "C1", "C0")[min(number, 2)],
                    linestyle=":" if step == 0 else "-" if step == max(shown.steps) else "--",
                    label=label,
                )
            if len(shown.steps) > 1:
                support = episodes.support_inputs[task], episodes.support_targets[task]
                axes.plot(*support, "^", color="C3", markersize=6, label="adapted to")
            axes.grid(alpha=0.3)
            if task == 0:
                axes.set_title(f"{agent}, {describe_shots(shots)}")
                axes.legend(frameon=False, fontsize="x-small")
        grid[-1][column].set_xlabel("x")
    for row in grid:
        row[0].set_ylabel("y")
    return figure


def image_figure(fits: Fits) -> Figure:
    """Draw one classification episode: support images above, query images with what was said.

    The title of a query image is the class said before adaptation and after the last step; green
    is right.
    """
    episodes, said = fits.episodes, fits.outputs[0].argmax(-1)
    columns = min(10, len(episodes.support_inputs[0]), len(episodes.query_inputs[0]))
    queries = min(2, -(-len(episodes.query_inputs[0]) // columns))
    figure = Figure(figsize=(1.0 * columns, 1.35 * (1 + queries)), layout="constrained")
    grid = figure.subplots(1 + queries, columns, squeeze=False)
    order = np.random.default_rng(0).permutation(len(episodes.query_inputs[0]))
    for column in range(columns):
        axes = grid[0][column]
        axes.imshow(_picture(episodes.support_inputs[0, column]), cmap="gray_r")
        axes.set_title(f"class {episodes.support_targets[0, column]}", fontsize="small")
    for axes, example in zip(grid[1:].ravel(), order, strict=False):
        axes.imshow(_picture(episodes.query_inputs[0, example]), cmap="gray_r")
        right = said[-1, example] == episodes.query_targets[0, example]
        text = " → ".join(str(each[example]) for each in said)
        axes.set_title(text, fontsize="small", color="C2" if right else "C3")
    for axes in grid.ravel():
        axes.set_axis_off()
    figure.suptitle("first row: support; below: queries, class said before → after", fontsize=8)
    return figure


def _picture(image: np.ndarray) -> np.ndarray:
    return image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)


def example_figure(
    trained: Sequence[tuple[Experiment, TrainingState]],
) -> Figure | None:
    """Draw single held-out tasks as models see them; None: the experiments cannot be drawn so.

    Args:
        trained: the experiments that are compared, and what was trained.

    """
    first, state = trained[0]
    if not isinstance(first, ProblemExperiment):
        return None
    problem, last = first.learner.problem, first.config.test_adaptation_steps
    if problem.input_shape == (1,) and problem.outputs == 1:
        shown: dict[str, Fits] = {}
        for each, at in trained:
            assert isinstance(each, ProblemExperiment)
            steps = [step for step in _DRAWN_STEPS if step <= each.learner.steps_at_test]
            shown[each.config.agent] = each.fits(at.agent, steps, _DRAWN_TASKS, _DRAWN_POINTS)
        return fits_figure(shown, first.config.shots_at_test[0])
    if len(problem.input_shape) == 3:
        return image_figure(first.fits(state.agent, [0, last], 1, _DRAWN_QUERIES))
    return None
