"""Train 2D navigation five times as long as the paper, and see what its later steps need.

MAML-TRPO in the preset's protocol and with a floor under the standard deviation, 500 iterations,
evaluated with several step sizes α for the second and the third step.

    python scripts/compare_long_navigation.py

Writes results/navigation-2d-long: README.md with the table, summary.json, each run's configuration,
metrics, sessions and newest checkpoint. The step sizes and the floor were chosen on seed 1 and the
held-out goals that `metarl evaluate` draws from its seed 1; the table is of other goals, from seed
2. Stopped, it goes on where it was.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from reproduce_paper import keep
from shared import ROOT, SMALL_TRAINING, metarl, parse, parser

import metarl as front_door
from metarl.config.plugins import load_preset

# From ROOT, so that no recorded path is of this machine.
RESULTS = Path("results") / "navigation-2d-long"
SEEDS = (1, 2, 3)
ITERATIONS = 500
FLOORS = {"protocol": (), "std-0.5": ("--minimum-std", 0.5)}
"""Flags by the name of a variant."""
LATER = (0.25, 0.1, 0.05)
"""α of the second and the third step; the first is the preset's 0.5, and 0.25 the preset's, too."""
GOALS = 2
"""The seed of the held-out goals."""

Returns = dict[str, dict[str, list[float]]]
"""Mean returns after 0, 1, 2, 3 steps, by later α and seed."""


def table(found: dict[str, Returns]) -> str:
    """Give the page."""
    lines = [
        "# 2D navigation, trained five times as long",
        "",
        "Written by `python scripts/compare_long_navigation.py`. MAML-TRPO, `navigation-2d`,",
        f"{ITERATIONS} iterations instead of 100. Mean returns on 40 held-out goals × 40 episodes",
        "before adaptation and after 1, 2 and 3 gradient steps: mean of the seeds, and the worst",
        "and the best of them. The first step has α = 0.5, the later ones the α of the row.",
        "",
        "| training | α of later steps | seeds | 0 | 1 | 2 | 3 |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {"protocol": "as the preset", "std-0.5": "`--minimum-std 0.5`"}
    for variant, rows in found.items():
        for later, of_seeds in rows.items():
            returns = np.array(list(of_seeds.values()))
            spans = zip(returns.mean(0), returns.min(0), returns.max(0), strict=True)
            cells = [
                f"{mean:.1f}" + f" [{low:.1f}, {high:.1f}]" * (len(returns) > 1)
                for mean, low, high in spans
            ]
            seeds = ", ".join(of_seeds)
            lines.append(f"| {names[variant]} | {later} | {seeds} | {' | '.join(cells)} |")
    published = load_preset("navigation-2d").published["maml-trpo"]
    lines.append(f"| published, 100 iterations | 0.25 | | {' | '.join(map(str, published))} |")
    lines += [
        "",
        "The standard deviation σ of the policy goes on shrinking (seed 1: 0.48 after 100",
        "iterations, 0.25 after 500). The gradient of log π grows as 1/σ, so steps of the same α",
        "become longer. A floor under σ and a smaller α of the later steps each help.",
        "Evaluate a run of your own by",
        "`metarl evaluate RUN_DIR --learning-rates 0.5 0.1`.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, RESULTS)
    made.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    made.add_argument("--variants", nargs="*", choices=list(FLOORS), default=list(FLOORS))
    made.add_argument("--run-dir", type=Path, default=Path("runs/navigation-2d-long"))
    made.add_argument("--workers", type=int, default=2)
    options = parse(made)
    os.chdir(ROOT)
    small: dict[str, Any] = {"tasks": 2, "episodes_per_task": 2} if options.small else {}
    seeds, iterations = (options.seeds[:1], 2) if options.small else (options.seeds, ITERATIONS)
    summary = options.output / "summary.json"
    found: dict[str, Returns] = json.loads(summary.read_text()) if summary.exists() else {}
    for seed in seeds:
        for variant in options.variants:
            run = options.run_dir / variant / f"seed-{seed}"
            start = ["navigation-2d", "--seed", seed, *FLOORS[variant]]
            start += list(SMALL_TRAINING) if options.small else []
            start = ["--resume"] if run.exists() else start
            common = ["--run-dir", run, "--iterations", iterations, "--workers", options.workers]
            metarl("train", *start, *common, "--no-tensorboard")
            keep(run, options.output / variant / f"seed-{seed}")
            for later in LATER:
                (evaluation,) = front_door.evaluate(
                    run, learning_rates=(0.5, later), seed=GOALS, workers=options.workers, **small
                )
                of_seeds = found.setdefault(variant, {}).setdefault(str(later), {})
                of_seeds[str(seed)] = evaluation.mean_return.tolist()
            summary.write_text(json.dumps(found, indent=1) + "\n")
            (options.output / "README.md").write_text(table(found))


if __name__ == "__main__":
    main()
