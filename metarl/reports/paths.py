"""The ways that adapted policies take through the plane, where tasks are goals there."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.playing import play
from metarl.foundation.errors import ConfigError
from metarl.foundation.messages import say
from metarl.reports.report_figures import TaskPaths
from metarl.reports.run_contents import Run
from metarl.runs.session import load_newest_state
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import Task, task_space
from metarl.tasks.policy_environment import observed_environment
from metarl.workers.shards import Shard

_PATHS_SHOWN = 4
_MOST_PHASES = 4
_SAMPLES = 8
"""Ways of a policy that acts by a sample of what its task may be."""
_SEED = 1


def paths_of(run: Run) -> list[TaskPaths]:
    """Give a policy's paths, if it moves in the plane towards a goal there."""
    if not isinstance(run.config, Config) or not run.versions or run.config.never_adapts:
        return []
    config = dataclasses.replace(run.config, seed=_SEED, test_tasks=_PATHS_SHOWN)
    try:
        experiment = build_experiment(config)
    except ConfigError as error:  # of a package that is not installed here
        say(f"metarl report: no paths of {run.run_dir}: {error}")
        return []
    environment = experiment.environment
    goal_of: Callable[[Task], Any] = np.asarray
    spaces = [environment.observation_space, task_space(environment)]
    if environment.has_wrapper_attr("goal_in_plane"):
        goal_of = environment.get_wrapper_attr("goal_in_plane")
        del spaces[1]
    if any(not isinstance(space, gym.spaces.Box) or space.shape != (2,) for space in spaces):
        return []
    state = load_newest_state(run.run_dir, experiment, "metarl report").agent
    tasks = experiment.held_out_tasks(config.train_range, _PATHS_SHOWN)
    with contextlib.closing(Shard(experiment.test_shards())) as shard:
        phases = experiment.states_after(shard, state, tasks)
    last = len(phases[0]) - 1
    shown = list(range(last + 1)) if last < _MOST_PHASES else [0, 1, last]
    family = experiment.agent.family
    generators: list[np.random.Generator | None] = [None]
    if family.acts_by_samples:
        shown, generators = sorted({0, last}), [*np.random.default_rng(_SEED).spawn(_SAMPLES)]
    action_map = ActionMap(environment.action_space, config.action_scale)
    with contextlib.closing(observed_environment(config)) as alone:
        paths = [
            [
                [
                    np.array([at for at, _ in play(actor, action_map, alone, task, _SEED, each)])
                    for each in generators
                ]
                for actor in (experiment.actor(states[phase]) for phase in shown)
            ]
            for task, states in zip(tasks, phases, strict=True)
        ]
    title = f"{config.title}, {config.agent}, seed {run.config.seed}"
    word = family.unit.rpartition(" ")[2]
    labels = [
        f"after {phase} {word}{'s' * (phase > 1)}" if phase else "before adaptation"
        for phase in shown
    ]
    return [TaskPaths(title, np.array([goal_of(task) for task in tasks]), labels, paths)]
