"""Compare ways to solve for the outer step of MAML-TRPO, by what is left of them on fresh data.

At the beginning and at the newest checkpoint of a run, steps are taken from one meta-batch: by
conjugate gradient of more or fewer iterations, with the curvature of all steps or of a fraction,
and with the curvature as the authors' code has it, by finite differences of the gradient of the KL
divergence, displaced by 1/|θ| (their constructor passes a count of slices where the displacement
belongs). Each is scaled to the same trust region by the same line search. What a step promises on
its own meta-batch is the loss that the line search saw; what it keeps is the mean loss of the same
candidate on two meta-batches that had no part in it, collected with the same θ.

    python scripts/compare_outer_steps.py runs/half-cheetah-dir-finn2017

Writes results/outer-steps/, or --output.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from authors_curvature import conjugate_gradient_of_authors, finite_differences

from metarl.agent.gradient import collect_with_rates
from metarl.agent.meta_objective import curvature_product, meta_gradient, surrogate
from metarl.agent.outer_steps import mean_over_tasks
from metarl.agent.protocol import TrainingState
from metarl.experiments.build import build_experiment, untrained_state
from metarl.experiments.environment_experiment import EnvironmentExperiment
from metarl.foundation.seeding import Split
from metarl.learning.trust_region import backtrack, conjugate_gradient, trust_region_step
from metarl.runs.run_folder import read_config
from metarl.runs.session import load_newest_state
from metarl.tasks.distribution import sample_tasks
from metarl.workers.shards import Vector, Workers

RESULTS = Path(__file__).parent.parent / "results" / "outer-steps"
FRESH = 2
WAYS = [(10, 1.0), (10, 0.1), (1, 1.0), (2, 1.0), (3, 1.0), (3, 0.2), (5, 1.0), (30, 1.0), (0, 1.0)]
"""Iterations of conjugate gradient (0: as the authors), fraction of the steps for the curvature."""


def experience(
    experiment: EnvironmentExperiment, state: TrainingState, iteration: int
) -> tuple[Workers, list[float]]:
    """Collect a meta-batch; give the workers that hold it and the mean returns."""
    config, key = experiment.config, (Split.TRAIN, iteration)
    tasks = sample_tasks(
        experiment.environment, config.seed, key, config.tasks_per_batch, config.train_range
    )
    workers = experiment.start_workers(0)
    statistics = workers.map(
        collect_with_rates, state.agent.theta, tasks, key, config.learning_rates
    )
    return workers, np.mean([task.mean_returns for task in statistics], axis=0).tolist()


def compare(experiment: EnvironmentExperiment, state: TrainingState) -> dict[str, Any]:
    """Take all steps from one θ; give what each promises and keeps."""
    config = experiment.config
    rates, settings = config.learning_rates, config.agent_settings
    theta = torch.as_tensor(state.agent.theta, dtype=torch.float64)
    own, returns = experience(experiment, state, state.iteration + 1)
    fresh = [experience(experiment, state, state.iteration + 2 + n)[0] for n in range(FRESH)]

    def outcome(workers: Workers, candidate: torch.Tensor) -> tuple[float, float]:
        at = candidate.numpy().astype(state.agent.theta.dtype)
        loss, kl = mean_over_tasks(workers.map(surrogate, at, rates)).tolist()
        return loss, kl

    def damped(product: Callable[[Vector], Any]) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda vector: (
            mean_over_tasks(product(vector.numpy())) + settings["cg_damping"] * vector
        )

    loss_before = outcome(own, theta)[0]
    fresh_before = [outcome(workers, theta)[0] for workers in fresh]
    steps = []
    reference: torch.Tensor | None = None
    for iterations, fraction in WAYS:
        contributions = own.map(meta_gradient, rates, config.first_order, fraction)
        gradient = mean_over_tasks([of_task[0] for of_task in contributions])
        if iterations:
            product = damped(lambda vector: own.map(curvature_product, vector))
            solved = conjugate_gradient(product, gradient, iterations)
        else:
            product = damped(finite_differences(own, theta, rates))
            solved = conjugate_gradient_of_authors(product, gradient, 10)
        search = backtrack(
            lambda candidate: outcome(own, candidate),
            theta,
            trust_region_step(solved, gradient, settings["max_kl"]),
            loss_before=loss_before,
            max_kl=settings["max_kl"],
            ratio=settings["line_search_ratio"],
            max_steps=settings["line_search_steps"],
        )
        taken = search.theta - theta
        reference = taken if reference is None else reference
        kept = [outcome(workers, search.theta)[0] for workers in fresh]
        steps.append(
            {
                "cg_iterations": iterations or "finite differences",
                "fraction": fraction,
                "norm": float(taken.norm()),
                "cosine": float(taken @ reference / (taken.norm() * reference.norm())),
                "kl": search.kl,
                "promised": search.loss - loss_before,
                "kept": float(np.mean(kept) - np.mean(fresh_before)),
            }
        )
        print(steps[-1], flush=True)
    return {"iteration": state.iteration, "returns": returns, "steps": steps}


def table(found: list[dict[str, Any]], preset: str) -> str:
    lines = [
        "# What the solver does to the outer step",
        "",
        "Written by `python scripts/compare_outer_steps.py`, which says what is compared. Losses",
        "are of normalised advantages, so they have no unit; less is better. The cosine is with",
        "the step of ten iterations and all steps.",
    ]
    for place in found:
        before, after = place["returns"][0], place["returns"][-1]
        lines += [
            "",
            f"`{preset}`, iteration {place['iteration']} (returns {before:.1f} → {after:.1f}):",
            "",
            "| conjugate gradient | curvature of | length | cosine | KL | loss promised | kept |",
            "|---|---|---|---|---|---|---|",
        ]
        for step in place["steps"]:
            solver = step["cg_iterations"]
            count = f"{solver} iteration{'s' * (solver != 1)}"
            named = count if isinstance(solver, int) else f"authors', {solver}"
            lines.append(
                f"| {named} | {step['fraction']:.0%} | {step['norm']:.4f} | {step['cosine']:.2f} "
                f"| {step['kl']:.4f} | {step['promised']:.5f} | {step['kept']:.5f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder to write into")
    options = parser.parse_args()
    run_dir, output = options.run_dir, options.output
    torch.set_num_threads(1)
    config = read_config(run_dir)
    experiment = build_experiment(config)
    places = [
        untrained_state(config, config.seed),
        load_newest_state(run_dir, experiment, "compare_outer_steps"),
    ]
    found = [compare(experiment, state) for state in places]
    output.mkdir(parents=True, exist_ok=True)
    (output / "outer_steps.json").write_text(json.dumps(found, indent=2) + "\n")
    (output / "README.md").write_text(table(found, config.preset))


if __name__ == "__main__":
    main()
