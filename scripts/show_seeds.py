"""Show how far the seeds of an experiment lie apart, and by when it is known which ends where.

Reads what `python scripts/reproduce_paper.py` has trained and evaluated, and writes to
results/seeds: a figure and a table for each experiment (README.md), and their numbers (seeds.json).

    python scripts/show_seeds.py
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from reproduce_paper import FINN
from scipy.stats import spearmanr
from shared import ROOT, parse, parser

from metarl.runs.metrics import read_metrics

PARTS = 10
"""Of a run's iterations; a curve is told by the mean return in each."""
NEAR = 0.1
"""How far from the published return, as a share of it, counts as reaching it."""


@dataclass(frozen=True)
class Spread:
    """An experiment whose seeds are compared."""

    name: str
    iterations: int
    """That every seed has; what a seed has beyond is not looked at in training."""
    authors: dict[str, float]
    """Returns after one step of single runs of the paper's authors, by what to call them."""


SPREADS = (
    # The second: the authors' data files as of February 2017, iteration 50, KL ≤ 0.01.
    Spread("half-cheetah-dir", 100, {"published": 293.19, "the authors' earlier run": 172.2}),
    Spread("half-cheetah-vel", 475, {"published": -78.57}),
)


def training_returns(spread: Spread, results: Path, seed: int | str) -> list[float]:
    """Give a seed's returns after one step, by iteration."""
    records = read_metrics(results / spread.name / f"seed-{seed}")[: spread.iterations]
    return [record["post_adaptation_return"] for record in records]


def measure(spread: Spread, results: Path) -> dict[str, Any]:
    """Give each seed's course of training and its held-out returns."""
    folder = results / spread.name
    found = json.loads((folder / "evaluation.json").read_text())
    (curve,) = found["curves"].values()
    seeds = {}
    for run in sorted(curve["runs"], key=lambda run: run["training_seed"]):
        seed = run["training_seed"]
        parts = np.array_split(training_returns(spread, results, seed), PARTS)
        seeds[str(seed)] = {
            "training": [float(part.mean()) for part in parts],
            "held_out": run["mean_return"],
        }
    return {"seeds": seeds, "authors": spread.authors, **_said_of(seeds, spread)}


def _said_of(seeds: dict[str, Any], spread: Spread) -> dict[str, Any]:
    """Say how many reach the published return, and how early the order of the seeds is known."""
    after_one_step = np.array([one["held_out"][1] for one in seeds.values()])
    training = np.array([one["training"] for one in seeds.values()])
    published = spread.authors["published"]
    near = after_one_step >= published - NEAR * abs(published)
    ranks = [spearmanr(part, training[:, -1]).statistic for part in training.T]
    return {
        "reaching": int(near.sum()),
        "standard_deviation": float(after_one_step.std(ddof=1)),
        "rank_correlation_with_the_end": [float(rank) for rank in ranks],
    }


def draw(spread: Spread, results: Path, found: dict[str, Any]) -> Figure:
    """Draw each seed's returns in training, and where it ends on held-out tasks."""
    figure = Figure((8.4, 3.8), layout="constrained")
    courses, ends = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    for row, (seed, one) in enumerate(found["seeds"].items()):
        colour = f"C{row % 10}"
        returns = training_returns(spread, results, seed)
        courses.plot(range(1, len(returns) + 1), returns, colour, lw=0.9)
        end = one["held_out"][1]
        ends.plot(row, end, "o", color=colour)
        ends.annotate(seed, (row, end), (0, 6), textcoords="offset points", ha="center", size=8)
    for style, (name, value) in zip(("--", ":"), found["authors"].items(), strict=False):
        ends.axhline(value, color="k", ls=style, lw=1, label=f"{name}: {value:.0f}")
    courses.set(title="training", xlabel="iteration", ylabel="mean return after one step")
    ends.set(title="40 held-out tasks", xticks=[], xlim=(-0.6, len(found["seeds"]) - 0.4))
    ends.legend(frameon=False, fontsize="x-small", loc="lower right")
    figure.suptitle(f"{spread.name}: {len(found['seeds'])} seeds")
    return figure


def page(spreads: tuple[Spread, ...], records: dict[str, Any]) -> str:
    """Give the page: a table for each experiment, under its figure."""
    lines = [
        "# How far seeds lie apart",
        "",
        "Written by `python scripts/show_seeds.py` from the runs of",
        "[the paper's numbers](../paper/README.md). Mean returns after one step, over a tenth of",
        "the iterations each, and on 40 held-out tasks after 0 / 1 / 2 / 3 steps. The rank",
        "correlation (Spearman's) says how well the order of the seeds in a tenth tells their",
        "order in the last. Dashed: the authors' own runs, of one seed each.",
    ]
    for spread in spreads:
        one = records[spread.name]
        tenths = [part[[0, -1]] for part in np.array_split(np.arange(spread.iterations) + 1, PARTS)]
        headings = [f"{first}–{last}" for first, last in tenths]
        lines += [
            "",
            f"## {spread.name}",
            "",
            f"![{spread.name}]({spread.name}.png)",
            "",
            f"Seeds within ten percent of the published return after one step, or beyond it: "
            f"{one['reaching']} of {len(one['seeds'])}. Standard deviation over seeds: "
            f"{one['standard_deviation']:.1f}.",
            "",
            f"| seed | {' | '.join(headings)} | held out |",
            f"|---|{'---|' * len(headings)}---|",
        ]
        for seed, row in one["seeds"].items():
            training = " | ".join(f"{value:.1f}" for value in row["training"])
            lines.append(f"| {seed} | {training} | {_steps(row['held_out'])} |")
        ranks = " | ".join(f"{rank:.2f}" for rank in one["rank_correlation_with_the_end"])
        lines.append(f"| rank correlation with the end | {ranks} | |")
    return "\n".join(lines) + "\n"


def _steps(returns: list[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in returns)


def main() -> None:
    made = parser(__doc__, ROOT / "results" / "seeds")
    made.add_argument("--runs", type=Path, default=ROOT / "results" / "paper")
    options = parse(made)
    spreads = SPREADS[:1] if options.small else SPREADS
    options.output.mkdir(parents=True, exist_ok=True)
    records = {}
    for spread in spreads:
        assert spread.name in FINN
        records[spread.name] = measure(spread, options.runs)
        figure = draw(spread, options.runs, records[spread.name])
        figure.savefig(options.output / f"{spread.name}.png", dpi=120)
    (options.output / "seeds.json").write_text(json.dumps(records, indent=1) + "\n")
    (options.output / "README.md").write_text(page(spreads, records))


if __name__ == "__main__":
    main()
