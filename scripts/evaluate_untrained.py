"""Say what untrained policies gain from inner steps: a check of physics and inner loop alone.

    python scripts/evaluate_untrained.py half-cheetah-dir-finn2017 --learning-rates 0.5 0.25 0.25
    python scripts/evaluate_untrained.py half-cheetah-dir-finn2017 --learning-rates 1 0.5 0.5 \\
        --change friction-1.0

Eight policies as the seeds 1 … 8 make them, each on five tasks; prints the mean return after
0, 1, … steps and its standard error over the 40 tasks. `--change` changes one thing of the
baseline or of MuJoCo's model.
"""

import argparse
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from unittest import mock

import mujoco
import numpy as np
import torch
from torch import Tensor

from metarl.agent.gradient import collect_with_rates
from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment, untrained_state
from metarl.foundation.seeding import Split
from metarl.learning.returns import baseline_features, fit_linear_baseline
from metarl.tasks.distribution import sample_tasks
from metarl.workers import shards
from metarl.workers.pools import start_workers

SEEDS, TASKS = range(1, 9), 5
FOLDS = 10


def no_baseline(seen: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    return torch.zeros_like(returns)


def mean_at_each_step(seen: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    return ((returns * mask).sum(0) / mask.sum(0).clamp(min=1)).expand_as(returns)


def of_other_episodes(seen: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    features, values = baseline_features(seen), torch.zeros_like(returns)
    fold = torch.arange(len(returns)) % FOLDS
    for own in (fold == number for number in range(FOLDS)):
        fitted = fit_linear_baseline(features[~own], returns[~own], mask[~own])
        values[own] = features[own] @ fitted
    return values


class OfDataBefore:
    """Fitted to the task before, whichever that was; zero at first."""

    def __init__(self) -> None:
        self.fitted: Tensor | None = None

    def __call__(self, seen: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
        """Give values by what was fitted before; then fit."""
        features = baseline_features(seen)
        values = torch.zeros_like(returns) if self.fitted is None else features @ self.fitted
        self.fitted = fit_linear_baseline(features, returns, mask)
        return values


def set_column(name: str, column: int, value: float) -> Callable[[mujoco.MjModel], None]:
    def change(model: mujoco.MjModel) -> None:
        getattr(model, name)[:, column] = value

    return change


def linear_impedance(model: mujoco.MjModel) -> None:
    model.geom_solimp[:, 4] = model.jnt_solimp[:, 4] = 1.0


def elliptic_cones(model: mujoco.MjModel) -> None:
    model.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC


def explicit_damping(model: mujoco.MjModel) -> None:
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP


def old_solver(model: mujoco.MjModel) -> None:
    model.opt.solver = mujoco.mjtSolver.mjSOL_PGS


def stiffer_joints(model: mujoco.MjModel) -> None:
    model.jnt_stiffness *= 3


def three_together(model: mujoco.MjModel) -> None:
    for name in ("hard-contacts", "friction-1.0", "explicit-damping"):
        MODELS[name](model)


BASELINES = {
    "no-baseline": no_baseline,
    "baseline-of-data-before": OfDataBefore(),
    "baseline-of-other-episodes": of_other_episodes,
    "baseline-of-time": mean_at_each_step,
}
MODELS = {
    "linear-impedance": linear_impedance,
    "hard-contacts": set_column("geom_solimp", 0, 0.8),
    "friction-1.0": set_column("geom_friction", 0, 1.0),
    "friction-0.2": set_column("geom_friction", 0, 0.2),
    "elliptic-cones": elliptic_cones,
    "explicit-damping": explicit_damping,
    "projected-gauss-seidel": old_solver,
    "stiffness-3": stiffer_joints,
    "three-together": three_together,
}


@contextlib.contextmanager
def changed(change: str | None) -> Iterator[None]:
    """Have one thing changed inside."""
    make = mujoco.MjModel.from_xml_string

    def make_changed(text: str) -> mujoco.MjModel:
        model = make(text)
        MODELS[change](model)
        return model

    if change in BASELINES:
        with mock.patch.object(shards, "baseline_values", BASELINES[change]):
            yield
    elif change in MODELS:
        with mock.patch.object(mujoco.MjModel, "from_xml_string", make_changed):
            yield
    else:
        yield


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset")
    parser.add_argument("--learning-rates", type=float, nargs="+", required=True)
    parser.add_argument("--episodes-per-task", type=int, default=20)
    parser.add_argument("--change", choices=[*BASELINES, *MODELS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    with changed(options.change):
        measure(options)


def measure(options: argparse.Namespace) -> None:
    preset = dataclasses.replace(
        load_preset(options.preset), episodes_per_task=options.episodes_per_task
    )
    returns = []
    for seed in SEEDS:
        config = dataclasses.replace(preset, seed=seed)
        experiment, key = build_experiment(config), (Split.TRAIN, 1)
        tasks = sample_tasks(experiment.environment, seed, key, TASKS, config.train_range)
        theta = untrained_state(config, seed).agent.theta
        pool = start_workers(experiment.shards(TASKS, config.episodes_per_task), 0)
        with contextlib.closing(pool):
            statistics = pool.map(collect_with_rates, theta, tasks, key, options.learning_rates)
        returns += [task.mean_returns for task in statistics]
    found = np.array(returns)
    error = found.std(0, ddof=1) / np.sqrt(len(found))
    print("mean return ", found.mean(0).round(1).tolist())
    print("standard error", error.round(1).tolist())


if __name__ == "__main__":
    main()
