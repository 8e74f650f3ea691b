"""Measure environments that exist only one at a time beside a bare loop over the same ones.

- ours: episodes collected by a worker's own code, in one thread: noise and policy included, with
  all of the worker's tasks side by side as far as it makes environments for them;
- replayed: the same, but the actions are those that the policy chose before: what the worker spends
  on everything but the policy;
- bare: a loop over environments of `gymnasium.make`, as anybody would write it: reset with a seed,
  then step to the end with actions drawn before, which are the policy's (what a step costs depends
  on them: a ball at a wall has contacts to solve); beneath the same wrappers of the observation;
- unchecked: the same loop without Gymnasium's PassiveEnvChecker, which `make` adds unless told not
  to;
- side: the unchecked loop over as many environments as the worker holds, which are stepped in turn,
  as a batched policy needs it: each finds its memory pushed out of the cache by the others;
- acting: the unchecked loop, with the policy called in every step for its action.

All in one process and thread, round by round in turn, so that whatever else the machine does
falls on all of them. Speeds are of processor time, since none of them ever waits.

    python scripts/benchmark_single_environments.py [--rounds 15]

Writes benchmarks/single_environments.json and a table beside it. Ratios are the medians of the
rounds' ratios. Needs the extras robotics and minigrid.
"""

import dataclasses
import os
import statistics
import time
import warnings
from functools import partial
from importlib import import_module
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import torch
from shared import BENCHMARKS, command, parse, parser, ran_on, write

from metarl.config.plugins import load_preset
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.tasks.distribution import registered, sample_tasks
from metarl.workers.policies_of_tasks import PoliciesOfTasks
from metarl.workers.shards import Shard, ShardSpec

PRESETS = {"pendulum-wrapped": 20, "point-maze": 4, "minigrid-four-rooms": 4}
"""Each preset, and the tasks of the worker."""
EPISODES = 20
WAYS = ("ours", "replayed", "bare", "unchecked", "side", "acting")
RATIOS = (("replayed", "side"), ("replayed", "unchecked"), ("ours", "side"), ("ours", "acting"))


def with_wrappers(environment: gym.Env, rows: list[Any]) -> gym.Env:
    """Wrap an environment as the preset says, which gives it observations for a policy."""
    for row in rows:
        options = {"wrapper": row} if isinstance(row, str) else dict(row)
        module, _, name = options.pop("wrapper").partition(":")
        environment = getattr(import_module(module), name)(environment, **options)
    return environment


class BareLoop:
    """The environments of a preset, one after the other, as Gymnasium makes them."""

    def __init__(self, config: Config, actions: list[Any], checked: bool, at_once: int = 1) -> None:
        kwargs = config.env_kwargs
        self.horizon = config.horizon
        registered(kwargs["env_id"])
        made = partial(gym.make, max_episode_steps=config.horizon, disable_env_checker=not checked)
        fixed = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in kwargs.get("kwargs", {}).items()
        }
        self.environments = [
            with_wrappers(made(kwargs["env_id"], **fixed), kwargs.get("wrappers", []))
            for _ in range(at_once * config.episodes_per_task)
        ]
        self.actions = at_once * actions
        self.rounds = config.tasks_per_batch // at_once
        self.episodes = config.episodes_per_task

    def run(self) -> int:
        """Play every episode; give the number of steps."""
        steps = 0
        for _ in range(self.rounds):
            for episode, environment in enumerate(self.environments):
                environment.reset(seed=episode)
                for action in self.actions[episode]:
                    _, _, terminated, truncated, _ = environment.step(action)
                    steps += 1
                    if terminated or truncated:
                        break
        return steps


class SideLoop(BareLoop):
    """The same environments, stepped in turn."""

    def run(self) -> int:
        """Play every episode; give the number of steps."""
        steps = 0
        for _ in range(self.rounds):
            running = list(zip(self.environments, self.actions, strict=True))
            for episode, (environment, _) in enumerate(running):
                environment.reset(seed=episode % self.episodes)
            for time_step in range(self.horizon):
                going_on = []
                for environment, actions in running:
                    _, _, terminated, truncated, _ = environment.step(actions[time_step])
                    steps += 1
                    if not (terminated or truncated):
                        going_on.append((environment, actions))
                running = going_on
                if not running:
                    break
        return steps


class ActingLoop(BareLoop):
    """The same, with a policy that is called for every action."""

    def __init__(self, config: Config, actions: list[Any], ours: "Ours") -> None:
        super().__init__(config, actions, checked=False)
        self.policy, self.action_map = ours.shard.policy, ours.shard.action_map
        self.noise = [
            torch.tensor(self.policy.draw_noise(np.random.default_rng(seed), config.horizon))
            for seed in range(self.episodes)
        ]

    @torch.no_grad()
    def run(self) -> int:
        """Play every episode; give the number of steps."""
        steps = 0
        for _ in range(self.rounds):
            for episode, environment in enumerate(self.environments):
                observation, _ = environment.reset(seed=episode)
                for noise in self.noise[episode]:
                    seen = torch.as_tensor(np.asarray(observation), dtype=torch.float32).view(1, -1)
                    chosen = self.policy.sample(self.policy(seen), noise.float().unsqueeze(0))
                    action = self.action_map(chosen.numpy())[0]
                    observation, _, terminated, truncated, _ = environment.step(action)
                    steps += 1
                    if terminated or truncated:
                        break
        return steps


class Replaying:
    """In place of the policy: what it chose when the same episodes were collected before."""

    def __init__(self, ours: "Ours") -> None:
        self.ours = ours
        self.chosen: list[torch.Tensor] = []
        self.next = 0

    def run(self) -> int:
        """Collect the episodes again; give the number of steps."""
        acting = PoliciesOfTasks.__call__
        first = not self.chosen

        def choose(actors: Any, observation: Any, noise: torch.Tensor) -> torch.Tensor:
            if first:
                self.chosen.append(acting(actors, observation, noise).clone())
            self.next += 1
            return self.chosen[self.next - 1]

        self.next = 0
        with mock.patch.object(PoliciesOfTasks, "__call__", choose):
            episodes = self.ours.shard.collect(self.ours.parameters, (0, 0))
        return sum(of_task.env_steps for of_task in episodes)


class Ours:
    """A worker's shard of the preset."""

    def __init__(self, config: Config) -> None:
        experiment = build_experiment(config)
        count = config.tasks_per_batch
        self.shard = Shard(
            ShardSpec(config, experiment.policy, config.episodes_per_task, range(count))
        )
        self.shard.tasks = sample_tasks(experiment.environment, config.seed, (0, 0), count)
        self.parameters = [self.shard.template] * count
        self.round = 0

    def run(self) -> int:
        """Collect every task's episodes; give the number of steps."""
        self.round += 1
        episodes = self.shard.collect(self.parameters, (0, self.round))
        return sum(of_task.env_steps for of_task in episodes)

    def actions(self) -> list[Any]:
        """Give the first task's actions, of each episode, as the environment takes them."""
        taken = self.shard.collect(self.parameters, (0, 0))[0].actions.numpy()
        return [list(self.shard.action_map(of_episode)) for of_episode in taken]


def compare(preset: str, tasks: int, episodes: int, rounds: int) -> dict[str, float]:
    """Give the medians of env steps/s, and of our ratio to either loop."""
    config = dataclasses.replace(
        load_preset(preset), tasks_per_batch=tasks, episodes_per_task=episodes
    )
    ours = Ours(config)
    actions = ours.actions()
    ways = {
        "ours": ours,
        "bare": BareLoop(config, actions, checked=True),
        "unchecked": BareLoop(config, actions, checked=False),
        "side": SideLoop(config, actions, False, ours.shard.environments.tasks_at_once),
        "replayed": Replaying(ours),
        "acting": ActingLoop(config, actions, ours),
    }
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way in WAYS:
            started = time.process_time()
            steps = ways[way].run()
            spent = time.process_time() - started
            if number > 0:  # the first round warms up
                rates[way].append(steps / spent)
    result = {f"{way}_env_steps_per_second": statistics.median(rates[way]) for way in WAYS}
    for one, other in RATIOS:
        ratios = [a / b for a, b in zip(rates[one], rates[other], strict=True)]
        result[f"{one}_to_{other}"] = statistics.median(ratios)
    result["tasks_at_once"] = ours.shard.environments.tasks_at_once
    return result


def table(results: dict[str, dict[str, float]], episodes: int, written_by: str) -> str:
    lines = [
        "Env steps per second of processor time, one thread: in a worker, in a worker whose policy",
        "costs nothing (its actions are replayed), in bare loops over the same environments: with",
        "the checker that `gymnasium.make` adds, without it, without it over as many environments",
        "as the worker holds, stepped in turn, and one after the other with the policy called for",
        f"each action; written by `{written_by}`;",
        "versions in single_environments.json.",
        "",
        "| preset | tasks × episodes side by side | worker | without policy | bare loop "
        "| without checker | in turn | calling the policy | worker without policy / bare in turn "
        "| worker without policy / bare | worker / bare in turn | worker / bare with policy |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for preset, result in results.items():
        rates = " | ".join(f"{result[f'{way}_env_steps_per_second']:,.0f}" for way in WAYS)
        ratios = " | ".join(f"{result[f'{one}_to_{other}']:.2f}" for one, other in RATIOS)
        side = f"{result['tasks_at_once']:.0f} × {episodes}"
        lines.append(f"| {preset} | {side} | {rates} | {ratios} |")
    lines.append("")
    lines.append("The bare loops of the ratios are without checker.")
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=15)
    options = parse(made)
    presets, episodes = (dict.fromkeys(PRESETS, 1), 1) if options.small else (PRESETS, EPISODES)
    warnings.filterwarnings("ignore")  # the checker recommends other spaces
    torch.set_num_threads(1)
    results = {
        preset: compare(preset, tasks, episodes, options.rounds)
        for preset, tasks in presets.items()
    }
    packages = ("torch", "numpy", "gymnasium", "mujoco", "gymnasium-robotics", "minigrid")
    record = {
        "command": command(options, "rounds"),
        **ran_on(*packages),
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "env steps/s and ratios by preset": results,
    }
    text = table(results, episodes, record["command"])
    write(options.output, "single_environments", record, text)


if __name__ == "__main__":
    main()
