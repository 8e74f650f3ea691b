"""Parts of the page in which a reader tries policies, where the environment brings such a part."""

from collections.abc import Sequence

import numpy as np
import torch

from metarl.agent.gradient import GRADIENT, STEP_SIZES
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.environment_experiment import EnvironmentExperiment
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import unflatten
from metarl.learning.policies import Layer, layers_of
from metarl.reports.run_contents import Run
from metarl.runs.session import load_newest_state
from metarl.workers.shards import Vector, to_vector

PlainPolicy = tuple[Config, np.ndarray, list[Layer]]
"""The configuration; log σ of each number of an action, none where actions are choices; and the
layers of the network."""

UNTRAINED = "untrained"


def interactive_parts(runs: Sequence[Run]) -> list[str]:
    """Give the parts as HTML, one for each environment that has a method `page_part`.

    It is asked to show the runs whose policy adapts by plain gradient steps, and what the first of
    them was before training. An empty part is left out.

    Args:
        runs: those whose policies are to be shown.

    """
    experiments: dict[str, EnvironmentExperiment] = {}
    policies: dict[str, dict[str, PlainPolicy]] = {}
    for run in runs:
        experiment = _experiment_with_part(run)
        if experiment is None:
            continue
        state = load_newest_state(run.run_dir, experiment, "metarl report").agent
        if STEP_SIZES in state.others:
            continue
        config = experiment.config
        experiments.setdefault(config.env_id, experiment)
        there = policies.setdefault(config.env_id, {})
        label = config.agent if config.agent not in there else f"{config.agent}, {run.run_dir}"
        there[label] = plain_policy(experiment, state.theta)
    parts = []
    for env_id, first in experiments.items():
        untrained = {UNTRAINED: plain_policy(first, to_vector(first.initial))}
        part = first.environment.get_wrapper_attr("page_part")
        parts.append(part({**policies[env_id], **untrained}))
    return [part for part in parts if part]


def plain_policy(experiment: EnvironmentExperiment, theta: Vector) -> PlainPolicy:
    """Give a policy so that an environment can show it, which knows no agent."""
    parameters = unflatten(torch.as_tensor(theta), experiment.initial)
    log_std = parameters.get("log_std", torch.zeros(0)).numpy()
    return experiment.config, log_std, layers_of(parameters)


def _experiment_with_part(run: Run) -> EnvironmentExperiment | None:
    """Build a run's experiment, if its environment brings a part that can show its agent."""
    if not isinstance(run.config, Config) or not run.versions or run.config.never_adapts:
        return None
    try:
        experiment: EnvironmentExperiment = build_experiment(run.config)
    except ConfigError:  # of a package that is not installed here; `paths_of` says so
        return None
    has_part = experiment.environment.has_wrapper_attr("page_part")
    return experiment if has_part and experiment.agent.family is GRADIENT else None
