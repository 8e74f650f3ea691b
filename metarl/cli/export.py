"""Write a trained policy, adapted to a task, for another library.

The format sb3 is a PPO model of stable-baselines3: `PPO.load(FILE).predict` acts as the policy's
most likely action does, in the policy's units. `metarl.tasks.policy_environment.policy_environment`
makes the environment that takes them:

  from metarl.runs.run_folder import read_config
  from metarl.tasks.policy_environment import policy_environment
  environment = policy_environment(read_config(Path("runs/navigation-2d")))

Examples:
  metarl export runs/navigation-2d --task "[0.3, 0.2]"
  metarl export runs/navigation-2d --task "[0.3, 0.2]" --adaptation-steps 1 --output adapted.zip
  metarl export runs/navigation-2d               as it is before adaptation
"""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from metarl.cli.parsing import parse
from metarl.cli.trained import run_folder
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_config


@dataclass(frozen=True)
class ExportArguments:
    """The arguments of `metarl export`."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of a run; or the name of a policy that comes trained (`metarl list`)."""
    task: str = ""
    """The task to adapt to, as JSON. Empty: the policy as it is before adaptation."""
    adaptation_steps: int | None = None
    """Inner steps. None: the preset's number for evaluation."""
    format: Literal["sb3"] = "sb3"
    """The library to write for: sb3 is stable-baselines3."""
    output: Path | None = None
    """The file, which ends in .zip. None: RUN_DIR/policy-sb3.zip."""
    seed: int = 1
    """Seeds the episodes that adaptation collects."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ExportArguments, argv, prog="metarl export", description=__doc__ or "")
    arguments = dataclasses.replace(arguments, run_dir=run_folder(arguments.run_dir))
    config = read_config(arguments.run_dir)
    steps = arguments.adaptation_steps
    if not arguments.task and steps:
        raise ConfigError("adaptation needs a task: name it by --task")
    if config.observe_task and arguments.task:
        raise ConfigError(f"agent {config.agent} observes its task and never adapts: leave --task")
    config = dataclasses.replace(
        config,
        seed=arguments.seed,
        test_adaptation_steps=config.test_adaptation_steps if steps is None else steps,
    )
    output = arguments.output or arguments.run_dir / f"policy-{arguments.format}.zip"
    if output.suffix != ".zip":
        raise ConfigError(f"output = {output} must end in .zip")
    # From here on torch is needed, which takes its time to import.
    import torch

    from metarl.agents.stable_baselines import export_policy, require_perceptron
    from metarl.cli.runs import build_experiment, load_newest_state, read_task
    from metarl.experiments.evaluation import adapted_parameters, rates_at_test
    from metarl.learning.adaptation import unflatten
    from metarl.tasks.policy_environment import policy_environment
    from metarl.workers.shards import Shard, ShardSpec

    require_perceptron(config)
    experiment = build_experiment(config)
    state = load_newest_state(arguments.run_dir, experiment, "metarl export")
    parameters = unflatten(torch.as_tensor(state.agent.theta), experiment.initial)
    if arguments.task:
        task = read_task(arguments.task, experiment.environment)
        spec = ShardSpec(config, experiment.policy, config.test_episodes_per_task, range(1))
        with contextlib.closing(Shard(spec)) as shard:
            ((*_, parameters),) = adapted_parameters(
                shard, state.agent.theta, [task], rates_at_test(state.agent, config)
            )
    export_policy(output, policy_environment(config), config, parameters)
    print(f"written to {output}")
    return 0
