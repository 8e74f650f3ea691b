"""Draw a run's learning curve and its adaptation curve beside the published one.

    python scripts/plot_run.py results/navigation-2d -o docs/images/navigation-2d.png

The run folder must have been evaluated (`metarl evaluate`).
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Finn, Abbeel, Levine 2017: the authors' data files, mean over 40 test tasks, one seed.
PUBLISHED = {"navigation-2d": [-40.41, -11.68, -3.33, -3.23]}


def learning_curve(axes, records):
    iterations = [record["iteration"] for record in records]
    for name, label in (
        ("pre_adaptation_return", "before adaptation"),
        ("post_adaptation_return", "after one gradient step"),
    ):
        axes.plot(iterations, [record[name] for record in records], label=label)
    axes.set(xlabel="meta-iteration", ylabel="mean return of the meta-batch", title="training")
    axes.legend(loc="lower right", frameon=False)


def adaptation_curve(axes, evaluation):
    steps, means = evaluation["adaptation_steps"], evaluation["mean_return"]
    below = [mean - low for mean, (low, _) in zip(means, evaluation["ci95"], strict=True)]
    above = [high - mean for mean, (_, high) in zip(means, evaluation["ci95"], strict=True)]
    axes.errorbar(
        steps, means, yerr=[below, above], marker="o", capsize=4, label="metarl, 95 % interval"
    )
    published = PUBLISHED.get(evaluation["preset"])
    if published:
        axes.plot(range(len(published)), published, "k--", marker="x", label="Finn et al. 2017")
    axes.set(
        xlabel="adaptation steps",
        ylabel="mean return",
        title=f"{len(evaluation['tasks'])} held-out tasks",
        xticks=steps,
    )
    axes.legend(loc="lower right", frameon=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    lines = (options.run_dir / "metrics.jsonl").read_text().splitlines()
    evaluation = json.loads((options.run_dir / "evaluation.json").read_text())
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=False)
    learning_curve(left, [json.loads(line) for line in lines])
    adaptation_curve(right, evaluation)
    figure.suptitle(f"{evaluation['preset']}, seed {evaluation['seed']}")
    figure.tight_layout()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=130)


if __name__ == "__main__":
    main()
