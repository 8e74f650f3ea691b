"""Show how the agents learn on one preset, three seeds each.

Trains every agent from the command line, evaluates them together on held-out tasks, and writes to
results/agents/: the learning curves and a figure of them, the evaluation with its figure, a table.

    python scripts/compare_agents.py [--run-dir runs/agents] [--workers 2]

Stopped, it goes on where it was: runs are resumed, whole ones are not repeated.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from shared import ROOT, SMALL_EVALUATION, SMALL_TRAINING, metarl, parse, parser

from metarl.foundation.versions import versions
from metarl.runs.metrics import read_metrics

PRESET = "navigation-2d"
CURVES = {"before": "pre_adaptation_return", "after": "post_adaptation_return"}


@dataclass(frozen=True)
class Size:
    agents: tuple = ("maml-trpo", "fomaml-trpo", "e-maml-trpo", "meta-sgd-trpo", "promp", "reptile")
    seeds: tuple = (1, 2, 3)
    iterations: int = 100
    training: tuple = ()
    evaluation: tuple = ()
    """Flags of `metarl train` and `metarl evaluate`."""


SMALL = Size(("reptile",), (1, 2), 2, SMALL_TRAINING, SMALL_EVALUATION)


def train(size, agent, seed, run, workers):
    """Train, or go on with what was trained; give the returns of each iteration."""
    command = ["train", PRESET, "--agent", agent, "--run-dir", run, "--workers", workers]
    start = ["--resume"] if run.exists() else ["--seed", seed, *size.training]
    metarl(*command, "--iterations", size.iterations, "--no-tensorboard", *start)
    records = read_metrics(run)
    return {name: [record[key] for record in records] for name, key in CURVES.items()}


def draw(curves, seeds, file):
    """Draw every agent's returns: mean over seeds, and each seed faintly."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, when in zip(panels, CURVES, strict=True):
        for number, (agent, of_seeds) in enumerate(curves.items()):
            values = np.array([one[when] for one in of_seeds])
            iterations = np.arange(1, values.shape[1] + 1)
            axes.plot(iterations, values.mean(0), color=f"C{number}", label=agent)
            for of_seed in values:
                axes.plot(iterations, of_seed, color=f"C{number}", alpha=0.25, linewidth=0.7)
        axes.set(xlabel="meta-iteration", title=f"{when} adaptation")
        axes.grid(alpha=0.3)
    # One seed of e-maml-trpo falls to −500 before adaptation; the others would be one line.
    panels[0].set_ylim(-100, 0)
    panels[0].set_ylabel("mean return of the meta-batch")
    panels[1].legend(loc="lower right", frameon=False)
    figure.suptitle(f"{PRESET}, {len(seeds)} seeds")
    figure.savefig(file, dpi=110)


def table(curves, evaluation, size):
    """Say how each agent does on held-out tasks, and how it got there."""
    steps = evaluation["curves"][size.agents[0]]["adaptation_steps"]
    lines = [
        f"# The agents on {PRESET}",
        "",
        "Written by `python scripts/compare_agents.py`: each agent with the preset's own settings",
        f"and its defaults, {size.iterations} iterations, seeds {', '.join(map(str, size.seeds))}.",
        f"The returns are means over the same {len(evaluation['tasks'])} held-out tasks and three",
        "seeds; the interval is the 95 % interval of the mean after the last step over seeds. No",
        "agent's settings were tuned for this comparison: it shows that each learns, not which is",
        "best.",
        "",
        f"| agent | {' | '.join(f'step {step}' for step in steps)} | interval over seeds |",
        "|---|" + "---|" * (len(steps) + 1),
    ]
    for agent in curves:
        found = evaluation["curves"][agent]
        low, high = found["over_seeds"]["mean_ci95"][-1]
        cells = " | ".join(f"{value:.2f}" for value in found["mean_return"])
        lines.append(f"| {agent} | {cells} | [{low:.2f}, {high:.2f}] |")
    pictures = ["![Learning curves](curves.png)", "", "![Adaptation](evaluation.png)"]
    return "\n".join([*lines, "", *pictures]) + "\n"


def main():
    made = parser(__doc__, ROOT / "results" / "agents")
    made.add_argument("--run-dir", type=Path, default=Path("runs/agents"))
    made.add_argument("--workers", type=int, default=2)
    options = parse(made)
    size, output = SMALL if options.small else Size(), options.output
    output.mkdir(parents=True, exist_ok=True)
    runs = {
        agent: [options.run_dir / f"{agent}-{seed}" for seed in size.seeds] for agent in size.agents
    }
    curves = {
        agent: [
            train(size, agent, seed, run, options.workers)
            for seed, run in zip(size.seeds, folders, strict=True)
        ]
        for agent, folders in runs.items()
    }
    about = {"preset": PRESET, "seeds": size.seeds, "versions": versions(), "curves": curves}
    (output / "curves.json").write_text(json.dumps(about) + "\n")
    draw(curves, size.seeds, output / "curves.png")
    folders = [run for of_agent in runs.values() for run in of_agent]
    flags = ["--output", output, "--workers", options.workers, *size.evaluation]
    metarl("evaluate", *folders, *flags)
    evaluation = json.loads((output / "evaluation.json").read_text())
    (output / "README.md").write_text(table(curves, evaluation, size))


if __name__ == "__main__":
    main()
