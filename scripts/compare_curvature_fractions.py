"""Show what it does to learning that curvature products use a fraction of the steps.

Trains presets with all steps and with a fraction, five seeds each, from the command line, and
writes the learning curves to results/curvature-fraction/: the returns, a figure and a table.

    python scripts/compare_curvature_fractions.py [--run-dir runs/curvature-fraction]

Stopped, it goes on where it was: runs are resumed, whole ones are not repeated.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from shared import ROOT, SMALL_TRAINING, metarl, parse, parser

from metarl.runs.metrics import read_metrics

# Preset: fraction beside 1, iterations.
STUDIES = {"navigation-2d": (0.1, 60), "half-cheetah-dir": (0.05, 25)}
SEEDS = range(1, 6)
SMALL_STUDIES, SMALL_SEEDS = {"navigation-2d": (0.1, 2)}, range(1, 3)
T_975 = 2.776  # Student's t with 4 degrees of freedom: 95 % two-sided intervals of 5 seeds
LAST = 10


def curve(
    preset: str, fraction: float, seed: int, iterations: int, options: argparse.Namespace
) -> list[float]:
    """Train, or read what was trained; give the post-adaptation return of each iteration."""
    run = options.run_dir / f"{preset}-{fraction}-{seed}"
    flags = ["--run-dir", run, "--iterations", iterations, "--workers", options.workers]
    if run.exists():
        flags += ["--resume"]
    else:
        flags += ["--seed", seed, "--curvature-fraction", fraction]
        flags += SMALL_TRAINING if options.small else ()
    metarl("train", preset, *flags)
    records = read_metrics(run)
    return [record["post_adaptation_return"] for record in records]


def summary(
    preset: str, fraction: float, seeds: list[int], curves: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Give the mean return of the last iterations, and the fraction's difference by seed."""
    last = {name: values[:, -LAST:].mean(1) for name, values in curves.items()}
    difference = last[str(fraction)] - last["1.0"]
    half = T_975 * difference.std(ddof=1) / np.sqrt(len(difference))
    return {
        "preset": preset,
        "fraction": fraction,
        "seeds": seeds,
        "mean return of the last iterations by seed": {k: v.tolist() for k, v in last.items()},
        "difference by seed": difference.tolist(),
        "mean difference": float(difference.mean()),
        "its 95 % t interval": [float(difference.mean() + side * half) for side in (-1, 1)],
        "standard deviation over seeds with all steps": float(last["1.0"].std(ddof=1)),
        "post-adaptation returns by iteration": {k: v.tolist() for k, v in curves.items()},
    }


def draw(axes: Any, preset: str, curves: dict[str, np.ndarray]) -> None:
    for name, values in curves.items():
        iterations = np.arange(1, values.shape[1] + 1)
        label = "all steps" if name == "1.0" else f"{float(name):.0%} of the steps"
        (line,) = axes.plot(
            iterations, values.mean(0), label=f"{label}, mean of {len(values)} seeds"
        )
        for of_seed in values:
            axes.plot(iterations, of_seed, color=line.get_color(), alpha=0.25, linewidth=0.8)
    axes.set(title=preset, xlabel="iteration", ylabel="return after adaptation")
    axes.legend()


def table(summaries: list[dict[str, Any]]) -> str:
    lines = [
        "# A fraction of the curvature",
        "",
        f"Return after adaptation, mean of the last {LAST} iterations; mean ± standard deviation",
        "of five seeds;",
        "written by `python scripts/compare_curvature_fractions.py`.",
        "",
        "| preset | all steps | a fraction of the steps | difference, 95 % interval |",
        "|---|---|---|---|",
    ]
    for one in summaries:
        last = one["mean return of the last iterations by seed"]
        cells = [f"{np.mean(v):.2f} ± {np.std(v, ddof=1):.2f}" for v in last.values()]
        low, high = one["its 95 % t interval"]
        lines.append(
            f"| {one['preset']} | {cells[0]} | {cells[1]} ({one['fraction']:.0%}) | "
            f"{one['mean difference']:+.2f} [{low:+.2f}, {high:+.2f}] |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, ROOT / "results" / "curvature-fraction")
    made.add_argument("--run-dir", type=Path, default=Path("runs/curvature-fraction"))
    made.add_argument("--workers", type=int, default=2)
    options = parse(made)
    studies, seeds = (SMALL_STUDIES, SMALL_SEEDS) if options.small else (STUDIES, SEEDS)
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    figure, panels = plt.subplots(1, len(studies), figsize=(6 * len(studies), 4), squeeze=False)
    summaries = []
    for axes, (preset, (fraction, iterations)) in zip(panels[0], studies.items(), strict=True):
        by_seed = [
            [curve(preset, one, seed, iterations, options) for one in (1.0, fraction)]
            for seed in seeds
        ]
        full, part = (np.array(values) for values in zip(*by_seed, strict=True))
        curves = {"1.0": full, str(fraction): part}
        draw(axes, preset, curves)
        summaries.append(summary(preset, fraction, list(seeds), curves))
        (output / f"{preset}.json").write_text(json.dumps(summaries[-1], indent=2) + "\n")
    figure.tight_layout()
    figure.savefig(output / "curves.png", dpi=100)
    (output / "README.md").write_text(table(summaries))
    print(table(summaries))


if __name__ == "__main__":
    main()
