"""Evaluate runs as the authors' code does: by a number of transitions, not of episodes.

The authors' sampler plays in S environments side by side, each starting its next episode at once,
until the episodes that have ended hold N transitions; episodes that are then under way are dropped.
Where episodes end early by success, the short ones are counted more often than the long ones, in
the batch that adapts and in the mean return that is reported. Here as many episodes as could be
needed are collected with independent streams, and laid side by side by that rule.

    python scripts/evaluate_by_transitions.py results/paper/navigation-2d/seed-*

Prints both means of the same adaptation (N = 4,000, S = 40, the authors' test protocol), and
writes them to --output. The adaptation itself uses the batches of the authors' rule.
"""

import argparse
import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl.agent.gradient import rates_of
from metarl.experiments.build import build_experiment
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import inner_step
from metarl.learning.objectives import reinforce_loss
from metarl.learning.trajectories import Trajectories
from metarl.runs.run_folder import read_config
from metarl.runs.session import load_newest_state
from metarl.tasks.distribution import sample_tasks
from metarl.workers.shards import Shard, ShardSpec

TRANSITIONS, STREAMS = 4000, 40
POOL = 640
"""Episodes collected for each task and phase."""


def counted(lengths: np.ndarray, transitions: int, streams: int) -> list[int]:
    """Give the episodes, of those lengths in order of their start, that the rule counts.

    Raises:
        ValueError: there are not enough of them.

    """
    under_way = list(range(streams))
    left = lengths[:streams].copy()
    following, total = streams, 0
    ended: list[int] = []
    while total < transitions:
        left -= 1
        for stream in np.flatnonzero(left == 0):
            total += int(lengths[under_way[stream]])
            ended.append(under_way[stream])
            if following == len(lengths):
                raise ValueError(f"{len(lengths)} episodes are not enough")
            under_way[stream], left[stream] = following, lengths[following]
            following += 1
    return ended


def part(episodes: Trajectories, chosen: list[int]) -> Trajectories:
    """Give some of a task's episodes."""
    return Trajectories(
        episodes.observations[chosen],
        episodes.actions[chosen],
        episodes.rewards[chosen],
        episodes.mask[chosen],
    )


def evaluate(run_dir: Path, seed: int) -> dict[str, Any]:
    """Adapt to a run's held-out tasks; give mean returns by step, counted either way."""
    config = dataclasses.replace(read_config(run_dir), seed=seed)
    experiment = build_experiment(config)
    state = load_newest_state(run_dir, experiment, "evaluate_by_transitions")
    rates = rates_of(state.agent, config, Split.TEST)
    tasks = sample_tasks(
        experiment.environment, seed, (Split.TEST, 0), config.test_tasks, config.train_range
    )
    by_rule, of_all = [], []
    spec = ShardSpec(config, experiment.policy, POOL, range(1))
    loss = reinforce_loss(experiment.policy.build(seed))
    with contextlib.closing(Shard(spec)) as shard:
        for index, task in enumerate(tasks):
            shard.begin([task], (Split.TEST, index), [])
            parameters = shard.parameters(state.agent.theta)
            returns = []
            for phase in range(len(rates) + 1):
                (pool,) = shard.collect([parameters], (Split.TEST, index, phase))
                lengths = pool.mask.sum(-1).numpy()
                episodes = part(pool, counted(lengths, TRANSITIONS, STREAMS))
                returns.append([float(it.returns.mean()) for it in (episodes, pool)])
                if phase < len(rates):
                    (batch,) = shard.batches([episodes])
                    parameters = inner_step(loss, parameters, batch, rates[phase])
            by_rule.append([pair[0] for pair in returns])
            of_all.append([pair[1] for pair in returns])
    return {
        "run": run_dir.name,
        "iteration": state.iteration,
        "mean return by the authors' count": np.mean(by_rule, axis=0).tolist(),
        "mean return of all episodes": np.mean(of_all, axis=0).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dirs", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for run_dir in options.run_dirs:
        found.append(evaluate(run_dir, options.seed))
        print(found[-1], flush=True)
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
