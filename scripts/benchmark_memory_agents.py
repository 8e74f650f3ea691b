"""Measure RL² beside its physics alone and beside RecurrentPPO of sb3-contrib.

The work unit is an iteration of half-cheetah velocity: 16 tasks, a trial of 2 episodes of 200 steps
in each (6,400 env steps); memory 128 numbers wide, policy and value 2 × 64 each; PPO of 2 epochs
of 8 minibatches (800 steps each).

- physics: the batch of environments that the worker holds, stepped with random actions;
- collecting: trials played by the recurrent policy, as training does it, without the update;
- training: whole iterations, collecting and update, in this process;
- RecurrentPPO: the same rollout and the same number of steps in each minibatch, on as many of
  metarl's single environments of the same tasks in a DummyVecEnv. Its LSTM is shared by policy and
  value, as the memory is here;
- RecurrentPPO as it comes: the same, but the value has an LSTM of its own.

All in one process and thread, round by round in turn, so that whatever else the machine does falls
on all of them. Speeds are of processor time, since none of them ever waits; so numpy's linear
algebra must not keep a second core busy.

    OMP_NUM_THREADS=1 python scripts/benchmark_memory_agents.py [--rounds 7]

Writes benchmarks/memory_agents.json and a table beside it. Ratios are the medians of the rounds'
ratios. Needs the extra sb3.
"""

import dataclasses
import os
import statistics
import time
import warnings
from math import ceil
from typing import Any

import numpy as np
import torch
from shared import BENCHMARKS, command, parse, parser, processor_seconds, ran_on, write

from metarl.config.plugins import load_preset
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.tasks.action_map import ActionMap
from metarl.tasks.environment_batches import make_batch
from metarl.tasks.policy_environment import DrawTasks, policy_environment
from metarl.training import train

SETTINGS: dict[str, Any] = {
    "memory_size": 128,
    "learning_rate": 3e-4,
    "clip_ratio": 0.2,
    "epochs": 2,
    "minibatches": 8,
    "gradient_parts": 1,  # one process; each minibatch is two whole trials
}
UNIT: dict[str, Any] = {
    "agent": "rl2",
    "agent_settings": SETTINGS,
    "tasks_per_batch": 16,
    "episodes_per_task": 1,
    "adaptation_steps": 1,
    "horizon": 200,
    "hidden_sizes": (64, 64),
    "discount": 0.99,
    "gae_lambda": 0.95,
    "iterations": 10**6,
}
SMALL: dict[str, Any] = {"tasks_per_batch": 2, "horizon": 5}
AIM = 3.0
"""Whole training, to RecurrentPPO as it comes."""
AS_IT_COMES = "RecurrentPPO as it comes"
WAYS = ("physics", "collecting", "training", "RecurrentPPO", AS_IT_COMES)
RATIOS = (
    ("collecting", "physics"),
    ("training", "physics"),
    ("training", "RecurrentPPO"),
    ("training", AS_IT_COMES),
)


class Physics:
    """The environments alone."""

    def __init__(self, config: Config) -> None:
        experiment = build_experiment(config)
        self.tasks, _ = experiment.sample_tasks(0)
        self.batch = make_batch(config, 1, len(self.tasks))
        self.episodes = config.adaptation_steps + 1
        actions = experiment.environment.action_space
        noise = np.random.default_rng(0).standard_normal(
            (config.horizon, len(self.tasks), *actions.shape)
        )
        self.actions = [ActionMap(actions, config.action_scale)(each) for each in noise]

    def __call__(self) -> None:
        """Play every episode."""
        active = np.ones(len(self.tasks), dtype=bool)
        for _ in range(self.episodes):
            self.batch.reset(self.tasks, range(len(self.tasks)))
            for actions in self.actions:
                self.batch.step(actions, active)


class Collecting:
    """The trials of an iteration, with a policy that learns nothing."""

    def __init__(self, config: Config) -> None:
        self.experiment = build_experiment(config)
        self.workers = self.experiment.start_workers(0)
        self.state = self.experiment.first_state().agent
        self.iteration = 0

    def __call__(self) -> None:
        """Play every trial."""
        self.iteration += 1
        tasks, key = self.experiment.sample_tasks(self.iteration)
        met = self.experiment.agent.family.meet
        self.workers.map(met, self.state.travelling, tasks, key)


class Training:
    """Iterations."""

    def __init__(self, config: Config) -> None:
        experiment = build_experiment(config)
        self.loop = train(experiment, experiment.start_workers(0), experiment.first_state())
        self.records: list[Any] = []

    def __call__(self) -> None:
        """Make the next iteration."""
        _, record = next(self.loop)
        self.records.append(record)


class Recurrent:
    """RecurrentPPO, one LSTM for policy and value or as it comes."""

    def __init__(self, config: Config, *, shared: bool) -> None:
        from sb3_contrib import RecurrentPPO
        from stable_baselines3.common.logger import Logger
        from stable_baselines3.common.vec_env import DummyVecEnv

        settings, self.update_seconds = config.agent_settings, 0.0

        def make() -> Any:
            return DrawTasks(policy_environment(config), config.train_range)

        steps = (config.adaptation_steps + 1) * config.horizon
        self.steps = steps * config.tasks_per_batch
        own = {"shared_lstm": True, "enable_critic_lstm": False} if shared else {}
        self.model = RecurrentPPO(
            "MlpLstmPolicy",
            DummyVecEnv([make] * config.tasks_per_batch),
            n_steps=steps,
            batch_size=ceil(self.steps / settings["minibatches"]),
            n_epochs=settings["epochs"],
            learning_rate=settings["learning_rate"],
            gamma=config.discount,
            gae_lambda=config.gae_lambda,
            policy_kwargs={
                "lstm_hidden_size": settings["memory_size"],
                "net_arch": list(config.hidden_sizes),
                **own,
            },
            seed=0,
            device="cpu",
        )
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self.update = self.model.train
        self.model.train = self.timed_update

    def timed_update(self) -> None:
        """Update, and tell how long it took."""
        started = time.process_time()
        self.update()
        self.update_seconds = time.process_time() - started

    def __call__(self) -> None:
        """Collect one rollout and take one update."""
        self.model.learn(self.steps)


def compare(config: Config, rounds: int) -> dict[str, Any]:
    """Give the medians of env steps/s, their ratios, and where training's time goes."""
    steps = config.tasks_per_batch * (config.adaptation_steps + 1) * config.horizon
    recurrent, training = Recurrent(config, shared=True), Training(config)
    as_it_comes = Recurrent(config, shared=False)
    made = (Physics(config), Collecting(config), training, recurrent, as_it_comes)
    ways = dict(zip(WAYS, made, strict=True))
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    updates = []
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds = processor_seconds(way)
            if number > 0:  # the first round warms up
                rates[name].append(steps / seconds)
        if number > 0:
            updates.append(recurrent.update_seconds)
    result: dict[str, Any] = {
        "env steps per second": {way: statistics.median(rates[way]) for way in WAYS},
        "ratios": {
            f"{one} / {other}": statistics.median(
                a / b for a, b in zip(rates[one], rates[other], strict=True)
            )
            for one, other in RATIOS
        },
        "seconds of RecurrentPPO's update": statistics.median(updates),
    }
    records = training.records[1:]
    result["seconds of a training iteration by phase"] = {
        name.removesuffix("_seconds"): statistics.median(record[name] for record in records)
        for name in records[0]
        if name.endswith("_seconds")
    }
    return result


def table(result: dict[str, Any], config: Config, written_by: str) -> str:
    rates, ratios = result["env steps per second"], result["ratios"]
    lines = [
        "Env steps per second of processor time on half-cheetah velocity, one thread:",
        f"{config.tasks_per_batch} tasks × a trial of {config.adaptation_steps + 1} × "
        f"{config.horizon} steps in each, memory {SETTINGS['memory_size']},",
        f"PPO of {SETTINGS['epochs']} epochs of {SETTINGS['minibatches']} minibatches; written by",
        f"`{written_by}`; versions in memory_agents.json.",
        "",
        "| | env steps/s |",
        "|---|---|",
        f"| the environments alone, random actions | {rates['physics']:,.0f} |",
        f"| RL², collecting | {rates['collecting']:,.0f} |",
        f"| RL², whole training | {rates['training']:,.0f} |",
        f"| RecurrentPPO of sb3-contrib, one LSTM, whole training | {rates['RecurrentPPO']:,.0f} |",
        f"| the same with a second LSTM for the value, as it comes | {rates[AS_IT_COMES]:,.0f} |",
        "",
        "| | ratio |",
        "|---|---|",
        f"| collecting / environments alone | {ratios['collecting / physics']:.2f} |",
        f"| training / environments alone | {ratios['training / physics']:.2f} |",
        f"| training / RecurrentPPO with one LSTM | {ratios['training / RecurrentPPO']:.2f} |",
        f"| **training / RecurrentPPO as it comes** (aim: {AIM:.0f}) | "
        f"{ratios[f'training / {AS_IT_COMES}']:.2f} |",
        "",
        "Seconds of an iteration by phase, as the metrics have them:",
        "",
        "| phase | seconds |",
        "|---|---|",
    ]
    phases = result["seconds of a training iteration by phase"]
    lines += [f"| {name} | {seconds:.3f} |" for name, seconds in phases.items()]
    spent = result["seconds of RecurrentPPO's update"]
    lines += ["", f"RecurrentPPO's update alone: {spent:.2f} s of processor time."]
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=7)
    options = parse(made)
    warnings.filterwarnings("ignore")  # of a library about action spaces
    torch.set_num_threads(1)
    config = dataclasses.replace(
        load_preset("half-cheetah-vel"), **UNIT | (SMALL if options.small else {})
    )
    result = compare(config, options.rounds)
    packages = ("torch", "numpy", "gymnasium", "mujoco", "stable-baselines3", "sb3-contrib")
    one_thread = "OMP_NUM_THREADS=1 " if os.environ.get("OMP_NUM_THREADS") == "1" else ""
    record = {
        "command": one_thread + command(options, "rounds"),
        **ran_on(*packages),
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        **result,
    }
    write(options.output, "memory_agents", record, table(result, config, record["command"]))


if __name__ == "__main__":
    main()
