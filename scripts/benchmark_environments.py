"""Measure the native batch of MuJoCo tasks beside its alternatives, on the same cores.

Four ways to make the same control steps, interleaved (native and bare step by step, the others
round by round), so that whatever else the machine does falls on all of them:

- native: our vector environment on `mujoco.batch`, a thread a core;
- bare: a loop over `mujoco.batch` alone, with the same starts, controls and threads, which observes
  and rewards nothing: what the physics itself costs;
- sync, sync-many, async: Gymnasium's SyncVectorEnv, which has one thread by its nature, of 20 slots
  and of as many as the native batch has a core, and its AsyncVectorEnv, a process a slot, of 8;
  all of its own v5 environments.

    python scripts/benchmark_environments.py [--rounds 15 --slots-per-core 400]

Writes benchmarks/environments.json and a table beside it. Ratios are the medians of the rounds'
ratios; no episode ends within a round, so that every step counted is a step made.
"""

import os
import statistics
import time
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from mujoco.batch import Batch
from shared import BENCHMARKS, command, parse, parser, ran_on, write

import metarl_envs  # noqa: F401

WAYS = ("native", "bare", "sync", "sync-many", "async")
GYMNASIUMS = WAYS[2:]
SYNC_SLOTS = 20
ANT = {"include_cfrc_ext_in_observation": False, "terminate_when_unhealthy": False}
HUMANOID = {"include_cfrc_ext_in_observation": False, "terminate_when_unhealthy": False}
# Name: our id, Gymnasium's, its options, control steps in a round.
BODIES = {
    "half-cheetah": ("metarl/HalfCheetahVel-v0", "HalfCheetah-v5", {}, 40),
    "ant": ("metarl/AntGoalDisc-v0", "Ant-v5", ANT, 20),
    "humanoid": ("metarl/HumanoidDir2D-v0", "Humanoid-v5", HUMANOID, 10),
}


class Vectorised:
    """A vector environment: ours or one of Gymnasium's."""

    def __init__(self, env_id: str, mode: str, slots: int, **options: Any) -> None:
        self.slots = slots
        self.vector = gym.make_vec(env_id, num_envs=slots, vectorization_mode=mode, **options)

    def reset(self) -> None:
        """Start an episode in every slot."""
        self.vector.reset(seed=0)

    def step(self, actions: np.ndarray) -> None:
        """Make a control step."""
        *_, terminated, truncated, _ = self.vector.step(actions[: self.slots])
        assert not (terminated | truncated).any()


class Bare:
    """`mujoco.batch` alone, from the starts of our environment."""

    def __init__(self, env_id: str, slots: int, threads: int) -> None:
        self.slots = slots
        single = gym.make(env_id).unwrapped
        starts = []
        for slot in range(slots):
            single.reset(seed=slot)
            starts.append((single.data.qpos.copy(), single.data.qvel.copy()))
        self.starts = [np.stack(part) for part in zip(*starts, strict=True)]
        self.batch = Batch(single.model, slots, nthread=threads)
        self.state = [self.batch.bind("qpos"), self.batch.bind("qvel")]
        self.controls = self.batch.bind("ctrl")
        self.frame_skip = single.frame_skip

    def reset(self) -> None:
        """Start where our environment's episodes start."""
        self.batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        for part, start in zip(self.state, self.starts, strict=True):
            part[:] = start
        self.batch.forward()

    def step(self, actions: np.ndarray) -> None:
        """Make a control step."""
        self.controls[:] = actions[: self.slots]
        self.batch.step(nstep=self.frame_skip)


def measure(ways: list[Vectorised | Bare], controls: np.ndarray, episodes: int = 1) -> list[float]:
    """Give each way's env steps/s over the same controls, one step of each after the other."""
    seconds = [0.0] * len(ways)
    for _ in range(episodes):
        for way in ways:
            way.reset()
        for actions in controls:
            for index, way in enumerate(ways):
                started = time.perf_counter()
                way.step(actions)
                seconds[index] += time.perf_counter() - started
    steps = episodes * len(controls)
    return [steps * way.slots / spent for way, spent in zip(ways, seconds, strict=True)]


def compare(
    name: str, rounds: int, slots_per_core: int, cores: int, most_steps: int
) -> dict[str, float]:
    """Give the medians of env steps/s, and of the native batch's ratio to each alternative."""
    env_id, gymnasium_id, options, steps = BODIES[name]
    space = gym.make(env_id).action_space
    slots = cores * slots_per_core
    shape = (min(steps, most_steps), max(slots, SYNC_SLOTS), *space.shape)
    controls = np.random.default_rng(0).uniform(space.low, space.high, shape)
    ways: dict[str, Vectorised | Bare] = {
        "native": Vectorised(env_id, "vector_entry_point", slots, threads=cores),
        "bare": Bare(env_id, slots, cores),
        "sync": Vectorised(gymnasium_id, "sync", SYNC_SLOTS, **options),
        "sync-many": Vectorised(gymnasium_id, "sync", slots_per_core, **options),
        "async": Vectorised(gymnasium_id, "async", 8, **options),
    }
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        measured = measure([ways["native"], ways["bare"]], controls)
        for way in GYMNASIUMS:
            # The small ones make more episodes, to be measured for as long.
            episodes = 1 if way == "sync-many" else 5
            measured += measure([ways[way]], controls, episodes)
        if number > 0:  # the first round warms up
            for way, rate in zip(WAYS, measured, strict=True):
                rates[way].append(rate)
    for way in GYMNASIUMS:
        ways[way].vector.close()
    result = {f"{way}_env_steps_per_second": statistics.median(rates[way]) for way in WAYS}
    for way in WAYS[1:]:
        ratios = [ours / theirs for ours, theirs in zip(rates["native"], rates[way], strict=True)]
        result[f"native_to_{way}"] = statistics.median(ratios)
    return result


def table(results: dict[str, dict[str, dict[str, float]]], slots_per_core: int) -> str:
    ratios = " | ".join(f"native / {way}" for way in WAYS[1:])
    lines = [
        f"Env steps/s with {slots_per_core} slots a core in the native batch and the bare loop;",
        "written by `python scripts/benchmark_environments.py`; versions in environments.json.",
        "",
        f"| cores | body | {' | '.join(WAYS)} | {ratios} |",
        "|---|---|" + "---|" * (2 * len(WAYS) - 1),
    ]
    for cores, bodies in results.items():
        for name, result in bodies.items():
            rates = " | ".join(f"{result[f'{way}_env_steps_per_second']:,.0f}" for way in WAYS)
            ratios = " | ".join(f"{result[f'native_to_{way}']:.2f}" for way in WAYS[1:])
            lines.append(f"| {cores} | {name} | {rates} | {ratios} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--rounds", type=int, default=15)
    made.add_argument("--slots-per-core", type=int, default=400)
    options = parse(made)
    slots, most_steps = (2, 2) if options.small else (options.slots_per_core, 1000)
    available = sorted(os.sched_getaffinity(0))
    results = {}
    try:
        # Gymnasium's model files make MuJoCo print a note at each construction.
        mujoco.set_mju_user_warning(lambda message: None)
        for cores in range(1, min(2, len(available)) + 1):
            # The processes of AsyncVectorEnv inherit the cores.
            os.sched_setaffinity(0, available[-cores:])
            results[str(cores)] = {
                name: compare(name, options.rounds, slots, cores, most_steps) for name in BODIES
            }
    finally:
        mujoco.set_mju_user_warning(None)
        os.sched_setaffinity(0, available)
    record = {
        "command": command(options, "rounds", "slots_per_core"),
        **ran_on("mujoco", "gymnasium", "numpy"),
        "rounds": options.rounds,
        "env steps/s and ratios by cores and body": results,
    }
    write(options.output, "environments", record, table(results, slots))


if __name__ == "__main__":
    main()
