"""A run: what was trained, and what can be done with it."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.agent.protocol import Record, TrainingState
from metarl.api.evaluation import Evaluation, evaluate
from metarl.api.policy import AdaptedPolicy
from metarl.config.base import ExperimentConfig
from metarl.config.fields import converted
from metarl.config.plugins import trained_policies
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.build import build_experiment
from metarl.experiments.environment_experiment import TRAINING_RANGE, EnvironmentExperiment
from metarl.experiments.interface import Experiment
from metarl.foundation.errors import ConfigError
from metarl.foundation.rollout_location import RolloutLocation
from metarl.foundation.threads import one_thread
from metarl.foundation.wording import nearest
from metarl.reports.inline_clips import Clips
from metarl.reports.interactive import interactive_parts
from metarl.reports.paths import paths_of
from metarl.reports.progress import TaskProgress, task_progress_for
from metarl.reports.report import write_report
from metarl.reports.run_contents import read_run
from metarl.reports.video import draw_tasks
from metarl.runs.hub_address import is_hub_address, read_address
from metarl.runs.hub_runs import fetched_run
from metarl.runs.metrics import read_metrics
from metarl.runs.run_folder import read_config
from metarl.runs.session import load_newest_state
from metarl.runs.trained_policies import run_folder, run_folders
from metarl.tasks.environment_batches import SingleEnvironments
from metarl.tasks.observations import flat_observations
from metarl.tasks.policy_environment import OneTask
from metarl.workers.shards import Shard, ShardSpec

Folder = str | os.PathLike[str]


class Run:
    """A trained agent, in its run folder.

    Args:
        run_dir: the run folder, the name of a policy that comes trained, or hf://USER/NAME.

    """

    def __init__(self, run_dir: Folder) -> None:
        self.run_dir = run_folder(Path(run_dir))
        self.config: Any = read_config(self.run_dir)
        """The run's configuration, all values by name."""

    def __repr__(self) -> str:
        """Name the run."""
        return f"<metarl.Run {self.run_dir}: {self.config.agent} on {self.config.name}>"

    @property
    def metrics(self) -> list[Record]:
        """The metrics of each iteration, by name."""
        return read_metrics(self.run_dir)

    @property
    def iteration(self) -> int:
        """How many iterations the newest checkpoint has."""
        return self._state.iteration

    @cached_property
    def _experiment(self) -> Experiment:
        built: Experiment = build_experiment(self.config)
        return built

    @cached_property
    def _state(self) -> TrainingState:
        return load_newest_state(self.run_dir, self._experiment)

    def evaluate(
        self,
        tasks: int | Sequence[Any] | None = None,
        adaptation_steps: int | None = None,
        *,
        save: bool = True,
        **options: Any,
    ) -> Evaluation:
        """Adapt to held-out tasks; measure before adaptation and after each unit of it.

        Args:
            tasks: how many held-out tasks, or a list of tasks; None: the preset's number.
            adaptation_steps: units of adaptation; may be more than in training. None: the preset's.
            save: write evaluation.json and the figure into the run folder, for the report; what
                was seen on a list of tasks is not written.
            options: as for `metarl.evaluate`.

        """
        given = tasks is not None and not isinstance(tasks, int | Real)
        if not given and isinstance(self.config, Config):
            options = {"task_range": TRAINING_RANGE, **options}
        (found,) = evaluate(
            [self.run_dir], tasks=tasks, adaptation_steps=adaptation_steps, **options
        )
        if save and not given:
            found.save(self.run_dir)
        return found

    def adapt(
        self,
        task: Any = None,
        env: gym.Env[Any, Any] | None = None,
        *,
        episodes: int | None = None,
        steps: int | None = None,
        seed: int = 1,
    ) -> AdaptedPolicy:
        """Adapt to a task; give the policy.

        Args:
            task: a task of the run's environment, as a value of its task space.
            env: any environment with the observations and actions of the run's, in place of a
                task. Its episodes are played one after the other.
            episodes: episodes for each unit of adaptation; None: the preset's number for
                evaluation.
            steps: units of adaptation; 0: the policy as it was trained, for which no task is
                needed. None: the preset's number for evaluation.
            seed: of the episodes.

        Raises:
            ConfigError: the task is not one of the environment's, or the spaces differ.

        """
        if task is not None and env is not None:
            raise ConfigError("name a task or an environment to adapt to, not both")
        experiment = self.environment_experiment(
            seed=seed,
            test_adaptation_steps=steps,
            test_episodes_per_task=episodes,
        )
        config, state = experiment.config, self._state.agent
        if task is None and env is None:
            if steps:
                raise ConfigError("adaptation needs a task: name it, or an environment")
            return AdaptedPolicy(experiment, state)
        if config.observe_task:
            raise ConfigError(f"agent {config.agent} observes its task and never adapts")
        spec = ShardSpec(
            config,
            experiment.policy,
            config.test_episodes_per_task,
            range(1),
            adapts_alone=True,
        )
        with contextlib.ExitStack() as at_the_end:
            at_the_end.enter_context(one_thread())
            if env is not None:
                shard, met = _shard_around(spec, experiment, env), 0
            else:
                shard, met = Shard(spec), experiment.read_task(task)
                at_the_end.callback(shard.close)
            ((*_, adapted),) = experiment.states_after(shard, state, [met])
        return AdaptedPolicy(experiment, adapted)

    def render(
        self,
        tasks: int = 1,
        *,
        task: Any = None,
        adaptation_steps: int | None = None,
        output: Folder | None = None,
        fps: int = 20,
        seed: int = 1,
        progress: TaskProgress | bool | None = None,
    ) -> Clips:
        """Draw held-out tasks before adaptation and after each unit of it, side by side.

        Args:
            tasks: how many held-out tasks to draw.
            task: one task, in place of drawn ones.
            adaptation_steps: units of adaptation; None: the preset's number for evaluation.
            output: the file, whose ending chooses the format: .mp4, .webp or .gif; of several
                tasks, -1, -2, … come before the ending. None: RUN_DIR/videos/task.mp4.
            fps: frames a second.
            seed: of the tasks and their episodes.
            progress: as for `metarl.evaluate`.

        Returns:
            A list of the files; a notebook plays them.

        """
        experiment = self.environment_experiment(
            seed=seed, test_tasks=tasks, test_adaptation_steps=adaptation_steps
        )
        given = None if task is None else [experiment.read_task(task)]
        file = Path(output) if output is not None else self.run_dir / "videos" / "task.mp4"
        with one_thread():
            tell = task_progress_for(progress)
            drawn = draw_tasks(experiment, self._state.agent, file, fps, given, tell)
        return Clips(drawn)

    def report(self, output: Folder | None = None) -> Path:
        """Write one page about the run; give the file, RUN_DIR/report.html unless `output` says."""
        return report([self.run_dir], output)

    def environment_experiment(self, **changes: Any) -> EnvironmentExperiment:
        """Build the experiment with other values for some fields; None: the run's.

        Raises:
            ConfigError: the run is of a supervised problem, where nothing acts.

        """
        config: ExperimentConfig = self.config
        if isinstance(config, SupervisedConfig):
            raise ConfigError(
                f"{self.run_dir} is a run of problem {config.problem!r}, not of an environment: "
                "nothing acts there"
            )
        assert isinstance(config, Config)
        named = {field: option for option, field in config.test_options.items()}
        given = {
            field: converted(Config, field, value, named.get(field, field))
            for field, value in changes.items()
            if value is not None
        }
        if config.never_adapts:
            given["test_adaptation_steps"] = 0
        return build_experiment(dataclasses.replace(config, **given))


def _shard_around(
    spec: ShardSpec, experiment: EnvironmentExperiment, env: gym.Env[Any, Any]
) -> Shard:
    """Make a shard whose only environment is somebody's."""
    seen = flat_observations(env, str(env))
    for name, own, theirs in (
        ("observation", experiment.environment.observation_space, seen.observation_space),
        ("action", experiment.environment.action_space, env.action_space),
    ):
        if not _alike(own, theirs, bounds=name == "action"):
            raise ConfigError(
                f"the environment's {name} space is {theirs}, the run's is {own}; only an "
                "environment of the same spaces can be adapted to"
            )
    location = RolloutLocation()
    batch = SingleEnvironments([OneTask(seen)], str(env), 1, location)
    return Shard(spec, location, batch)


def _alike(own: gym.Space[Any], theirs: gym.Space[Any], bounds: bool) -> bool:
    """Say whether a policy of one space serves the other; numbers may be stored otherwise."""
    if isinstance(own, gym.spaces.Box) and isinstance(theirs, gym.spaces.Box):
        same = np.array_equal(own.low, theirs.low) and np.array_equal(own.high, theirs.high)
        return own.shape == theirs.shape and (same or not bounds)
    return own == theirs


def report(runs: Folder | Sequence[Folder], output: Folder | None = None) -> Path:
    """Write one page about a run, or about several beside each other; give the file.

    Args:
        runs: a run folder or several, names of policies that come trained, or hf://USER/NAME.
        output: the page; None: report.html in the run folder, if there is only one.

    Raises:
        ConfigError: there are several runs and no page is named.

    """
    if not runs:
        raise ConfigError("name a run folder: metarl report RUN_DIR…")
    folders = list(dict.fromkeys(run_folders(runs)))
    if output is None and len(folders) > 1:
        raise ConfigError(
            "one page about several runs is written where you say: name it by --output FILE.html"
        )
    file = Path(output) if output is not None else folders[0] / "report.html"
    found = [read_run(folder) for folder in folders]
    first_of_groups = {each.group: each for each in reversed(found)}
    first = [each for each in found if each in first_of_groups.values()]
    paths = [path for each in first for path in paths_of(each)]
    write_report(file, found, paths, interactive_parts(first))
    return file


def load(run: Folder, *, run_dir: Folder | None = None, trust: bool = False) -> Run:
    """Open a run folder, a policy that comes trained, by its name, or a run on the hub.

    Args:
        run: the run folder; the name of a trained policy; or hf://USER/NAME, a model repository of
            the Hugging Face hub, as hf://USER/NAME@REVISION at a branch, a tag or a commit. It is
            copied to runs/hub/USER--NAME@COMMIT, and used again where it is there.
        run_dir: the folder for a run from the hub, in place of that one.
        trust: of a run from the hub: take a configuration that names code of no installed plug-in,
            as module:name. That code is run.

    Raises:
        RunFolderError: there is no such run.
        ConfigError: a run from the hub names code that it must not.
        MetarlError: the hub refuses, or cannot be reached.

    """
    if is_hub_address(run):
        return Run(
            fetched_run(read_address(run), None if run_dir is None else Path(run_dir), trust)
        )
    if run_dir is not None or trust:
        raise ConfigError(f"run_dir and trust mean nothing for {run}, which is not hf://USER/NAME")
    if not Path(run).exists() and str(run) not in (known := trained_policies()):
        hint = nearest(str(run), known, f"policies that come trained: {', '.join(known)}")
        raise ConfigError(f"there is no run folder {run}; {hint}")
    return Run(run)
