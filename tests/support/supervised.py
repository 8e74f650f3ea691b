"""Small supervised problems for tests."""

import contextlib
import dataclasses
from typing import Any

import numpy as np
import torch

from metarl.agent.protocol import Record, TrainingState
from metarl.config.plugins import load_preset
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.build import build_experiment
from metarl.experiments.problem_learner import Learner
from metarl.tasks.problems import held_out_episodes
from metarl.training import train


def tiny_supervised(preset: str = "sinusoid", **changes: Any) -> SupervisedConfig:
    """A preset, cut down to something that runs in a moment."""
    config = load_preset(preset)
    assert isinstance(config, SupervisedConfig)
    small: dict[str, Any] = {
        "tasks_per_batch": 3,
        "hidden_sizes": (5,),
        "iterations": 4,
        "record_interval": 2,
        "checkpoint_interval": 2,
        "test_tasks": 4,
        "test_queries": 6,
    }
    return dataclasses.replace(config, **{**small, **changes})


def learner_of(config: SupervisedConfig) -> Learner:
    """Problem and model."""
    return build_experiment(config).learner


def train_problem(
    config: SupervisedConfig, state: TrainingState | None = None
) -> list[tuple[TrainingState, Record]]:
    """Train from the beginning, or from a state; give states and records."""
    experiment = build_experiment(config)
    with contextlib.closing(experiment.start_workers(0)) as workers:
        return list(train(experiment, workers, state or experiment.first_state()))


def learner_and_batches(preset: str = "sinusoid", **changes: Any) -> tuple[Learner, Any, Any]:
    """A learner in float64, and the support and query sets of a few tasks."""
    learner = learner_of(tiny_supervised(preset, dtype="float64", **changes))
    config = learner.config
    episodes = held_out_episodes(
        learner.problem, 3, config.tasks_per_batch, config.shots, config.queries
    )
    return learner, *learner.batches(episodes)


def classification(ways: int, inputs: int, examples: int, tasks: int, seed: int) -> Any:
    """A batch of random inputs and classes, in float64."""
    generator = np.random.default_rng(seed)
    numbers = torch.tensor(generator.standard_normal((tasks, examples, inputs)))
    return numbers, torch.tensor(generator.integers(ways, size=(tasks, examples)))
