"""Meta-train a model of two parameters on three tasks, and draw θ among the tasks' optima.

    python scripts/draw_maml.py -o docs/images/maml.png

The model is f(x) = θ₁ x₁ + θ₂ x₂. Each task has weights of its own to find, and inputs of its own
scale, so that a gradient step goes a long way in one task and a short one in another. Both dots
come from real runs of the supervised learner: with one inner step, and with
none (all tasks learned together).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure

from metarl.config.supervised import SupervisedConfig
from metarl.experiments.problem_learner import Learner, initial_state, loss_of, outer_steps
from metarl.learning.adaptation import adaptation_path
from metarl.tasks.problems import Episodes

OPTIMA = np.array([[-2.0, 1.0], [2.0, 2.0], [1.0, -2.0]])
SCALES = np.array([[1.4, 0.5], [0.7, 0.6], [0.5, 1.2]])
"""Standard deviations of x₁ and x₂ in each task."""
RATE = 0.25
"""α of the inner step."""
EXAMPLES = 16
ITERATIONS = 600


@dataclass(frozen=True)
class ThreeTasks:
    """Linear regression in the plane; a meta-batch is the three tasks."""

    input_shape: ClassVar[tuple[int, ...]] = (2,)
    outputs: ClassVar[int] = 1
    loss: ClassVar[str] = "mse"
    numbers_told: ClassVar[int] = 0

    def sample(self, generator, split, tasks, shots, queries):
        """Give the three tasks' data: inputs whose second moments are exactly the scales'."""
        grid = np.stack(np.meshgrid([-1.0, 1.0], [-1.0, 1.0]), -1).reshape(-1, 2)
        inputs = np.tile(grid, (EXAMPLES // 4, 1)) * SCALES[:, None]
        targets = inputs @ OPTIMA[:, :, None]
        return Episodes(inputs, targets, inputs, targets)


def learner(steps, iterations=ITERATIONS):
    """A learner whose model is two numbers."""
    config = SupervisedConfig(
        preset="",
        description="",
        source="",
        problem="three-tasks",
        iterations=iterations,
        agent="maml" if steps else "pretrained",
        tasks_per_batch=3,
        inner_learning_rate=RATE,
        outer_learning_rate=0.02,
        record_interval=10,
        checkpoint_interval=10,
        dtype="float64",
    )
    start = {"weights": torch.tensor([-2.5, -2.5], dtype=torch.float64)}
    return Learner(config, ThreeTasks(), lambda theta, x: x @ theta["weights"][:, None], start)


def run(steps, iterations=ITERATIONS):
    """Meta-train; give θ before, and after every tenth iteration."""
    own = learner(steps, iterations)
    states = [initial_state(own)]
    for first in range(1, iterations + 1, 10):
        states.append(outer_steps(own, states[-1], range(first, first + 10))[0])
    return np.array([state.theta for state in states])


def best(steps):
    """Give the best θ in closed form.

    The loss of a task is (θ − c)ᵀ H (θ − c) / 2 with H = 2 diag(scales²), and one step maps θ − c
    to (I − αH)(θ − c). So the best θ is the mean of the optima c, weighted by (I − αH) H (I − αH).
    """
    curvature = 2 * SCALES**2
    weights = curvature * (1 - RATE * curvature) ** (2 * steps)
    return (weights * OPTIMA).sum(0) / weights.sum(0)


def adapted(theta, task, steps):
    """Give θ on its way to a task's optimum, by the inner loop."""
    own = learner(1)
    support, _ = own.batches(own.problem.sample(None, None, 3, EXAMPLES, EXAMPLES))
    batch = tuple(part[task] for part in support)
    path = adaptation_path(
        loss_of(own.model, "mse"), {"weights": torch.tensor(theta)}, [batch] * steps, [RATE] * steps
    )
    return np.array([at["weights"].numpy() for at in path])


def losses(theta, steps):
    """Give the mean loss over tasks after adaptation."""
    ends = [adapted(theta, task, steps)[-1] for task in range(3)]
    return np.mean(
        [((SCALES[task] * (end - OPTIMA[task])) ** 2).sum() for task, end in enumerate(ends)]
    )


def draw(runs):
    """Draw both runs: θ's way, where it ends, and a step towards each task from there."""
    figure = Figure(figsize=(10.4, 6.2), layout="constrained")
    axes_of_runs = figure.subplots(1, 2, sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-3.4, 3.4, 200), np.linspace(-3.2, 3.2, 200))
    for axes, (steps, path) in zip(axes_of_runs, runs.items(), strict=True):
        theta = path[-1]
        for task, (optimum, scale) in enumerate(zip(OPTIMA, SCALES, strict=True)):
            colour = f"C{task}"
            loss = (scale[0] * (x - optimum[0])) ** 2 + (scale[1] * (y - optimum[1])) ** 2
            axes.contour(x, y, loss, [0.25, 1], colors=colour, linewidths=0.8, alpha=0.6)
            axes.plot(
                *optimum, "*", color=colour, markersize=14, label=f"optimum of task {task + 1}"
            )
            way = adapted(theta, task, 6)
            axes.plot(*way[1:].T, ".:", color=colour, markersize=5, linewidth=1)
            axes.annotate(
                "", way[1], theta, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2}
            )
        axes.plot(*path.T, color="0.6", linewidth=1.5, label="way of θ in training")
        axes.plot(*path[0], "o", color="0.6", markersize=4)
        axes.plot(*theta, "ko", markersize=7, label="θ")
        name = "meta-trained through one inner step" if steps else "all tasks learned together"
        axes.set_title(f"{name}\nmean loss after one step: {losses(theta, 1):.3f}", fontsize=11)
        axes.set(xlabel="θ₁", aspect="equal")
        axes.grid(alpha=0.25)
    axes_of_runs[0].set_ylabel("θ₂")
    figure.legend(*axes_of_runs[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/maml.png"))
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="of meta-training")
    options = parser.parse_args()
    runs = {steps: run(steps, options.iterations) for steps in (1, 0)}
    for steps, path in runs.items():
        print(f"{steps} inner steps: θ = {path[-1]}, in closed form {best(steps)}")
    draw(runs).savefig(options.output, dpi=120)


if __name__ == "__main__":
    main()
