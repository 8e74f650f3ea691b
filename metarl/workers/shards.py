"""What a worker owns: some tasks of the meta-batch, their environments and their experience.

Trajectories never leave the shard. The functions that agents map over shards take a shard first and
give one result for each of its tasks, in task order.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metarl.config.reinforcement import Config
from metarl.foundation.errors import TaskError
from metarl.foundation.rollout_location import RolloutLocation
from metarl.foundation.seeding import Purpose, Split, stream
from metarl.foundation.stopwatch import PhaseSeconds, Stopwatch
from metarl.foundation.working_directory import working_directory_kept
from metarl.learning.adaptation import LearningRate, Parameters, flatten, unflatten
from metarl.learning.policies import PolicySpec, parameters_of
from metarl.learning.returns import (
    baseline_values,
    discounted_returns,
    generalised_advantages,
    policy_gradient_batch,
    stacked_baseline_values,
    stacked_policy_gradient_batches,
)
from metarl.learning.torsos import coarse
from metarl.learning.trajectories import (
    Batch,
    Experience,
    TaskStatistics,
    Trajectories,
    Trials,
    joined,
)
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import Task, Tasks, name_task
from metarl.tasks.environment_batches import EnvironmentBatch, make_batch
from metarl.tasks.failed_episodes import EpisodeError, FailedEpisode
from metarl.tasks.observations import flat_layout
from metarl.workers.device_rollout import DeviceRollout
from metarl.workers.rollout import EpisodeRunner, collect, run_on_host

Vector = Float[np.ndarray, " parameter"]
"""A flat vector in parameter space, as it travels between processes."""

Rate = float | Vector | Mapping[str, float]
"""α of an inner step as it travels: one number; learned, one for each parameter; or one for each
name of parameters that move."""

ATTEMPTS = 3
"""How often a task whose environment fails is tried, where it is to be tried again."""

P = ParamSpec("P")
R = TypeVar("R")


@runtime_checkable
class Workers(Protocol):
    """The pool, as an agent sees it."""

    count: int

    def map(self, function: Callable[..., list[R]], *args: Any) -> list[R]:
        """Run `function(shard, *args)` on every shard; give all results in task order.

        `function` is defined at the top level of a module and gives one result for each task of
        the shard; `args` are the same for all shards.
        """

    def take_profile(self) -> PhaseSeconds:
        """Give the seconds that maps took since last asked, by phase; each the mean over workers.

        A phase is the name of the function mapped, or what the shard's stopwatch was told inside
        it; what the mean worker did not work is "communication".
        """

    def close(self) -> None:
        """End the workers."""


@dataclass(frozen=True)
class ShardSpec:
    """Everything a worker needs to build its shard; light, and picklable."""

    config: Config
    policy: PolicySpec
    episodes_per_task: int
    task_indices: range
    query_episodes: int = 0
    """Episodes per task of the last phase; 0: as many as of the others."""
    most_tasks: int = 0
    """Tasks that are met at once, where fewer than all are; 0: all."""
    tasks_together: int = 1
    """Tasks that lie in one shard: the first so many, the next so many, …"""
    adapts_alone: bool = False
    """Nothing is collected after the last unit of adaptation: no one asks how well it went."""

    @property
    def slots_per_task(self) -> int:
        """Episodes of a task that run side by side."""
        return max(self.episodes_per_task, self.query_episodes)

    def build(self, location: RolloutLocation | None = None) -> "Shard":
        """Build the shard."""
        return Shard(self, location)


class TaskFailed(TaskError):
    """An environment failed with a task; `episode` repeats it."""

    def __init__(self, text: str, episode: FailedEpisode, position: int) -> None:
        super().__init__(text)
        self.episode = episode
        self.position = position


class Shard:
    """The tasks of one worker.

    Args:
        spec: what to build.
        location: told where the rollouts are.
        environments: with one slot, for a shard of one task, whose episodes are then played one
            after the other; None: those of the configuration, with a slot for each episode.

    """

    def __init__(
        self,
        spec: ShardSpec,
        location: RolloutLocation | None = None,
        environments: EnvironmentBatch | None = None,
    ) -> None:
        config = spec.config
        self.spec = spec
        self.config = config
        self._all_tasks = spec.task_indices
        self.task_indices: Sequence[int] = spec.task_indices
        """Of the tasks of the latest experience, in the meta-batch."""
        self.location = location or RolloutLocation()
        self.left_out: list[FailedEpisode] = []
        """Of the latest experience: why tasks were left out."""
        self.episodes_per_task = spec.episodes_per_task
        self.adapts_alone = spec.adapts_alone
        self.layout = spec.policy.layout or flat_layout(spec.policy.observation_space)
        self.query_episodes = spec.query_episodes or spec.episodes_per_task
        self.slots_per_task = spec.slots_per_task if environments is None else 1
        self.policy = spec.policy.build(config.seed)
        self.policy.to(device=config.device, dtype=getattr(torch, config.dtype))
        self.template = parameters_of(self.policy)
        self.tasks_in_one_call = tasks_in_one_call(config.device) and self.policy.torso is None
        """Whether all tasks are computed in one call, up to rounding; on the CPU each keeps its own
        bits in any company."""
        self._room = min(len(spec.task_indices), spec.most_tasks or len(spec.task_indices))
        self.environments = environments or self._make_environments()
        self.run: EpisodeRunner = self._make_run()
        """Runs the episodes."""
        self.action_map = ActionMap(spec.policy.action_space, config.action_scale)
        self.stopwatch = Stopwatch()
        self.key: tuple[int, ...] = ()
        """The key of the random streams of the latest experience."""
        self.tasks: list[Task] = []
        self.experience: list[Experience] = []
        self.trials: Trials | None = None
        """The experience of agents that meet a task in trials of several episodes."""
        self.stacks: list[Any] = []
        """The experience of several tasks side by side, where it was asked for."""
        self.statistics: list[TaskStatistics] = []
        """Of the latest experience."""
        self.adapted: list[Any] = []
        """What a family keeps of each task for `metarl.agent.protocol.Family.adapted`."""
        self.scratch: list[Any] = []
        """What an agent keeps for each task between two of its maps."""
        self.kept: dict[str, Any] = {}
        """What an agent builds once, such as a network, by a name of its own."""

    def _make_environments(self) -> EnvironmentBatch:
        with working_directory_kept():
            return make_batch(self.config, self.slots_per_task, self._room, self.location)

    def _make_run(self) -> EpisodeRunner:
        return run_on_host if self.environments.on_device is None else DeviceRollout()

    def begin(self, tasks: Tasks, key: tuple[int, ...], left_out: Sequence[int] = ()) -> None:
        """Begin a new experience.

        Args:
            tasks: those of the meta-batch; the shard takes its own.
            key: of the random streams.
            left_out: indices of tasks not to be met.

        """
        self.key = key
        there = tasks if isinstance(tasks, Mapping) else range(len(tasks))
        self.task_indices = [
            index for index in self._all_tasks if index in there and index not in left_out
        ]
        self.tasks = [tasks[index] for index in self.task_indices]
        if self.tasks and len(self.tasks) != self._room:
            self.environments.close()
            self._room = len(self.tasks)
            self.environments = self._make_environments()
            self.run = self._make_run()

    def parameters(self, vector: Vector) -> Parameters:
        """Turn a vector that came from the parent into parameters of the policy.

        The copy gives them torch's alignment in memory, on which the last bits of products depend.
        """
        like = next(iter(self.template.values()))
        copy = torch.tensor(vector, dtype=like.dtype, device=like.device)
        return unflatten(copy, self.template)

    def learning_rate(self, rate: Rate) -> LearningRate:
        """Turn an inner step's α that came from the parent into what `metarl.learning.adaptation`
        takes.
        """
        return rate if isinstance(rate, int | float | Mapping) else self.parameters(rate)

    @contextmanager
    def blame(self, position: int) -> Iterator[None]:
        """Name the task in any error raised inside."""
        self.location.tick()
        try:
            yield
        except Exception as error:
            name = name_task(self.task_indices[position], self.tasks[position])
            raise TaskError(f"{name}: {type(error).__name__}: {error}") from error

    def collect(
        self, parameters: Sequence[Parameters], key: tuple[int, ...], *, query: bool = False
    ) -> list[Trajectories]:
        """Collect one phase's episodes of every task, with the parameters given for each.

        Args:
            parameters: to act with, for each task.
            key: of the random streams.
            query: whether this is the last phase, of `query_episodes`.

        Raises:
            TaskFailed: an environment failed.

        """
        episodes = self.query_episodes if query else self.episodes_per_task
        rounds = []
        try:
            for first in range(0, episodes, self.slots_per_task):
                rounds.append(
                    collect(
                        self.environments,
                        self.policy,
                        parameters,
                        self.tasks,
                        action_map=self.action_map,
                        horizon=self.config.horizon,
                        slots_per_task=self.slots_per_task,
                        first_episode=first,
                        episodes_per_task=min(self.slots_per_task, episodes - first),
                        seed=self.config.seed,
                        keys=[(*key, index) for index in self.task_indices],
                        stopwatch=self.stopwatch,
                        location=self.location,
                        run=self.run,
                    )
                )
        except EpisodeError as error:
            raise self.failed(error, key) from error
        return [joined(parts) for parts in zip(*rounds, strict=True)]

    def failed(self, error: EpisodeError, key: tuple[int, ...]) -> TaskFailed:
        """Say which task an environment failed with, and how to repeat its episode."""
        position = error.slot // self.slots_per_task
        index, task = self.task_indices[position], self.tasks[position]
        text = f"{name_task(index, task)}: {error} (reset seed {error.seed})"
        episode = FailedEpisode(
            env_id=self.config.env_id,
            env_kwargs=self.config.env_kwargs,
            horizon=self.config.horizon,
            task=self.environments.task_space.to_jsonable([task]),
            reset_seed=error.seed,
            actions=tuple(error.actions),
            state=error.state,
            reason=text,
            task_index=index,
            key=key,
        )
        return TaskFailed(text, episode, position)

    def batches(self, trajectories: Sequence[Trajectories]) -> list[Batch]:
        """Turn one phase's episodes of every task into batches for a policy-gradient loss.

        The linear baseline is fitted to these very episodes and subtracted by generalised advantage
        estimation.
        """
        discount = self.config.discount
        rewards = torch.stack([episodes.rewards for episodes in trajectories])
        mask = torch.stack([episodes.mask for episodes in trajectories])
        returns = discounted_returns(rewards, mask, discount)
        values = None
        if self.tasks_in_one_call:
            seen = [episodes.observations for episodes in trajectories]
            values = stacked_baseline_values(seen, returns, mask)
        if values is None:
            values = torch.stack(self._values_of_each(trajectories, returns))
        advantages = generalised_advantages(rewards, values, mask, discount, self.config.gae_lambda)
        if self.tasks_in_one_call:
            return stacked_policy_gradient_batches(trajectories, advantages, mask)
        return [
            policy_gradient_batch(*of_one_task)
            for of_one_task in zip(trajectories, advantages, strict=True)
        ]

    def _values_of_each(
        self, trajectories: Sequence[Trajectories], returns: Float[Tensor, "task episode time"]
    ) -> list[Tensor]:
        """Fit each task's own baseline."""
        values = []
        for position, episodes in enumerate(trajectories):
            with self.blame(position):
                seen = coarse(self.layout, episodes.observations, self.config.image_scale)
                values.append(baseline_values(seen, returns[position], episodes.mask))
        return values

    def generator(self, purpose: Purpose, position: int) -> np.random.Generator:
        """Give the stream of one task and purpose that belongs to the latest experience."""
        return stream(self.config.seed, purpose, *self.key, self.task_indices[position])

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()


def tasks_in_one_call(device: str) -> bool:
    """Say whether a device computes many tasks in the time of one."""
    return torch.device(device).type != "cpu"


def on_own_tasks(
    shard: Shard, tasks: Tasks, key: tuple[int, ...], collect: Callable[[], list[R]]
) -> list[R]:
    """Collect on the shard's tasks; where an environment fails, do as the configuration says.

    Args:
        shard: the worker's shard.
        tasks: those of the meta-batch; the shard takes its own.
        key: the key of the random streams, such as (Split.TRAIN, iteration).
        collect: collects on the tasks that the shard has begun with.

    """
    shard.left_out = []
    attempts = Counter[int]()
    while True:
        shard.begin(tasks, key, [episode.task_index for episode in shard.left_out])
        try:
            return collect()
        except TaskFailed as failure:
            index = failure.episode.task_index
            attempts[index] += 1
            how = shard.config.on_env_error
            if how == "skip-task" and key[0] == Split.TEST:
                how = "stop"  # an evaluation says something of all its tasks, or nothing
            if how == "stop" or (how == "retry" and attempts[index] == ATTEMPTS):
                raise
            if how == "skip-task":
                shard.left_out.append(failure.episode)


def starts_anew(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that leaves a shard in the same state whatever was mapped before.

    Random streams are keyed, so a worker that was lost can be rebuilt: by repeating, on a new one,
    all that was mapped since such a function.
    """
    function.starts_anew = True  # type: ignore[attr-defined]
    return function


def to_vector(parameters: Parameters) -> Vector:
    """Turn parameters into the vector that travels."""
    vector: Vector = flatten(parameters).detach().cpu().numpy()
    return vector
