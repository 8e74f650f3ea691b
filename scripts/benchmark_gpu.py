"""Measure metarl on a GPU: physics alone, the work unit W by its parts, and what a goal takes.

    python scripts/benchmark_gpu.py [--device cuda] [--seconds 280]

Writes benchmarks/gpu.json and a table beside it. Training to a return comes last, and takes what is
left of --seconds. What is measured, and the goals:

- physics alone, by the number of half-cheetahs side by side;
- W, a meta-iteration of half-cheetah direction: 40 tasks × 20 episodes × 200 steps × 2 phases,
  320,000 env steps: at most 1.0 s;
- the same with 400 episodes: 1.5 million env steps a second;
- few-shot classification beside the CPU of the same machine: 15 times as fast;
- PEARL's gradient steps of the paper's sizes, as a graph and call by call;
- how near a device's numbers are to the CPU's, in double precision;
- what the same bits every time cost: physics with mujoco_warp's settings for it and without;
- seconds until a return of 150 after one step in ProMP's protocol: two minutes.

Needs the extra gpu, and a GPU; `--device cpu --small` runs it without one, to see that it runs.
"""

import contextlib
import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from benchmark_iteration import SMALL, W, medians
from benchmark_pearl import STEPS, Pearl, config_of
from shared import BENCHMARKS, command, parse, parser, ran_on, write

from metarl.agent.protocol import Record
from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment
from metarl.runs.provenance import describe_device
from metarl.training import train
from metarl_envs.half_cheetah import BODY
from metarl_envs.mujoco_batch import make_worlds

PACKAGES = ("metarl-suite", "torch", "mujoco", "mujoco-warp", "warp-lang")
PRESET, FEW_SHOT = "half-cheetah-dir", "characters-5-way-1-shot"
AGREEING = ("navigation-2d", "half-cheetah-dir", "bernoulli-bandit")
GOAL_RETURN = 150.0
LONGEST_LEARNING = 120.0
"""Seconds that training to the goal may take, where they are left."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    worlds: tuple[int, ...] = (800, 4_096, 16_384, 65_536)
    control_steps: int = 40
    iterations: int = 5
    large_iterations: int = 2
    episodes: int = 400
    few_shot_iterations: int = 20
    pearl_rounds: int = 100
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    few_shot_changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    small_pearl: bool = False


TINY = Sizes((2, 3), 1, 1, 1, 3, 1, 1, {**SMALL, "horizon": 3}, {"tasks_per_batch": 2}, True)


def wait_for(device: str) -> None:
    """Wait until a device has done all that it was told to."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def physics(device: str, worlds: int, control_steps: int, deterministic: bool) -> dict[str, float]:
    """Step half-cheetahs under random controls that stay the same."""
    made: Any = make_worlds("warp", BODY, worlds, device, 1)
    if not deterministic:
        made._model.opt.deterministic = type(made._model.opt.deterministic)(0)
    actions = np.random.default_rng(0).uniform(-1, 1, (worlds, 6))
    made.steer(made.of_host(actions))
    standing = torch.zeros(worlds, dtype=torch.bool, device=device)
    made.advance(standing)  # compiles, and captures the graph
    wait_for(device)
    started = time.perf_counter()
    for _ in range(control_steps):
        made.advance(standing)
    wait_for(device)
    seconds = (time.perf_counter() - started) / control_steps
    return {"ms a physics step": 1e3 * seconds / BODY.frame_skip, "env steps/s": worlds / seconds}


def training(preset: str, **changes: Any) -> Iterator[Record]:
    """Train in this process; give each iteration's metrics."""
    config: Any = load_preset(preset)
    settings = changes.pop("agent_settings", None)
    if settings is not None:
        changes["agent_settings"] = {**config.agent_settings, **settings}
    experiment: Any = build_experiment(
        dataclasses.replace(config, **{"iterations": 10**6, **changes})
    )
    with contextlib.closing(experiment.start_workers(0)) as workers:
        for _, record in train(experiment, workers, experiment.first_state()):
            yield record


def seconds_of(preset: str, count: int, **changes: Any) -> dict[str, float]:
    """Give the median seconds of an iteration and its parts; the first two are to warm up."""
    with contextlib.closing(training(preset, **changes)) as records:
        return medians(list(itertools.islice(records, 2, 2 + count)))


def env_steps(sizes: dict[str, Any]) -> int:
    """Count an iteration's env steps."""
    episodes = sizes["tasks_per_batch"] * sizes["episodes_per_task"]
    return 2 * int(episodes * sizes["horizon"])


def few_shot(device: str, sizes: Sizes) -> dict[str, float]:
    """Give the milliseconds of a few-shot iteration there and on the CPU."""
    count, changes = sizes.few_shot_iterations, sizes.few_shot_changes
    there, here = (
        1e3 * seconds_of(FEW_SHOT, count, device=where, **changes)["iteration"]
        for where in (device, "cpu")
    )
    return {"ms there": there, "ms on the CPU": here, "times as fast": here / there}


def pearl(device: str, sizes: Sizes) -> dict[str, float]:
    """Give PEARL's gradient steps a second, as a graph and call by call."""
    found = {}
    for name, graphed in (("graph", True), ("calls", False)):
        steps = Pearl(config_of(sizes.small_pearl, device=device), graphed=graphed)
        steps()  # warms up, and captures
        wait_for(device)
        started = time.perf_counter()
        for _ in range(sizes.pearl_rounds):
            steps()
        wait_for(device)
        found[name] = sizes.pearl_rounds * STEPS / (time.perf_counter() - started)
    return found


def pearl_agreement(device: str) -> float:
    """Give by how much PEARL's θ differs from the CPU's after some gradient steps, relatively."""
    thetas = []
    for where in (device, "cpu"):
        steps = Pearl(config_of(True, dtype="float64", device=where))
        steps()
        steps()
        thetas.append(steps.learner.state()[0])
    there, here = thetas
    return float(np.abs(there - here).max() / np.abs(here).max())


def agreement(device: str) -> dict[str, float]:
    """Give by how much numbers after an iteration differ from the CPU's, relatively."""
    small = {"tasks_per_batch": 3, "episodes_per_task": 4, "horizon": 6, "hidden_sizes": (5,)}
    found = {}
    for preset in AGREEING:
        there, here = (
            next(training(preset, **small, dtype="float64", device=where))
            for where in (device, "cpu")
        )
        found[preset] = max(
            abs(there[name] - here[name]) / max(abs(here[name]), 1e-9)
            for name in ("post_adaptation_return", "gradient_norm", "loss", "kl")
        )
    return {**found, "pearl": pearl_agreement(device)}


def learning(seconds: float, **changes: Any) -> dict[str, float]:
    """Train until the goal, or for so long."""
    started = time.perf_counter()
    best, iterations, spent = -np.inf, 0, 0.0
    with contextlib.closing(training(PRESET, **changes)) as records:
        for record in records:
            iterations, spent = iterations + 1, time.perf_counter() - started
            best = max(best, record["post_adaptation_return"])
            if best >= GOAL_RETURN or spent >= seconds:
                break
    return {"return": float(best), "seconds": spent, "iterations": iterations}


def measure(device: str, sizes: Sizes, seconds: float) -> dict[str, Any]:
    """Measure it all, training to the goal in the time that is left."""
    started = time.perf_counter()
    there = {"device": device, "physics": "warp"}
    unit = W | sizes.changes
    large = {**unit, "episodes_per_task": sizes.episodes}
    found: dict[str, Any] = {
        "physics": {
            str(count): physics(device, count, sizes.control_steps, True) for count in sizes.worlds
        },
        "W": seconds_of(PRESET, sizes.iterations, **there, **unit),
    }
    iteration = seconds_of(PRESET, sizes.large_iterations, **there, **large)["iteration"]
    found["large env steps/s"] = env_steps(large) / iteration
    found["few-shot"] = few_shot(device, sizes)
    found["pearl"] = pearl(device, sizes)
    found["agreement"] = agreement(device)
    found["other bits every time"] = physics(device, sizes.worlds[0], sizes.control_steps, False)
    left = seconds - (time.perf_counter() - started)
    protocol = {**there, **sizes.changes}
    found["learning"] = learning(min(LONGEST_LEARNING, left), **protocol)
    found["all of it, seconds"] = time.perf_counter() - started
    return found


def table(record: dict[str, Any]) -> str:
    """Give the page."""
    found, device = record["found"], record["device"]
    lines = [
        f"On {device.get('model', device['name'])}, in one process. "
        f"Written by `{record['command']}`; versions in gpu.json.",
        "",
        "Physics alone, half-cheetahs of 5 physics steps a control step:",
        "",
        "| worlds | ms a physics step | env steps/s |",
        "|---|---|---|",
        *(
            f"| {int(count):,} | {each['ms a physics step']:.2f} | {each['env steps/s']:,.0f} |"
            for count, each in found["physics"].items()
        ),
        "",
        "W, by parts (policy and physics are launched without waiting, and counted together):",
        "",
        "| part | seconds |",
        "|---|---|",
        *(f"| {part} | {seconds:.3f} |" for part, seconds in found["W"].items()),
        "",
        "| | found | goal |",
        "|---|---|---|",
    ]
    few, learned = found["few-shot"], found["learning"]
    first, other = next(iter(found["physics"].values())), found["other bits every time"]
    cost = first["ms a physics step"] / other["ms a physics step"]
    worst = max(found["agreement"].values())
    unit = found["W"]["iteration"]
    lines += [
        f"| seconds of W | {unit:.2f} | 1.0 |",
        f"| env steps/s in iterations of {record['episodes']} episodes a task | "
        f"{found['large env steps/s']:,.0f} | 1,500,000 |",
        f"| few-shot classification, times as fast as on the CPU | {few['times as fast']:.1f} "
        "| 15 |",
        f"| PEARL's gradient steps/s, a step as one graph | {found['pearl']['graph']:,.0f} | |",
        f"| the same, call by call | {found['pearl']['calls']:,.0f} | |",
        f"| seconds to a return of {GOAL_RETURN:.0f} after one step | {reached(learned)} | 120 |",
        f"| the same bits every time: physics takes times as long | {cost:.2f} | |",
        f"| largest relative difference to the CPU, double precision | {worst:.1e} | |",
        "",
        f"All of it took {found['all of it, seconds']:.0f} s.",
    ]
    return "\n".join(lines) + "\n"


def reached(learned: dict[str, float]) -> str:
    """Say how far training came."""
    if learned["return"] >= GOAL_RETURN:
        return f"{learned['seconds']:.0f}, in {learned['iterations']} iterations"
    return f"not reached: {learned['return']:.0f} after {learned['seconds']:.0f} s"


def main() -> int:
    """Measure, and write."""
    made = parser(__doc__, BENCHMARKS)
    made.add_argument("--device", default="cuda", help="torch's name of it")
    made.add_argument("--seconds", type=float, default=280.0, help="for all of it")
    options = parse(made)
    if find_spec("mujoco_warp") is None:
        print('needs mujoco_warp: pip install "metarl-suite[gpu]"; nothing was measured')
        return 1
    on_card = torch.device(options.device).type == "cuda"
    if on_card and not torch.cuda.is_available():
        print(f"there is no device {options.device} here; nothing was measured")
        return 1
    if not on_card and not options.small:
        made.error(f"--device {options.device} is for --small")
    sizes = TINY if options.small else Sizes()
    if not on_card:
        torch.set_num_threads(1)
    record = {
        "command": command(options, "device", "seconds"),
        "device": describe_device(options.device),
        "episodes": sizes.episodes,
        "found": measure(options.device, sizes, 0.0 if options.small else options.seconds),
        **ran_on(*PACKAGES),
    }
    write(options.output, "gpu", record, table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
