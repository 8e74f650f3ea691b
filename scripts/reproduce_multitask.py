"""Plain multi-task policy gradient on 2D navigation beside MAML and the published baseline.

Three seeds of `navigation-2d --agent multitask`, evaluated after 5, 10, 20, 30, 75 and 100
iterations on the held-out goals and by the step sizes of results/paper/navigation-2d.

    python scripts/reproduce_multitask.py

Writes results/multitask: README.md with the table, summary.json, each seed's configuration,
metrics, sessions and newest checkpoint. Stopped, it goes on where it was.
"""

import json
import os
from pathlib import Path

from reproduce_paper import keep
from shared import ROOT, SMALL_TRAINING, metarl, parse, parser

import metarl as front_door
from metarl.config.plugins import load_preset

# From ROOT, so that no recorded path is of this machine.
RESULTS = Path("results") / "multitask"
PAPER = Path("results") / "paper" / "navigation-2d" / "evaluation.json"
SEEDS = (1, 2, 3)
STOPS = (5, 10, 20, 30, 75, 100)


def line(label: str, returns: list[float]) -> str:
    """Give a row of the table."""
    return f"| {label} | " + " | ".join(f"{value:.1f}" for value in returns) + " |"


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Give the page."""
    lines = [
        "# What does meta-learning buy on 2D navigation?",
        "",
        "Written by `python scripts/reproduce_multitask.py`. `multitask` trains one policy for all",
        "tasks by policy gradient (Adam, step size 0.01, 20 tasks × 20 episodes an iteration): no",
        "inner step, the same baseline and advantages as MAML. Mean returns on 40 held-out goals",
        "× 40 episodes before adaptation and after 1, 2 and 3 gradient steps, α 0.5, then 0.25.",
        "An iteration of `multitask` plays half as many episodes as one of MAML.",
        "",
        "| | 0 | 1 | 2 | 3 |",
        "|---|---|---|---|---|",
    ]
    for seed, stops in found.items():
        for stop, returns in stops.items():
            lines.append(line(f"multitask, seed {seed}, {stop} iterations", returns))
    if PAPER.exists():
        (maml,) = json.loads(PAPER.read_text())["curves"].values()
        lines.append(line("MAML-TRPO, three seeds, 100 iterations", maml["mean_return"]))
    published = load_preset("navigation-2d").published
    lines.append(line("published: MAML", published["maml-trpo"]))
    lines.append(line("published: pretrained", published["pretrained"]))
    lines += [
        "",
        "The *pretrained* policy of Finn, Abbeel, Levine 2017 was trained in this way and stopped",
        "early: its standard deviation, 0.92, is that of about ten iterations here.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, RESULTS)
    made.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    made.add_argument("--run-dir", type=Path, default=Path("runs/multitask"))
    made.add_argument("--workers", type=int, default=2)
    options = parse(made)
    os.chdir(ROOT)
    seeds, stops = (options.seeds[:1], (1, 2)) if options.small else (options.seeds, STOPS)
    summary = options.output / "summary.json"
    found = json.loads(summary.read_text()) if summary.exists() else {}
    for seed in seeds:
        run, kept = options.run_dir / f"seed-{seed}", options.output / f"seed-{seed}"
        of_seed = found.setdefault(str(seed), {})
        for stop in stops:
            if str(stop) in of_seed:
                continue
            common = ["--run-dir", run, "--iterations", stop, "--workers", options.workers]
            start = ["navigation-2d", "--agent", "multitask", "--seed", seed]
            start += list(SMALL_TRAINING) if options.small else []
            start = ["--resume"] if run.exists() else start
            metarl("train", *start, *common, "--no-tensorboard")
            small = {"tasks": 2, "episodes_per_task": 2} if options.small else {}
            (evaluation,) = front_door.evaluate(run, workers=options.workers, **small)
            of_seed[str(stop)] = evaluation.mean_return.tolist()
            keep(run, kept)
            summary.write_text(json.dumps(found, indent=1) + "\n")
            (options.output / "README.md").write_text(table(found))


if __name__ == "__main__":
    main()
