"""Measure PEARL's gradient steps beside those of stable-baselines3's SAC.

Both learn from remembered transitions of the sizes of half-cheetah velocity, drawn at random: three
layers of 300 in each network, 4,096 transitions a step (PEARL: 16 tasks of 256, and 100 transitions
of each to infer it from), Adam. PEARL learns two Q functions, a value function, the policy and the
encoder; SAC two Q functions with a target each, the policy and the temperature.

All in one process and thread, round by round in turn, so that whatever else the machine does falls
on both. Speeds are of processor time, since neither ever waits.

    python scripts/benchmark_pearl.py [--rounds 7]

Writes benchmarks/pearl.json and a table beside it. Ratios are the medians of the rounds' ratios.
Needs the extra sb3.
"""

import dataclasses
import statistics
from typing import Any

import numpy as np
import torch
from shared import BENCHMARKS, command, parse, parser, processor_seconds, ran_on, write

from metarl.config.plugins import load_preset
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.tasks.policy_environment import DrawTasks, policy_environment
from metarl_agents.pearl_learning import Drawer, Learner
from metarl_agents.pearl_networks import network_of, settings_in

TRANSITIONS = 200
"""Of each task in the replay memory."""
SMALL: dict[str, Any] = {"hidden_sizes": (8,)}
SMALL_SETTINGS: dict[str, Any] = {"encoder_sizes": [8], "meta_batch": 2, "batch_size": 4}
STEPS = 3
"""Gradient steps of a round."""


def config_of(small: bool, **changes: Any) -> Config:
    """Give the configuration; a small one to see that it runs."""
    config = load_preset("half-cheetah-vel-pearl")
    assert isinstance(config, Config)
    if small:
        changes |= {**SMALL, "agent_settings": {**config.agent_settings, **SMALL_SETTINGS}}
    return dataclasses.replace(config, **changes)


class Pearl:
    """Gradient steps of the agent; on a CUDA device as a graph, unless told otherwise."""

    def __init__(self, config: Config, *, graphed: bool = True) -> None:
        experiment, settings = build_experiment(config), settings_in(config)
        network = network_of(experiment.policy, config)
        self.learner = Learner(network, settings, config, graphed=graphed)
        generator = np.random.default_rng(0)
        count = config.training_tasks * TRANSITIONS
        (seen,) = experiment.environment.observation_space.shape
        (actions,) = experiment.environment.action_space.shape
        numbers = generator.standard_normal((count, 2 * seen + actions + 1)).astype(np.float32)
        columns = np.split(numbers, np.cumsum([seen, seen, actions]), axis=1)
        replay = {
            "observations": columns[0],
            "following": columns[1],
            "actions": np.tanh(columns[2]),
            "rewards": columns[3][:, 0],
            "terminal": np.zeros(count, dtype=bool),
            "task": np.repeat(np.arange(config.training_tasks, dtype=np.int32), TRANSITIONS),
            "context": np.ones(count, dtype=bool),
        }
        like = next(self.learner.network.parameters())
        self.drawer, self.generator = Drawer(replay, settings, like), generator

    def __call__(self) -> None:
        """Take some steps."""
        for _ in range(STEPS):
            self.learner.step(*self.drawer.draw(self.generator))


class Sac:
    """Gradient steps of stable-baselines3's."""

    def __init__(self, config: Config) -> None:
        from stable_baselines3 import SAC
        from stable_baselines3.common.logger import Logger

        settings = settings_in(config)
        self.batch = settings.meta_batch * settings.batch_size
        self.model = SAC(
            "MlpPolicy",
            DrawTasks(policy_environment(config), config.train_range),
            learning_rate=settings.learning_rate,
            batch_size=self.batch,
            tau=settings.target_rate,
            gamma=config.discount,
            buffer_size=config.training_tasks * TRANSITIONS,
            policy_kwargs={
                "net_arch": list(config.hidden_sizes),
                "activation_fn": torch.nn.ReLU,
            },
            seed=0,
            device="cpu",
        )
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        buffer, generator = self.model.replay_buffer, np.random.default_rng(0)
        for name in ("observations", "next_observations", "rewards", "actions"):
            column = getattr(buffer, name)
            column[:] = generator.standard_normal(column.shape)
        np.tanh(buffer.actions, out=buffer.actions)
        buffer.full = True

    def __call__(self) -> None:
        """Take some steps."""
        self.model.train(STEPS, self.batch)


def compare(config: Config, rounds: int) -> dict[str, Any]:
    """Give the medians of steps/s and of transitions/s, and their ratio."""
    ways = {"pearl": Pearl(config), "SAC": Sac(config)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            spent = processor_seconds(way)
            if number:  # the first round warms up
                seconds[name].append(spent)
    settings = settings_in(config)
    transitions = settings.meta_batch * settings.batch_size
    steps = {name: STEPS / statistics.median(spent) for name, spent in seconds.items()}
    ratios = [sac / pearl for pearl, sac in zip(seconds["pearl"], seconds["SAC"], strict=True)]
    return {
        "gradient steps per second": steps,
        "transitions per second": {name: rate * transitions for name, rate in steps.items()},
        "pearl to SAC": statistics.median(ratios),
    }


def table(record: dict[str, Any]) -> str:
    """Give the page."""
    found, sizes = record["found"], record["sizes"]
    lines = [
        f"Made by `{record['command']}`: {sizes['tasks']} tasks of {sizes['transitions']} "
        f"transitions, networks of {' × '.join(map(str, sizes['layers']))}, one thread, medians of "
        f"{record['rounds']} rounds, by processor time.",
        "",
        "| | gradient steps/s | transitions/s |",
        "|---|---|---|",
    ]
    for name, label in (("pearl", "PEARL"), ("SAC", "SAC of stable-baselines3")):
        rate, transitions = (
            found[kind][name] for kind in ("gradient steps per second", "transitions per second")
        )
        lines.append(f"| {label} | {rate:.2f} | {transitions:,.0f} |")
    lines += [
        "",
        f"PEARL takes {found['pearl to SAC']:.2f} × the steps of SAC in the same time. Beside what "
        "SAC learns it learns an encoder; it has one target where SAC has two.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write."""
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=7)
    options = parse(made)
    torch.set_num_threads(1)
    config = config_of(options.small)
    settings = settings_in(config)
    record = {
        "command": command(options, "rounds"),
        "rounds": options.rounds,
        "sizes": {
            "tasks": settings.meta_batch,
            "transitions": settings.batch_size,
            "layers": list(config.hidden_sizes),
        },
        "found": compare(config, options.rounds),
        **ran_on("metarl-suite", "torch", "numpy", "stable-baselines3"),
    }
    write(options.output, "pearl", record, table(record))


if __name__ == "__main__":
    main()
