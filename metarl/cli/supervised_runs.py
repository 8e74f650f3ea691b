"""What the verbs share for supervised problems: from a configuration to a learner and its state."""

from pathlib import Path
from typing import Any

import torch

from metarl.cli.saying import say
from metarl.config.fields import read_fields
from metarl.config.plugins import load_problem
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.supervised_learner import Learner
from metarl.foundation.errors import ConfigError
from metarl.learning.networks import network_of
from metarl.runs.checkpoints import Checkpoints
from metarl.training import TrainingState


def build_problem(config: SupervisedConfig) -> Any:
    """Build the problem (a `metarl.tasks.problems.Problem`) with its settings."""
    kind = load_problem(config.problem)
    return read_fields(kind, config.problem_settings, f"problem {config.problem}")


def build_learner(config: SupervisedConfig) -> Learner:
    """Build problem and model.

    Raises:
        ConfigError: the configuration names something that does not exist or does not fit.

    """
    problem = build_problem(config)
    try:
        torch.zeros(1, device=config.device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device = {config.device!r} is not to be had here: {reason}") from error
    input_shape = problem.input_shape
    if config.agent == "oracle":
        if not problem.numbers_told or len(input_shape) != 1:
            raise ConfigError(f"problem {config.problem!r} tells an oracle nothing")
        input_shape = (input_shape[0] + problem.numbers_told,)
    network = network_of(config, input_shape, problem.outputs)
    kind = {"device": config.device, "dtype": getattr(torch, config.dtype)}
    initial = {name: value.to(**kind) for name, value in network.initial(config.seed).items()}
    return Learner(config, problem, network, initial)


def load_state(
    run_dir: Path, learner: Learner, command: str, up_to: int | None = None
) -> TrainingState:
    """Load a run's newest good checkpoint; say on standard error what was passed over.

    Args:
        run_dir: the run folder.
        learner: what was run.
        command: who says it.
        up_to: the newest iteration wanted; None: any.

    Raises:
        RunFolderError: there is no good checkpoint.

    """
    state, _, skipped = Checkpoints(run_dir).load_newest(learner.initial, up_to)
    for damaged in skipped:
        say(f"{command}: passed over checkpoint {damaged}")
    return state
