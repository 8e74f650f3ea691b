"""Train and evaluate PEARL and CAVIA, beside agents of the other families and the papers' numbers.

A comparison trains the seeds of its presets, takes the committed runs of others where there are
some, and evaluates all of them on the same held-out tasks, at equal experience in a new task.
`sinusoid` trains regression by 1 to 50 context parameters, and MAML with as many extra inputs.
What results goes to results/inference: configuration, metrics, sessions and newest checkpoint of
each seed, evaluations with their figures, and README.md with a table of all.

    python scripts/reproduce_inference_agents.py                     everything: days on two cores
    python scripts/reproduce_inference_agents.py semicircle-sparse   one of them, or several
    python scripts/reproduce_inference_agents.py --minutes 120       as far as it comes in two hours
    python scripts/reproduce_inference_agents.py --evaluate          what is there already
    python scripts/reproduce_inference_agents.py --list

Stopped, it goes on where it was: runs are resumed, from their folders under --run-dir or, where
these are gone, from the checkpoints under results/inference.
"""

import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reproduce_memory_agents import forget_trials
from reproduce_paper import Experiment, keep, smaller, train
from reproduce_supervised import SMALL_TRAINING as SMALL_REGRESSION
from shared import ROOT, SMALL_EVALUATION, metarl, parse, parser

import metarl as front_door
from metarl.config.comparability import unit_of
from metarl.config.plugins import load_preset
from metarl.experiments.curves import interval_in_words
from metarl.runs.metrics import read_metrics
from metarl.runs.run_folder import read_config

# From ROOT, so that no recorded path is of this machine.
RESULTS = Path("results") / "inference"
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Comparison:
    """What is evaluated together."""

    presets: tuple[str, ...]
    """Trained for it."""
    others: tuple[str, ...] = ()
    """Folders under results/ whose seeds take part, where they are there."""
    tasks: int = 40
    """Held-out tasks."""
    published: str = ""


COMPARISONS = {
    "semicircle-sparse": Comparison(
        ("semicircle-sparse-pearl", "navigation-semicircle"),
        ("memory/semicircle-sparse-rl2", "memory/semicircle-sparse-varibad"),
        tasks=200,
    ),
    "semicircle-dense": Comparison(
        ("semicircle-dense-pearl", "navigation-semicircle-dense"), tasks=200
    ),
    "navigation-2d": Comparison(("navigation-2d-cavia",), ("paper/navigation-2d",)),
    "half-cheetah-vel": Comparison(
        ("half-cheetah-vel-pearl-small",),
        ("memory/half-cheetah-vel-rl2", "memory/half-cheetah-vel-varibad"),
        published="PEARL about −70 after a million env steps (Rakelly et al. 2019, figure 3)",
    ),
}
SINUSOID = {
    # Zintgraf et al. 2019, table 1: mean squared error by the number of parameters.
    "cavia": {1: 0.84, 2: 0.21, 3: 0.20, 4: 0.19, 5: 0.19, 50: 0.19},
    "maml": {1: 0.29, 2: 0.24, 3: 0.24, 4: 0.23, 5: 0.23, 50: 0.23},
}
RATES = {"cavia": "1.0", "maml": "0.01"}
"""α of each, in training and evaluation."""
FEW_EPISODES = (1, 2, 5, 10)
"""Of a task and gradient step, fewer than in training: what is left where experience is dear."""


def of_preset(name: str) -> Experiment:
    """Give the experiment that trains a preset's seeds."""
    preset = load_preset(name)
    return Experiment(name, preset.iterations, SEEDS, "", agent=preset.agent)


def of_sinusoid(agent: str, size: int) -> Experiment:
    """Give the experiment that fits sine waves by so many context parameters or extra inputs."""
    rate = RATES[agent]
    flags = ("--context-parameters", size, "--inner-learning-rate", rate)
    return Experiment(
        "sinusoid-cavia",
        load_preset("sinusoid-cavia").iterations,
        SEEDS[:1],
        "",
        agent=agent,
        flags=(*flags, "--test-learning-rates", rate),
    )


def trained(name: str, small: bool = False) -> dict[str, Experiment]:
    """Give what a comparison or `sinusoid` trains, by the folder it goes to."""
    if name != "sinusoid":
        found = {preset: of_preset(preset) for preset in COMPARISONS[name].presets}
        return {label: smaller(one) for label, one in found.items()} if small else found
    if small:
        one = of_sinusoid("cavia", 5)
        return {"cavia-5": replace(one, iterations=2, flags=(*one.flags, *SMALL_REGRESSION))}
    return {
        f"{agent}-{size}": of_sinusoid(agent, size)
        for agent, published in SINUSOID.items()
        for size in published
    }


def evaluate(name: str, folder: Path, workers: int, small: bool) -> None:
    """Evaluate what is there; write evaluation.json and a figure, or the sinusoid's errors."""
    if name == "sinusoid":
        errors = {}
        for kept in sorted(folder.glob("*/seed-*")):
            (found,) = front_door.evaluate(kept, workers=workers, **({"tasks": 2} if small else {}))
            joint = found.found[0].joint
            errors[kept.parent.name] = {
                "iteration": read_metrics(kept)[-1]["iteration"],
                "error": joint.mean.tolist(),
                "ci95": joint.ci95.tolist(),
            }
        (folder / "summary.json").write_text(json.dumps(errors, indent=1) + "\n")
        return
    flags = SMALL_EVALUATION if small else ["--tasks", COMPARISONS[name].tasks]
    runs = compared(name, folder)
    metarl("evaluate", *runs, *flags, "--output", folder, "--workers", workers)
    by_agent: dict[str, list[Path]] = defaultdict(list)
    for run in runs:
        agent = read_config(run).agent
        if unit_of(agent) == "gradient step":
            by_agent[agent].append(run)
    tasks = 2 if small else COMPARISONS[name].tasks
    with_few = {agent: with_few_episodes(own, tasks, workers) for agent, own in by_agent.items()}
    if with_few:
        (folder / "few_episodes.json").write_text(json.dumps(with_few, indent=1) + "\n")


def with_few_episodes(runs: list[Path], tasks: int, workers: int) -> dict[int, Any]:
    """Evaluate gradient steps on few episodes each; give returns by the number of them."""
    curves = {}
    for episodes in FEW_EPISODES:
        (found,) = front_door.evaluate(
            runs, tasks=tasks, episodes_per_task=episodes, query_episodes=20, workers=workers
        )
        mean, interval = found.mean_return.tolist(), found.ci95.tolist()
        curves[episodes] = {"mean_return": mean, "ci95": interval}
    return curves


def compared(name: str, folder: Path) -> list[Path]:
    """Give the runs that a comparison has."""
    runs = sorted(folder.glob("*/seed-*"))
    for other in COMPARISONS[name].others:
        runs += sorted((RESULTS.parent / other).glob("seed-*"))
    return runs


def table(results: Path) -> str:
    """Give the page."""
    lines = [
        "# Agents that infer the task, beside the others",
        "",
        "Written by `python scripts/reproduce_inference_agents.py`. All rows of a comparison were",
        "measured on the same held-out tasks; in brackets the 95 % interval of the mean over",
        "tasks; with several seeds each task counts by its mean over them. A return is that of the",
        "next episode after so many env steps in the new task (see docs/choosing.md). Each seed's",
        "`sessions.jsonl` says commit, versions and command of every session. What differs and",
        "what was tried: [NOTES.md](NOTES.md).",
    ]
    for name, comparison in COMPARISONS.items():
        lines += ["", f"## {name}", ""]
        if comparison.published:
            lines += [f"Published: {comparison.published}.", ""]
        file = results / name / "evaluation.json"
        if not file.exists():
            lines.append("Not run.")
            continue
        found = json.loads(file.read_text())
        lines += [
            f"{len(found['tasks'])} held-out tasks.",
            "",
            "| agent | seeds | M env steps | at first | return after env steps of experience |",
            "|---|---|---|---|---|",
        ]
        trained_for = defaultdict(list)
        for run in compared(name, results / name):
            steps = read_metrics(run)[-1]["env_steps"]
            trained_for[read_config(run).agent].append(f"{steps / 1e6:.2f}")
        for agent, curve in found["curves"].items():
            seeds = trained_for[agent]
            used = curve.get("experience") or range(len(curve["mean_return"]))
            points = returns_of(curve)
            later = ", ".join(
                f"{steps:.0f}: {point}" for steps, point in zip(used, points, strict=True) if steps
            )
            said = ", ".join(seeds)
            lines.append(f"| {agent} | {len(seeds)} | {said} | {points[0]} | {later} |")
        lines += ["", f"![{name}]({name}/evaluation.png)", *rows_with_few_episodes(results / name)]
    lines += ["", "## sinusoid", ""]
    lines += [
        "Mean squared error after one step on 10 points, 600 held-out waves, one seed of 50,000",
        "iterations. Published: Zintgraf et al. 2019, table 1.",
        "",
        "| parameters | " + " | ".join(f"{agent} | published" for agent in SINUSOID) + " |",
        "|---|" + "---|---|" * len(SINUSOID),
    ]
    file = results / "sinusoid" / "summary.json"
    errors = json.loads(file.read_text()) if file.exists() else {}
    for size in SINUSOID["cavia"]:
        cells = []
        for agent, published in SINUSOID.items():
            one = errors.get(f"{agent}-{size}")
            said = "not run"
            if one:
                low, high = one["ci95"][-1]
                said = f"{one['error'][-1]:.3f} [{low:.3f}, {high:.3f}]"
                if one["iteration"] != load_preset("sinusoid-cavia").iterations:
                    said += f" after {one['iteration']:,}"
            cells += [said, str(published[size])]
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def returns_of(curve: dict[str, Any]) -> list[str]:
    """Write a curve's mean returns, each with its interval."""
    pairs = zip(curve["mean_return"], curve["ci95"], strict=True)
    return [f"{mean:.2f} {interval_in_words(ends, '.2f')}" for mean, ends in pairs]


def rows_with_few_episodes(folder: Path) -> list[str]:
    """Give the table of gradient steps on few episodes each."""
    file = folder / "few_episodes.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    lines = []
    for agent, curves in found.items():
        steps = len(next(iter(curves.values()))["mean_return"])
        after = " | ".join(f"step {step}" for step in range(1, steps))
        lines += [
            "",
            f"{agent} with fewer episodes for a gradient step:",
            "",
            f"| episodes | {after} |",
            "|---" * steps + "|",
        ]
        for episodes, curve in curves.items():
            lines.append(f"| {episodes} | {' | '.join(returns_of(curve)[1:])} |")
    return lines


def main() -> None:
    made = parser(__doc__, RESULTS)
    names = [*COMPARISONS, "sinusoid"]
    made.add_argument("experiments", nargs="*", help="default: all")
    made.add_argument("--seeds", type=int, nargs="*", help="default: 1 2 3; of the sinusoid 1")
    made.add_argument("--minutes", type=float, help="stop training after so long")
    made.add_argument("--run-dir", type=Path, default=Path("runs/inference"))
    made.add_argument("--workers", type=int, default=2)
    made.add_argument("--list", action="store_true", help="say what there is")
    made.add_argument("--evaluate", action="store_true", help="train nothing")
    options = parse(made)
    os.chdir(ROOT)
    chosen = options.experiments or names
    if unknown := set(chosen) - set(names):
        made.error(f"no experiment {', '.join(unknown)}; there are {', '.join(names)}")
    if options.list:
        for name in chosen:
            print(name, ", ".join(trained(name)))
        return
    deadline = options.minutes and time.monotonic() + 60 * options.minutes
    for name in chosen:
        folder = options.output / name
        for label, experiment in trained(name, options.small).items():
            for seed in options.seeds or experiment.seeds:
                run = options.run_dir / name / label / f"seed-{seed}"
                kept = folder / label / f"seed-{seed}"
                if options.evaluate:
                    if run.exists():
                        keep(run, kept)
                elif not train(experiment, seed, run, kept, str(options.workers), deadline):
                    break
                if kept.exists() and experiment.agent == "pearl":
                    forget_trials(kept)
        if any(folder.glob("*/seed-*")):
            evaluate(name, folder, options.workers, options.small)
        (options.output / "README.md").write_text(table(options.output))
        if deadline and time.monotonic() > deadline:
            break


if __name__ == "__main__":
    main()
