"""Compare the classical methods on random processes by two priors of rewards: N(1, 1) and N(0, 1).

Mean rewards of the processes are drawn from N(1, 1). A method that believes so beforehand does not
have the numbers that Duan et al. 2016 (table 2) publish: those are had by N(0, 1). All play the
held-out processes of the preset `mdp-10-episodes`, each with the same random numbers.

    python scripts/compare_mdp_priors.py

Writes summary.json and README.md to results/mdp-priors.
"""

import json
import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from shared import ROOT, command, parse, parser

from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment
from metarl.experiments.environment_experiment import TEST_KEY
from metarl.workers.trials import play_trials
from metarl_agents import classical_mdps as mdps

PRESET = "mdp-10-episodes"
PRIORS = (1.0, 0.0)
TASKS = 1000


@dataclass(frozen=True)
class Method:
    """A method, and the values of its setting that are tried."""

    name: str
    published: float
    plans: Mapping[str, mdps.Plan]
    """By what stands in the table."""
    epsilon: float = 0.0


METHODS = (
    Method("greedy", 134.8, {"": mdps.greedy}),
    Method("epsilon-greedy", 132.8, {"ε = 0.02": mdps.greedy}, 0.02),
    Method("thompson (PSRL)", 138.1, {"": mdps.posterior_sampling}),
    Method(
        "opsrl",
        144.1,
        {f"{draws} draws": partial(mdps.optimistic_sampling, draws=draws) for draws in (2, 5, 10)},
    ),
    Method(
        "beb",
        150.2,
        {f"β = {weight}": partial(mdps.bonus, weight=weight) for weight in (0.3, 0.6, 1.0, 2.0)},
    ),
    Method(
        "ucrl2",
        146.6,
        {f"c = {scale}": partial(mdps.upper_confidence, scale=scale) for scale in (0.1, 0.2, 0.4)},
    ),
)


def play(plan: mdps.Plan, epsilon: float, tasks: int) -> tuple[float, float]:
    """Give the mean reward of a trial, and its standard error."""
    config = replace(load_preset(PRESET), test_tasks=tasks)
    experiment = build_experiment(config)
    states, actions = config.env_kwargs["states"], config.env_kwargs["actions"]
    actor = mdps.ModelActor(
        states, actions, config.horizon, plan, experiment.first_state().agent, epsilon
    )
    with closing(experiment.test_shards().build()) as shard:
        shard.begin(experiment.held_out_tasks(config.train_range, tasks), TEST_KEY)
        played = play_trials(shard, actor, TEST_KEY, config.test_adaptation_steps + 1)
    totals = [sum(task.mean_returns) for task in played.statistics]
    return float(np.mean(totals)), float(np.std(totals)) / math.sqrt(tasks)


def table(found: list[dict], written_by: str) -> str:
    """Give the page."""
    lines = [
        "# Classical methods on random processes, by what they believe beforehand",
        "",
        f"Reward of a trial of 10 episodes, mean of {found[0]['tasks']} held-out processes of",
        f"`{PRESET}`, the same for all; the standard error is {found[0]['standard_error']:.1f}.",
        "Mean rewards are drawn from N(1, 1). Published: Duan et al. 2016, table 2, each with the",
        f"best of its settings. Written by `{written_by}`.",
        "",
        "| method | setting | prior N(1, 1), the true one | prior N(0, 1) | published |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        true, other = one["totals"]
        lines.append(
            f"| {one['method']} | {one['setting']} | {true:.1f} | {other:.1f} "
            f"| {one['published']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, ROOT / "results" / "mdp-priors")
    options = parse(made)
    tasks = 3 if options.small else TASKS
    found = []
    for method in METHODS:
        for setting, plan in method.plans.items():
            played = [
                play(partial(plan, prior_mean=prior), method.epsilon, tasks) for prior in PRIORS
            ]
            found.append(
                {
                    "method": method.name,
                    "setting": setting,
                    "published": method.published,
                    "tasks": tasks,
                    "totals": [mean for mean, _ in played],
                    "standard_error": played[0][1],
                }
            )
            print(method.name, setting, *(f"{mean:.1f}" for mean, _ in played), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.output / "README.md").write_text(table(found, command(options)))


if __name__ == "__main__":
    main()
