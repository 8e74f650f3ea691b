"""The ways that adapted policies take through the plane, where tasks are goals there."""

import contextlib
import dataclasses

import gymnasium as gym
import numpy as np

from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.playing import play
from metarl.foundation.errors import ConfigError
from metarl.foundation.messages import say
from metarl.reports.report import Run
from metarl.reports.report_figures import TaskPaths
from metarl.runs.session import load_newest_state
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import task_space
from metarl.tasks.policy_environment import observed_environment
from metarl.workers.shards import Shard

_PATHS_SHOWN = 4
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
    spaces = (environment.observation_space, task_space(environment))
    if any(not isinstance(space, gym.spaces.Box) or space.shape != (2,) for space in spaces):
        return []
    state = load_newest_state(run.run_dir, experiment, "metarl report").agent
    tasks = experiment.held_out_tasks(config.train_range, _PATHS_SHOWN)
    with contextlib.closing(Shard(experiment.test_shards())) as shard:
        phases = experiment.states_after(shard, state, tasks)
    action_map = ActionMap(environment.action_space, config.action_scale)
    with contextlib.closing(observed_environment(config)) as alone:
        paths = [
            [
                np.array([at for at, _ in play(actor, action_map, alone, task, _SEED)])
                for actor in map(experiment.actor, states)
            ]
            for task, states in zip(tasks, phases, strict=True)
        ]
    title = f"{config.name}, {config.agent}, seed {run.config.seed}"
    return [TaskPaths(title, np.array(tasks), paths)]
