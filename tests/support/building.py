"""Short ways to the objects that many tests need."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from metarl.agent.protocol import Record, TrainingState
from metarl.config.plugins import load_agent, load_preset
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.environment_experiment import EnvironmentExperiment
from metarl.training import train
from metarl.workers.process_pool import Supervision
from metarl.workers.shards import Workers

FORKED = Supervision(start_method="forkserver")
"""Workers forked by a server start in a moment; a spawned one imports torch for seconds."""


def tiny_config(preset: str = "navigation-2d", **changes: Any) -> Config:
    """A preset, cut down to something that runs in a moment."""
    small = {"tasks_per_batch": 3, "episodes_per_task": 4, "horizon": 6, "hidden_sizes": (5,)}
    settings = changes.pop("agent_settings", {})
    config = load_preset(preset)
    before, after = (
        load_agent(name) for name in (config.agent, changes.get("agent", config.agent))
    )
    if before.settings is after.settings:  # as `metarl train` does
        settings = {**config.agent_settings, **settings}
    return dataclasses.replace(
        config, **{**small, "iterations": 3, **after.fixes, **changes}, agent_settings=settings
    )


@contextlib.contextmanager
def pool(
    experiment: EnvironmentExperiment, workers: int | str = 0, supervision: Supervision = FORKED
) -> Iterator[Workers]:
    """Workers over the tasks of a meta-batch."""
    with contextlib.closing(experiment.start_workers(workers, supervision)) as started:
        yield started


def first_state(experiment: EnvironmentExperiment) -> TrainingState:
    """The state before the first iteration."""
    return experiment.first_state()


def run(
    config: Config, workers: int | str = 0, supervision: Supervision = FORKED
) -> tuple[TrainingState, list[Record]]:
    """Train from the beginning to the end."""
    experiment = build_experiment(config)
    first = first_state(experiment)
    with pool(experiment, workers, supervision) as started:
        loop = train(experiment, started, first)
        states, records = zip(*loop, strict=True)
    return states[-1], list(records)


def adapted_parameters(shard, experiment, state, task):
    """The policy's parameters on a task, after 0, 1, … inner steps of an evaluation."""
    (states,) = experiment.states_after(shard, state, [task])
    return [
        {name: value.clone() for name, value in shard.parameters(each.theta).items()}
        for each in states
    ]


class ToldWorkers:
    """Workers that answer what a function says, instead of mapping anything."""

    count = 1

    def __init__(self, answer: Callable[[Callable[..., Any]], list[Any]]) -> None:
        self._answer = answer

    def map(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Give what one was told to."""
        return self._answer(function)

    def take_profile(self) -> dict[str, float]:
        """Give nothing: no time was spent."""
        return {}

    def close(self) -> None:
        """Do nothing."""


def without_times(records: list[Record]) -> list[Record]:
    """Drop what a clock measured."""
    return [
        {name: value for name, value in record.items() if not name.endswith("_seconds")}
        for record in records
    ]


def same(one: TrainingState, other: TrainingState) -> bool:
    """Whether two states of training have the same bits."""
    ours, theirs = (
        {"theta": s.theta, **s.optimiser, **s.others, **s.experience}
        for s in (one.agent, other.agent)
    )
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and np.array_equal(ours[name], theirs[name])
        for name in ours
    )
