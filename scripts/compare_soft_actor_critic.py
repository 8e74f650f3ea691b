"""Compare PEARL without anything to infer with soft actor-critic of stable-baselines3.

Where its tasks do not differ, z says nothing, and PEARL is soft actor-critic with a number of noise
beside the observation. Both learn Gymnasium's Pendulum-v1 with the same networks, step size, batch,
learned temperature and number of gradient steps, and no value network; PEARL's two tasks are the
same pendulum. Every seed gives a training curve, of episodes with sampled actions, and the return
of the policy's mean actions on fresh episodes.

    python scripts/compare_soft_actor_critic.py                      some minutes for each seed

Writes results/soft-actor-critic/, or --output. Needs the extra sb3.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure
from shared import ROOT, command, parse, parser, ran_on

import metarl

RESULTS = ROOT / "results" / "soft-actor-critic"
PENDULUM, HORIZON = "Pendulum-v1", 200
EPISODES = 2
"""Of an iteration; a gradient step for each of their env steps follows."""
LATE = 10
"""The iterations at the end whose mean the table gives."""
FRESH_EPISODES = 20
GRAVITY = 10.0
"""As the pendulum has it; a task's differs by less than what float32 tells apart."""
NETWORKS, BATCH, STEP_SIZE, DISCOUNT = (128, 128), 128, 1e-3, 0.99
Curve = list[float]


def pearl(seed: int, iterations: int, folder: Path) -> tuple[Curve, float]:
    """Train PEARL; give the return by iteration, and that of mean actions."""
    same = {"attribute": "g", "low": GRAVITY, "high": GRAVITY + 1e-9}
    run = metarl.train(
        "pendulum-wrapped",
        agent="pearl",
        env_kwargs={"env_id": PENDULUM, "task": {"gravity": same}},
        run_dir=folder / f"seed-{seed}",
        workers=0,
        progress=False,
        tensorboard=False,
        seed=seed,
        iterations=iterations,
        horizon=HORIZON,
        training_tasks=2,
        tasks_per_batch=EPISODES,
        episodes_per_task=1,
        adaptation_steps=0,
        discount=DISCOUNT,
        hidden_sizes=NETWORKS,
        activation="relu",
        latent_size=1,
        encoder_sizes=(8,),
        prior_episodes=1,
        first_passes=1,
        gradient_steps=EPISODES * HORIZON,
        meta_batch=2,
        batch_size=BATCH // 2,
        learning_rate=STEP_SIZE,
        reward_scale=1.0,
        learned_temperature=True,
        value_network=False,
        policy_regularisation=0.0,
    )
    found = run.evaluate(tasks=FRESH_EPISODES, workers=0)
    returns = [record["pre_adaptation_return"] for record in run.metrics]
    return returns, float(found.mean_return[0])


def soft_actor_critic(seed: int, iterations: int) -> tuple[Curve, float]:
    """Train SAC of stable-baselines3; give the same."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    environment = Monitor(gym.make(PENDULUM))
    of_iteration = EPISODES * HORIZON
    model = SAC(
        "MlpPolicy",
        environment,
        learning_rate=STEP_SIZE,
        learning_starts=of_iteration,
        batch_size=BATCH,
        gamma=DISCOUNT,
        train_freq=of_iteration,
        gradient_steps=of_iteration,
        policy_kwargs={"net_arch": list(NETWORKS), "activation_fn": torch.nn.ReLU},
        seed=seed,
        device="cpu",
    )
    model.learn(iterations * of_iteration)
    returns = np.reshape(environment.get_episode_rewards(), (iterations, EPISODES)).mean(1)
    fresh = Monitor(gym.make(PENDULUM))
    fresh.reset(seed=1000 + seed)
    of_episodes, _ = evaluate_policy(model, fresh, FRESH_EPISODES, return_episode_rewards=True)
    return returns.tolist(), float(np.mean(of_episodes))


def draw(found: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Draw each seed's training curve."""
    figure = Figure((6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for number, (name, seeds) in enumerate(found.items()):
        curves = np.array([one["training"] for one in seeds])
        steps = EPISODES * HORIZON * np.arange(1, curves.shape[1] + 1)
        axes.plot(steps, curves.T, color=f"C{number}", alpha=0.3, linewidth=0.8)
        axes.plot(steps, curves.mean(0), color=f"C{number}", label=name)
    axes.set(xlabel="env steps", ylabel="return of an episode, sampled actions")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)


def table(record: dict[str, Any]) -> str:
    """Give the page."""
    lines = [
        "# PEARL without tasks, and soft actor-critic",
        "",
        f"Written by `{record['command']}`, which says what is compared: {PENDULUM}, "
        f"{record['iterations'] * EPISODES * HORIZON:,} env steps and nearly as many gradient "
        "steps. Mean and standard deviation over seeds; a seed's number is the mean return of "
        f"{FRESH_EPISODES} fresh episodes, or of its last {LATE} iterations.",
        "",
        "| | seeds | mean actions, fresh episodes | sampled actions, end of training |",
        "|---|---|---|---|",
    ]
    for name, seeds in record["found"].items():
        late = [np.mean(one["training"][-LATE:]) for one in seeds]
        cells = [
            f"{np.mean(values):.0f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.0f}"
            for values in ([one["fresh"] for one in seeds], late)
        ]
        lines.append(f"| {name} | {len(seeds)} | {cells[0]} | {cells[1]} |")
    return "\n".join([*lines, "", "![Training curves](training.png)"]) + "\n"


def main() -> None:
    """Train all seeds of both, and write."""
    made = parser(__doc__, RESULTS)
    made.add_argument("--seeds", type=int, default=5, help="how many")
    made.add_argument("--iterations", type=int, default=50, help=f"of {EPISODES} episodes")
    options = parse(made)
    if options.small:
        options.seeds, options.iterations = 1, 2
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, Any]]] = {"PEARL": [], "SAC of stable-baselines3": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, options.seeds + 1):
            ways = (
                pearl(seed, options.iterations, Path(folder)),
                soft_actor_critic(seed, options.iterations),
            )
            for name, (training, fresh) in zip(found, ways, strict=True):
                found[name].append({"seed": seed, "training": training, "fresh": fresh})
                print(name, found[name][-1]["fresh"], flush=True)
    record = {
        "command": command(options, "seeds", "iterations"),
        "iterations": options.iterations,
        "found": found,
        **ran_on("metarl-suite", "torch", "numpy", "gymnasium", "stable-baselines3"),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "returns.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.output / "README.md").write_text(table(record))
    draw(found, options.output / "training.png")


if __name__ == "__main__":
    main()
