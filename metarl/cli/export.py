"""Write a trained policy, adapted to a task, for another library or for a program of your own.

The format sb3 is a PPO model of stable-baselines3: `PPO.load(FILE).predict` acts as the policy's
most likely action does, in the policy's units. `metarl.tasks.policy_environment` makes the
environment that takes them:

  import metarl
  from metarl.tasks.policy_environment import policy_environment
  environment = policy_environment(metarl.load("runs/navigation-2d").config)

The format metarl takes every agent's policy, also one that carries a memory; `metarl.load_policy`
reads it.

Examples:
  metarl export runs/navigation-2d --task "[0.3, 0.2]"
  metarl export runs/navigation-2d --task "[0.3, 0.2]" --adaptation-steps 1 --output adapted.zip
  metarl export runs/navigation-2d --format metarl      as it is before adaptation
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from metarl.cli.parsing import parse, parse_task
from metarl.foundation.errors import ConfigError


@dataclass(frozen=True)
class ExportArguments:
    """The arguments of `metarl export`."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of a run; or the name of a policy that comes trained (`metarl list`), or a run on
    the Hugging Face hub, as hf://USER/NAME."""
    task: str = ""
    """The task to adapt to, as JSON. Empty: the policy as it is before adaptation."""
    adaptation_steps: int | None = None
    """Steps of adaptation. None: the preset's number for evaluation."""
    format: Literal["sb3", "metarl"] | None = None
    """The library to write for: sb3 is stable-baselines3. None: metarl if the output ends in
    .safetensors, else sb3."""
    output: Path | None = None
    """The file, which ends in .zip (sb3) or .safetensors (metarl). None: RUN_DIR/policy-FORMAT."""
    seed: int = 1
    """Seeds the episodes that adaptation collects."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(ExportArguments, argv, prog="metarl export", description=__doc__ or "")
    task, steps = parse_task(arguments.task), arguments.adaptation_steps
    if task is None and steps:
        raise ConfigError("adaptation needs a task: name it by --task")
    # From here on torch is needed, which takes its time to import.
    from metarl.api.policy import FORMATS
    from metarl.api.run import Run

    named = arguments.output is not None and arguments.output.suffix == FORMATS["metarl"]
    library = arguments.format or ("metarl" if named else "sb3")
    ending = FORMATS[library]
    if arguments.output is not None and arguments.output.suffix != ending:
        raise ConfigError(f"output = {arguments.output} must end in {ending}")
    trained = Run(arguments.run_dir)
    output = arguments.output or trained.run_dir / f"policy-{library}{ending}"
    policy = trained.adapt(task, steps=0 if task is None else steps, seed=arguments.seed)
    print(f"written to {policy.save(output)}")
    return 0
