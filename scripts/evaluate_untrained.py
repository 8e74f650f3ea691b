"""Say what untrained policies gain from inner steps: a check of physics and inner loop alone.

    python scripts/evaluate_untrained.py half-cheetah-dir-finn2017 --learning-rates 0.5 0.25 0.25

Eight policies as the seeds 1 … 8 make them, each on five tasks; prints the mean return after
0, 1, … steps and its standard error over the 40 tasks.
"""

import argparse
import contextlib
import dataclasses

import numpy as np
import torch

from metarl.cli.runs import build_experiment, untrained_state
from metarl.plugins import load_preset
from metarl.seeding import Split
from metarl.shards import collect_and_adapt
from metarl.tasks import sample_tasks

SEEDS, TASKS = range(1, 9), 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset")
    parser.add_argument("--learning-rates", type=float, nargs="+", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    preset = load_preset(options.preset)
    returns = []
    for seed in SEEDS:
        config = dataclasses.replace(preset, seed=seed)
        experiment, key = build_experiment(config), (Split.TRAIN, 1)
        tasks = sample_tasks(experiment.environment, seed, key, TASKS, config.train_range)
        theta = untrained_state(config, seed).agent.theta
        pool = experiment.start_workers(0, TASKS, config.episodes_per_task)
        with contextlib.closing(pool):
            statistics = pool.map(collect_and_adapt, theta, tasks, key, options.learning_rates)
        returns += [task.mean_returns for task in statistics]
    found = np.array(returns)
    error = found.std(0, ddof=1) / np.sqrt(len(found))
    print("mean return ", found.mean(0).round(1).tolist())
    print("standard error", error.round(1).tolist())


if __name__ == "__main__":
    main()
