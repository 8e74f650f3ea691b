"""Train and evaluate the agents with a memory, beside the papers' numbers and classical methods.

Every experiment is a preset and some seeds, trained by `metarl train` and evaluated together with
the methods that learn nothing, on the same held-out tasks. What results goes to
results/memory/EXPERIMENT: configuration, metrics, sessions and newest checkpoint of each seed, the
means and intervals of all agents (summary.json) and a figure; and to results/memory/README.md a
table of all of them.

    python scripts/reproduce_memory_agents.py                    everything: days on two cores
    python scripts/reproduce_memory_agents.py grid-navi-rl2      one of them, or several
    python scripts/reproduce_memory_agents.py --minutes 120      as far as it comes in two hours
    python scripts/reproduce_memory_agents.py --evaluate         what is there already
    python scripts/reproduce_memory_agents.py --list
    python scripts/reproduce_memory_agents.py --ship grid-navi-rl2

The last copies the policies of the first seeds to where `metarl evaluate NAME` finds them.

Stopped, it goes on where it was: runs are resumed, from their folders under --run-dir or, where
these are gone, from the checkpoints under results/memory.
"""

import json
import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from reproduce_paper import TRAINED, Experiment, keep, ship, smaller, train
from shared import ROOT, parse, parser

import metarl
from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment
from metarl.experiments.curves import AdaptationCurve
from metarl.experiments.environment_experiment import TEST_KEY
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.metrics import read_metrics
from metarl.runs.run_folder import read_config
from metarl.workers.trials import TrialActor, play_trials

# From ROOT, so that no recorded path is of this machine.
RESULTS = Path("results") / "memory"
BANDITS = [f"bandit-{arms}-arms-{pulls}-pulls" for pulls in (10, 100) for arms in (5, 10, 50)]
GOALS = list(range(21))
"""Of GridNavi; fifty trials of each are played."""
INSTANCES = {"bandit": 10_000, "mdp": 1_000, "grid": GOALS * 50, "semicircle": 200, "half": 40}
"""Held-out tasks, by how a preset's name begins: enough to tell methods apart."""
MDP_TOTALS = {
    # Duan et al. 2016, table 2, by episodes of a trial.
    10: {
        "rl2": 156.2,
        "thompson": 138.1,
        "opsrl": 144.1,
        "ucrl2": 146.6,
        "beb": 150.2,
        "epsilon-greedy": 132.8,
        "greedy": 134.8,
        "uniform": 100.1,
    },
    25: {
        "rl2": 445.7,
        "thompson": 408.8,
        "opsrl": 425.2,
        "ucrl2": 424.1,
        "beb": 427.8,
        "epsilon-greedy": 377.3,
        "greedy": 368.8,
        "uniform": 250.2,
    },
}
SEEDS = (1, 2, 3)
OTHERS = [
    "mdp-10-episodes",
    "mdp-25-episodes",
    "grid-navi-rl2",
    "grid-navi-varibad",
    "semicircle-sparse-rl2",
    "semicircle-sparse-varibad",
    "half-cheetah-vel-rl2",
    "half-cheetah-vel-varibad",
]


def experiments() -> dict[str, Experiment]:
    """Give all of them, each by its preset's name, with the preset's iterations."""
    found = {}
    for name in [*BANDITS, *OTHERS]:
        preset = load_preset(name)
        found[name] = Experiment(name, preset.iterations, SEEDS, "", agent=preset.agent)
    return found


def published(name: str) -> dict[str, float]:
    """Give what the source says that whole trials pay, by agent."""
    preset = load_preset(name)
    if name in BANDITS:
        return {agent: total for agent, (total,) in preset.published.items()}
    if name.startswith("mdp"):
        return MDP_TOTALS[preset.adaptation_steps + 1]
    return {}


def forget_trials(kept: Path) -> None:
    """Leave out of a checkpoint what an agent remembers of earlier trials; it is megabytes.

    A run that goes on from it fills its memory anew, so it is not the run that it would have been.
    """
    experiment = build_experiment(read_config(kept))
    checkpoints = Checkpoints(kept, experiment.about, experiment.agent.family.carried_bytes)
    state, versions, _ = checkpoints.load_newest(experiment.initial)
    agent = replace(state.agent, experience={})
    checkpoints.save(replace(state, agent=agent), experiment.initial, versions)
    checkpoints.sweep()


class MostLikely:
    """An actor of trials that samples nothing."""

    def __init__(self, actor: TrialActor) -> None:
        self.begin, self.draw_noise, self.observe = actor.begin, actor.draw_noise, actor.observe
        self._choose = actor.choose

    def choose(self, observations, memory, noise):
        """Choose without the noise."""
        return self._choose(observations, memory, None)


def by_most_likely_actions(run: Path) -> list[float]:
    """Give the mean return of each episode over all goals of the grid, without sampling."""
    config = replace(read_config(run), test_tasks=len(GOALS), test_episodes_per_task=1)
    experiment = build_experiment(config)
    checkpoints = Checkpoints(run, experiment.about, experiment.agent.family.carried_bytes)
    state, *_ = checkpoints.load_newest(experiment.initial)
    with closing(experiment.test_shards().build()) as shard:
        shard.begin(GOALS, TEST_KEY)
        actor = MostLikely(experiment.actor(state.agent))
        played = play_trials(shard, actor, TEST_KEY, config.test_adaptation_steps + 1)
    return np.mean([task.mean_returns for task in played.statistics], axis=0).tolist()


def evaluate(name: str, folder: Path, tasks: int | list[int], workers: int) -> None:
    """Evaluate the seeds beside the methods that learn nothing; write summary.json, the figure."""
    runs = sorted(folder.glob("seed-*"))
    (found,) = metarl.evaluate(runs, tasks=tasks, baselines=True, workers=workers)
    agents = {}
    for one in found.found:
        agents[one.agent] = {
            **_described(one.joint),
            "runs": [
                {"seed": seed, "iteration": iteration, **_described(curve)}
                for seed, iteration, curve in zip(
                    one.training_seeds, one.iterations, one.curves, strict=True
                )
                if one.run_dirs[0] is not None
            ],
        }
    count = tasks if isinstance(tasks, int) else len(tasks)
    record = {"preset": name, "tasks": count, "agents": agents}
    if name.startswith("grid"):
        record["most_likely"] = [by_most_likely_actions(run) for run in runs]
    (folder / "summary.json").write_text(json.dumps(record, indent=1) + "\n")
    figure = _totals(name, agents) if name in BANDITS else found.plot()
    figure.savefig(folder / "evaluation.png", dpi=120)


def _described(curve: AdaptationCurve) -> dict[str, object]:
    assert curve.trial is not None
    return {
        "mean_return": curve.mean.tolist(),
        "ci95": curve.ci95.tolist(),
        "trial_return": curve.trial.mean,
        "trial_ci95": curve.trial.ci95.tolist(),
    }


def _totals(name: str, agents: dict[str, dict]) -> Figure:
    """Draw what whole trials pay, beside what is published."""
    figure = Figure((6.4, 0.5 + 0.4 * len(agents)), layout="constrained")
    axes = figure.subplots()
    source = published(name)
    for row, (agent, one) in enumerate(agents.items()):
        low, high = one["trial_ci95"]
        colour = "tab:blue" if one["runs"] else "tab:gray"
        axes.plot([low, high], [row, row], colour, lw=3, solid_capstyle="butt")
        axes.plot(one["trial_return"], row, "o", color=colour)
        if agent in source:
            axes.plot(source[agent], row, "k|", ms=14)
    axes.plot([], [], "k|", ms=10, ls="", label="published, one digit")
    if "bayes-optimal" in agents:
        best = agents["bayes-optimal"]["trial_return"]
        axes.axvline(best, color="tab:green", lw=1, label="Bayes-optimal, on these instances")
    axes.set_yticks(range(len(agents)), agents)
    axes.invert_yaxis()
    axes.set(title=f"{name}: total reward of a trial", xlabel="with 95 % interval over instances")
    axes.legend(frameon=False, fontsize="small")
    return figure


def draw_learning(folder: Path) -> None:
    """Draw all seeds' learning curves: the return of a trial's first and last episode."""
    figure = Figure((6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    runs = [read_metrics(run) for run in sorted(folder.glob("seed-*"))]
    for colour, column, label in (
        ("tab:gray", "pre_adaptation_return", "first episode"),
        ("tab:blue", "post_adaptation_return", "last episode"),
    ):
        for records in runs:
            env_steps = [record["env_steps"] / 1e6 for record in records]
            axes.plot(env_steps, [record[column] for record in records], colour, lw=0.8)
        axes.plot([], [], colour, label=label)
    axes.set(title=f"{folder.name}, training", xlabel="million env steps", ylabel="mean return")
    axes.legend(frameon=False)
    figure.savefig(folder / "learning.png", dpi=120)


def table(results: Path) -> str:
    """Give the page: a table of totals, a table of returns by episode, the figures."""
    lines = [
        "# Agents with a memory",
        "",
        "Written by `python scripts/reproduce_memory_agents.py`. All rows of an experiment were",
        "measured here on the same held-out tasks; in brackets the 95 % interval of the mean over",
        "tasks; with several seeds each task counts by its mean over them. Methods without seeds",
        "learn nothing. Published: Duan et al. 2016, tables 1 and 2. Each seed's `sessions.jsonl`",
        "says commit, versions and command of every session. What differs and what was tried:",
        "[NOTES.md](NOTES.md).",
        "",
        "## Whole trials",
        "",
        "| experiment | agent | seeds | M env steps | reward of a trial | each seed | published |",
        "|---|---|---|---|---|---|---|",
    ]
    by_episode = [
        "",
        "## Episode by episode",
        "",
        "| experiment | agent | return of episode 1, 2, … |",
        "|---|---|---|",
    ]
    pictures = [""]
    for name, experiment in experiments().items():
        folder, source = results / name, published(name)
        if not (folder / "summary.json").exists():
            said = source.get(experiment.agent, "")
            lines.append(f"| {name} | {experiment.agent} | not run | | | | {said} |")
            continue
        last = [read_metrics(run)[-1] for run in sorted(folder.glob("seed-*"))]
        summary = json.loads((folder / "summary.json").read_text())
        for returns in summary.get("most_likely", []):
            means = " / ".join(f"{value:.2f}" for value in returns)
            label = f"{experiment.agent}, the most likely actions"
            by_episode.append(f"| {name} | {label} | {means} |")
        for agent, one in summary["agents"].items():
            low, high = one["trial_ci95"]
            total = f"{one['trial_return']:.2f} [{low:.2f}, {high:.2f}]"
            trained = str(len(last)) if one["runs"] else ""
            steps = ", ".join(f"{record['env_steps'] / 1e6:.1f}" for record in last)
            each = ", ".join(f"{run['trial_return']:.2f}" for run in one["runs"])
            lines.append(
                f"| {name} | {agent} | {trained} | {steps if one['runs'] else ''} | {total} "
                f"| {each} | {source.get(agent, '')} |"
            )
            if len(one["mean_return"]) > 1:
                means = " / ".join(f"{value:.2f}" for value in one["mean_return"])
                by_episode.append(f"| {name} | {agent} | {means} |")
        pictures.append(
            f"![{name}, training]({name}/learning.png) ![{name}, held-out]({name}/evaluation.png)"
        )
    return "\n".join([*lines, *by_episode, *pictures]) + "\n"


def main() -> None:
    made = parser(__doc__, RESULTS)
    made.add_argument("experiments", nargs="*", help="default: all")
    made.add_argument("--seeds", type=int, nargs="*", help="default: 1 2 3")
    made.add_argument("--minutes", type=float, help="stop training after so long")
    made.add_argument("--run-dir", type=Path, default=Path("runs/memory"))
    made.add_argument("--workers", type=int, default=2)
    made.add_argument("--list", action="store_true", help="say what there is")
    made.add_argument("--evaluate", action="store_true", help="train nothing")
    made.add_argument("--ship", action="store_true", help="put policies into the package")
    made.add_argument("--trained", type=Path, default=TRAINED, help="where --ship puts them")
    options = parse(made)
    os.chdir(ROOT)
    there = experiments()
    names = options.experiments or list(there)
    if unknown := set(names) - set(there):
        made.error(f"no experiment {', '.join(unknown)}; there are {', '.join(there)}")
    if options.list:
        for name in names:
            print(name, there[name])
        return
    if options.ship:
        for name in names:
            ship(there[name], options.output / name, options.trained)
        return
    deadline = options.minutes and time.monotonic() + 60 * options.minutes
    for name in names:
        experiment, folder = there[name], options.output / name
        tasks = INSTANCES[name.partition("-")[0]]
        if options.small:
            experiment, tasks = smaller(experiment), [0, 1, 2]
        for seed in options.seeds or experiment.seeds:
            run, kept = options.run_dir / name / f"seed-{seed}", folder / f"seed-{seed}"
            if options.evaluate:
                if run.exists():
                    keep(run, kept)
            elif not train(experiment, seed, run, kept, str(options.workers), deadline):
                break
            if kept.exists() and experiment.agent == "varibad":
                forget_trials(kept)
        if any(folder.glob("seed-*")):
            evaluate(name, folder, tasks, options.workers)
            draw_learning(folder)
        (options.output / "README.md").write_text(table(options.output))
        if deadline and time.monotonic() > deadline:
            break


if __name__ == "__main__":
    main()
