"""Measure what a native batch gains where stable-baselines3 trains `pretrained` and `oracle`.

- stepping: 40 environments side by side, as many steps as a rollout has, actions at random: single
  environments in a DummyVecEnv, and the native batch, which gives the same numbers to the last bit;
- training: iterations of the agent `pretrained` by PPO on either.

All in one process and thread, round by round in turn, so that whatever else the machine does falls
on all of them. Speeds are of processor time, since none of them ever waits.

    python scripts/benchmark_baselines.py [--rounds 7]

Writes benchmarks/baselines.json and a table beside it. Ratios are the medians of the rounds'
ratios. Needs the extra sb3.
"""

import dataclasses
import os
import statistics
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from shared import BENCHMARKS, command, parse, parser, processor_seconds, ran_on, write
from stable_baselines3.common.vec_env import VecEnv

from metarl.config.plugins import load_preset
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.training import train
from metarl_agents import native_vec_env

PRESETS = ("navigation-2d", "half-cheetah-dir", "hopper-rand-params")
UNIT: dict[str, Any] = {
    "agent": "pretrained",
    "agent_settings": {},
    "tasks_per_batch": 40,
    "episodes_per_task": 1,
    "iterations": 10**6,
}
SMALL: dict[str, Any] = {"tasks_per_batch": 2, "horizon": 5}
WAYS = ("single", "native")


def forced(way: str) -> Any:
    """Have environments made in one of the two ways."""
    native = way == "native"
    return mock.patch.object(native_vec_env, "_restarts_single_slots", return_value=native)


def environments(config: Config, way: str) -> VecEnv:
    """Make the environments of an iteration."""
    with forced(way):
        return native_vec_env.environments_of_tasks(config, config.tasks_per_batch)


def stepping(config: Config, way: str) -> Callable[[], None]:
    """Give what steps the environments once through a rollout."""
    made = environments(config, way)
    made.seed(1)
    made.reset()
    generator = np.random.default_rng(1)
    low, high = made.action_space.low, made.action_space.high
    shape = (rollout(config), made.num_envs, *low.shape)
    actions = generator.uniform(low, high, shape).astype(np.float32)

    def run() -> None:
        for each in actions:
            made.step(each)

    return run


def training(config: Config, way: str) -> Callable[[], None]:
    """Give what makes an iteration of training."""
    experiment = build_experiment(config)
    loop = train(experiment, experiment.start_workers(0), experiment.first_state())

    def run() -> None:
        with forced(way):
            next(loop)

    return run


def rollout(config: Config) -> int:
    """Give the steps that an iteration takes in each environment."""
    return config.episodes_per_task * (config.adaptation_steps + 1) * config.horizon


def compare(preset: str, changes: dict[str, Any], rounds: int) -> dict[str, float]:
    """Give the medians of env steps/s, and what the native batch gains."""
    config = dataclasses.replace(load_preset(preset), **changes)
    steps = rollout(config) * config.tasks_per_batch
    result = {}
    for name, make in (("stepping", stepping), ("training", training)):
        ways = {way: make(config, way) for way in WAYS}
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(rounds + 1):
            for way, run in ways.items():
                seconds = processor_seconds(run)
                if number > 0:  # the first round warms up
                    rates[way].append(steps / seconds)
        for way in WAYS:
            result[f"{name}, {way}"] = statistics.median(rates[way])
        result[f"{name}, native / single"] = statistics.median(
            native / single for single, native in zip(rates["single"], rates["native"], strict=True)
        )
    return result


def table(results: dict[str, dict[str, float]], written_by: str) -> str:
    lines = [
        "`pretrained` by PPO of stable-baselines3 on 40 environments: single ones in DummyVecEnv,",
        "and one native batch that gives the same numbers to the last bit. Env steps per second of",
        f"processor time, one thread; written by `{written_by}`; versions in baselines.json.",
        "",
        "| preset | stepping, single | stepping, native | gain | training, single "
        "| training, native | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for preset, found in results.items():
        cells = []
        for name in ("stepping", "training"):
            cells += [f"{found[f'{name}, {way}']:,.0f}" for way in WAYS]
            cells.append(f"{found[f'{name}, native / single']:.2f} ×")
        lines.append(f"| {preset} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=7)
    options = parse(made)
    torch.set_num_threads(1)
    changes = UNIT | (SMALL if options.small else {})
    results = {preset: compare(preset, changes, options.rounds) for preset in PRESETS}
    packages = ("torch", "numpy", "gymnasium", "mujoco", "stable-baselines3")
    record = {
        "command": command(options, "rounds"),
        **ran_on(*packages),
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "env steps per second": results,
    }
    write(options.output, "baselines", record, table(results, record["command"]))


if __name__ == "__main__":
    main()
