"""Train and evaluate the experiments of Finn et al. 2017 and of Rothfuss et al. 2019 (ProMP).

Every experiment is a preset, an agent and some seeds, trained by `metarl train` and evaluated
together on the same held-out tasks. What results go to results/paper/EXPERIMENT: configuration,
metrics, sessions and newest checkpoint of each seed, the learning curves, the evaluation with its
figure, and to results/paper/README.md a table of all of them beside the published numbers.

    python scripts/reproduce_paper.py                 everything: days on two cores
    python scripts/reproduce_paper.py navigation-2d   one of them, or several
    python scripts/reproduce_paper.py --minutes 120   as far as it comes in two hours
    python scripts/reproduce_paper.py --list
    python scripts/reproduce_paper.py --ship navigation-2d half-cheetah-dir

The last copies the policy of one seed of each to where `metarl evaluate NAME` finds them.

Stopped, it goes on where it was: runs are resumed, from their folders under --run-dir or, where
these are gone, from the checkpoints under results/paper.
"""

import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure
from shared import ROOT, SMALL_EVALUATION, SMALL_TRAINING, metarl, parse, parser

from metarl.config.plugins import load_preset
from metarl.runs.metrics import read_metrics

# From ROOT, so that no recorded path is of this machine.
RESULTS = Path("results") / "paper"
TRAINED = Path("envs") / "metarl_envs" / "trained"


@dataclass(frozen=True)
class Experiment:
    """What is trained, and what the table says of it."""

    preset: str
    iterations: int
    seeds: tuple[int, ...]
    published: str
    """Mean returns by adaptation step, or what else is known."""
    agent: str = "maml-trpo"
    flags: tuple[object, ...] = ()
    """Of `metarl train`."""
    evaluation_flags: tuple[object, ...] = ()
    """Of `metarl evaluate`."""
    target: str = ""
    shipped_seed: int = 0
    """Whose policy comes with the package; 0: the first's."""


def _from_the_preset(preset: str) -> str:
    return " / ".join(f"{value:.1f}" for value in load_preset(preset).published["maml-trpo"])


CHEAPER = ("--curvature-fraction", "0.1")
"""The trust region's metric from a tenth of the steps; see results/curvature-fraction."""

FINN = {
    # As many as the authors' script for it says; returns in training stand still from 75 on.
    "navigation-2d": Experiment("navigation-2d", 100, (1, 2, 3), "", target="−40 / −12 / −4 / −4"),
    "half-cheetah-dir": Experiment(
        "half-cheetah-dir-finn2017",
        100,  # as behind the published numbers
        tuple(range(1, 11)),  # they lie far apart: results/seeds
        "",
        flags=CHEAPER,
        target="290 after one step",
        shipped_seed=4,
    ),
    "half-cheetah-vel": Experiment(
        "half-cheetah-vel-finn2017",
        475,
        (1, 2, 3, 4),
        "",
        flags=(*CHEAPER, "--episodes-per-task", "10"),
        # The authors' test script collects 4,000 transitions, whatever was used in training.
        evaluation_flags=("--episodes-per-task", "20"),
        target="−79 after one step, −61 after three",
    ),
    "ant-vel": Experiment("ant-vel-finn2017", 375, (1,), "", flags=CHEAPER),
    "ant-dir": Experiment("ant-dir-finn2017", 575, (1,), "", flags=CHEAPER),
}
MAML_BY_PROMP = Experiment(
    "half-cheetah-dir",
    75,
    (1, 2, 3),
    "159 after one step at 12 M env steps (read off a plot, ±5)",
    target="200 after one step",
)
PROMP = {
    "half-cheetah-dir-promp-protocol-maml": MAML_BY_PROMP,
    # Not their trust region but that of Finn et al. for this task.
    "half-cheetah-dir-promp-protocol-maml-kl-0.02": replace(
        MAML_BY_PROMP, flags=("--max-kl", "0.02")
    ),
    "half-cheetah-dir-promp-protocol-promp": Experiment(
        "half-cheetah-dir",
        75,
        (1, 2, 3),
        "205 after one step at 12 M env steps (read off a plot, ±5)",
        agent="promp",
        target="more than MAML's",
    ),
}
EXPERIMENTS = FINN | PROMP


def smaller(experiment: Experiment) -> Experiment:
    """Give one that takes seconds."""
    return replace(
        experiment,
        iterations=2,
        seeds=experiment.seeds[:1],
        flags=SMALL_TRAINING,
        evaluation_flags=SMALL_EVALUATION,
    )


def train(
    experiment: Experiment, seed: int, run: Path, kept: Path, workers: str, deadline: float | None
) -> bool:
    """Train one seed, or go on with it; give whether all iterations are done."""
    if not run.exists() and kept.exists():
        shutil.copytree(kept, run)
    common = ["--run-dir", run, "--workers", workers, "--iterations", experiment.iterations]
    if run.exists():
        done = metarl("train", *common, "--resume", "--no-tensorboard", deadline=deadline)
    else:
        start = [experiment.preset, "--agent", experiment.agent, "--seed", seed, *experiment.flags]
        done = metarl("train", *start, *common, "--no-tensorboard", deadline=deadline)
    keep(run, kept)
    return done


def keep(run: Path, kept: Path) -> None:
    """Copy what is to be committed of a run: all but old checkpoints."""
    shutil.rmtree(kept, ignore_errors=True)
    (kept / "checkpoints").mkdir(parents=True)
    for file in ("config.json", "metrics.jsonl", "sessions.jsonl"):
        shutil.copy2(run / file, kept / file)
    newest = max((run / "checkpoints").glob("iteration-*[0-9]"))
    shutil.copytree(newest, kept / "checkpoints" / newest.name)


def ship(experiment: Experiment, folder: Path, trained: Path) -> None:
    """Copy one seed's configuration and newest checkpoint into the package."""
    source = folder / f"seed-{experiment.shipped_seed or experiment.seeds[0]}"
    (newest,) = (source / "checkpoints").iterdir()
    target = trained / experiment.preset
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(newest, target / "checkpoints" / newest.name)
    shutil.copy2(source / "config.json", target)


def evaluate(experiment: Experiment, folder: Path, workers: str) -> None:
    """Evaluate all seeds of an experiment together."""
    seeds = sorted(folder.glob("seed-*"))
    flags = experiment.evaluation_flags
    metarl("evaluate", *seeds, *flags, "--output", folder, "--workers", workers)


def draw_learning(experiment: Experiment, folder: Path) -> None:
    """Draw all seeds' learning curves, beside the published returns of the paper's experiments."""
    figure = Figure((6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    kinds = ("seed-*", "longer-seed-*")
    runs = [read_metrics(run) for kind in kinds for run in sorted(folder.glob(kind))]
    for colour, column, label in (
        ("tab:gray", "pre_adaptation_return", "before adaptation"),
        ("tab:blue", "post_adaptation_return", "after one step"),
    ):
        for records in runs:
            env_steps = [record["env_steps"] / 1e6 for record in records]
            axes.plot(env_steps, [record[column] for record in records], colour, lw=0.8)
        axes.plot([], [], colour, label=label)
    if not experiment.published:
        before, after, *_ = load_preset(experiment.preset).published["maml-trpo"]
        axes.axhline(before, color="tab:gray", ls="--")
        axes.axhline(after, color="tab:blue", ls="--")
        axes.plot([], [], "k--", label="published, at the end")
    axes.set(title=f"{folder.name}, training", xlabel="million env steps", ylabel="mean return")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(folder / "learning.png", dpi=120)


def table(results: Path) -> str:
    """Say how far each experiment came, beside the published numbers."""
    lines = [
        "# The paper's numbers",
        "",
        "Written by `python scripts/reproduce_paper.py`. Returns are means over 40 held-out tasks",
        "and the seeds, after 0 / 1 / 2 / 3 adaptation steps, with the 95 % interval of the second",
        "over tasks, or of several seeds over seeds. Published: the authors' data files, one seed.",
        "Each seed's `sessions.jsonl` says commit, versions, machine and command of every session.",
        "What differs and what was tried: [NOTES.md](NOTES.md).",
        "",
        "| experiment | agent | beside the preset | seeds | iterations | env steps each | here "
        "| interval, one step | published | target |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, experiment in EXPERIMENTS.items():
        file, flags = results / name / "evaluation.json", f"`{' '.join(experiment.flags)}`"
        flags = flags if experiment.flags else ""
        published = experiment.published or _from_the_preset(experiment.preset)
        if not file.exists():
            lines.append(
                f"| {name} | {experiment.agent} | {flags} | not run | | | | | {published} "
                f"| {experiment.target} |"
            )
            continue
        found = json.loads(file.read_text())
        curve = found.get("curves", {experiment.agent: found})[experiment.agent]  # one run: flat
        last = [read_metrics(folder)[-1] for folder in sorted((results / name).glob("seed-*"))]
        interval = curve.get("over_seeds", {}).get("mean_ci95", curve["ci95"])[1]
        here = " / ".join(f"{value:.1f}" for value in curve["mean_return"])
        iterations = ", ".join(str(record["iteration"]) for record in last)
        each = [f"{record['env_steps'] / 1e6:.1f}" for record in last]
        env_steps = each[0] if len(set(each)) == 1 else ", ".join(each)
        lines.append(
            f"| {name} | {experiment.agent} | {flags} | {len(last)} | {iterations} "
            f"| {env_steps} M | {here} | [{interval[0]:.1f}, {interval[1]:.1f}] | {published} "
            f"| {experiment.target} |"
        )
    done = [name for name in EXPERIMENTS if (results / name / "evaluation.png").exists()]
    pictures = [
        f"![{name}, training]({name}/learning.png) ![{name}, held-out]({name}/evaluation.png)"
        for name in done
    ]
    return "\n".join([*lines, "", *pictures]) + "\n"


def main() -> None:
    made = parser(__doc__, RESULTS)
    made.add_argument("experiments", nargs="*", help="default: all")
    made.add_argument("--seeds", type=int, nargs="*", help="default: the experiment's")
    made.add_argument("--minutes", type=float, help="stop training after so long")
    made.add_argument("--run-dir", type=Path, default=Path("runs/paper"))
    made.add_argument("--workers", default="2")
    made.add_argument("--list", action="store_true", help="say what there is")
    made.add_argument("--ship", action="store_true", help="put policies into the package")
    made.add_argument("--trained", type=Path, default=TRAINED, help="where --ship puts them")
    options = parse(made)
    os.chdir(ROOT)
    names = options.experiments or list(EXPERIMENTS)
    if unknown := set(names) - set(EXPERIMENTS):
        made.error(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    if options.list:
        for name in names:
            print(name, EXPERIMENTS[name])
        return
    if options.ship:
        for name in names:
            ship(EXPERIMENTS[name], options.output / name, options.trained)
        return
    deadline = options.minutes and time.monotonic() + 60 * options.minutes
    for name in names:
        experiment, folder = EXPERIMENTS[name], options.output / name
        if options.small:
            experiment = smaller(experiment)
        for seed in options.seeds or experiment.seeds:
            run, kept = options.run_dir / name / f"seed-{seed}", folder / f"seed-{seed}"
            if not train(experiment, seed, run, kept, options.workers, deadline):
                break
        evaluate(experiment, folder, options.workers)
        draw_learning(experiment, folder)
        (options.output / "README.md").write_text(table(options.output))
        if deadline and time.monotonic() > deadline:
            break


if __name__ == "__main__":
    main()
