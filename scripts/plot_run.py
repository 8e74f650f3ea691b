"""Draw a run's learning curve and its adaptation curve beside the published one.

    python scripts/plot_run.py results/navigation-2d -o docs/images/navigation-2d.png

The run folder must have been evaluated (`metarl evaluate`).
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from metarl.config.plugins import load_preset
from metarl.experiments.curves import summarise
from metarl.reports.figures import Panel, adaptation_curves
from metarl.runs.metrics import read_metrics


def learning_curve(axes, records):
    iterations = [record["iteration"] for record in records]
    for name, label in (
        ("pre_adaptation_return", "before adaptation"),
        ("post_adaptation_return", "after one gradient step"),
    ):
        axes.plot(iterations, [record[name] for record in records], label=label)
    axes.set(xlabel="meta-iteration", ylabel="mean return of the meta-batch", title="training")
    axes.legend(loc="lower right", frameon=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    evaluation = json.loads((options.run_dir / "evaluation.json").read_text())
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    learning_curve(left, read_metrics(options.run_dir))
    returns = np.array(evaluation["per_task_return"])
    curve = summarise(returns, evaluation["env_steps"], evaluation["seed"])
    published = {
        agent: dict(enumerate(means))
        for agent, means in load_preset(evaluation["preset"]).published.items()
    }
    adaptation_curves(right, Panel("", {"maml-trpo": curve}, published))
    right.set(title=f"{len(returns)} held-out tasks", ylabel="mean return")
    right.legend(loc="best", frameon=False)
    figure.suptitle(f"{evaluation['preset']}, seed {evaluation['seed']}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=130)


if __name__ == "__main__":
    main()
