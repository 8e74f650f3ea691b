"""Reinforcement learning on a task-distributed environment, as an experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.agent.device_memory import Sizes
from metarl.agent.protocol import Actor, Agent, AgentState, Record, TrainingState
from metarl.agent.stable_baselines import read_policy
from metarl.config.comparability import published_returns
from metarl.config.reinforcement import Config
from metarl.experiments.curves import AdaptationCurve, summarise
from metarl.experiments.evaluation_record import record_of_returns
from metarl.experiments.interface import (
    EvaluatedAgent,
    EvaluationCase,
    EvaluationSheet,
    Progress,
)
from metarl.experiments.room import require_room_to_evaluate, require_room_to_train
from metarl.foundation.errors import ConfigError, TaskError
from metarl.foundation.messages import say_once
from metarl.foundation.seeding import Split
from metarl.foundation.wording import counted
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import PolicySpec
from metarl.learning.trajectories import TaskStatistics
from metarl.tasks.distribution import (
    Task,
    describe_range,
    read_task,
    sample_tasks,
    task_space,
)
from metarl.tasks.environment_packages import environment_packages
from metarl.tasks.observations import unflattened
from metarl.tasks.physics import PHYSICS_PACKAGES
from metarl.tasks.success import success_metrics, success_rates
from metarl.tasks.training_sets import draw_different_tasks, known_among, order_of_training
from metarl.workers.pools import start_workers
from metarl.workers.process_pool import Supervision
from metarl.workers.shards import Shard, ShardSpec, Workers, to_vector

TRAINING_RANGE = "training"
"""What the range of tasks is called that a run was trained on."""
TASKS_AT_ONCE = 64
"""So many held-out tasks are met between two signs of progress."""
TEST_KEY = (Split.TEST, 0)


@dataclass(frozen=True)
class EnvironmentExperiment:
    """Environment, policy and agent."""

    config: Config
    environment: gym.Env[Any, Any]
    """Gives spaces and tasks; it is never stepped."""
    policy: PolicySpec
    agent: Agent
    settings: Any
    """The agent's own."""
    initial: Parameters
    """What is learned, before training."""
    measure = "mean return"

    @property
    def about(self) -> dict[str, str]:
        """What a checkpoint says that it is of."""
        return {"agent": self.config.agent, "environment": self.config.env_id}

    @property
    def packages(self) -> list[str]:
        """The installed packages that the environment is of."""
        config = self.config
        found = environment_packages(self.environment, config.env_id, config.env_kwargs)
        return found if config.physics == "mujoco" else [*found, *PHYSICS_PACKAGES[config.physics]]

    @property
    def raw_observation_space(self) -> gym.Space[Any]:
        """What the environment shows, before it is flattened; the oracle's task stands behind."""
        environment = self.environment
        return (
            environment if self.config.observe_task else unflattened(environment)
        ).observation_space

    def first_state(self) -> TrainingState:
        """Give the state before the first iteration.

        Raises:
            ConfigError: the policy to start from cannot be read, or is another one.

        """
        if self.config.training_tasks:
            self._tell_known_tasks()
        first = self.initial
        if file := self.config.initial_policy:
            first = read_policy(Path(file), self.config, self.policy.action_space, first)
        return TrainingState(self.agent.initial_state(to_vector(first)), 0, 0)

    def require_memory(self, workers: int | str) -> None:
        """Refuse a meta-batch whose experience cannot fit; on a cluster, whose memory is not known.

        Raises:
            ConfigError: with an estimate, and what to change.

        """
        if isinstance(workers, int) and self.agent.family.collects_in_shards:
            require_room_to_train(self.agent, self.sizes(workers))

    def sizes(self, workers: int) -> Sizes:
        """Give the sizes of an iteration of training."""
        config = self.config
        return self._sizes(
            config.tasks_per_batch, config.episodes_per_task, config.adaptation_steps, workers
        )

    def test_sizes(self, workers: int) -> Sizes:
        """Give the sizes of what an evaluation meets at once."""
        config = self.config
        return self._sizes(
            min(config.test_tasks, TASKS_AT_ONCE),
            max(config.test_episodes_per_task, config.test_query_episodes),
            config.test_adaptation_steps,
            workers,
        )

    def _sizes(self, tasks: int, episodes: int, units: int, workers: int) -> Sizes:
        parameters = sum(value.numel() for value in self.initial.values())
        return Sizes(self.config, self.policy, parameters, tasks, episodes, units + 1, workers)

    def start_workers(self, count: int | str, supervision: Supervision | None = None) -> Workers:
        """Start the pool over a meta-batch; this process alone where the agent needs no other."""
        config = self.config
        if not self.agent.family.collects_in_shards:
            count = 0
        spec = self.shards(config.tasks_per_batch, config.episodes_per_task)
        spec = replace(spec, tasks_together=self.agent.family.tasks_together)
        return start_workers(spec, count, supervision)

    def start_test_workers(
        self, count: int | str, supervision: Supervision | None = None
    ) -> Workers:
        """Start a pool over the held-out tasks.

        Raises:
            ConfigError: what is to be measured cannot fit into memory.

        """
        sizes = self.test_sizes(count if isinstance(count, int) else 0)
        require_room_to_evaluate(self.agent, sizes, count)
        return start_workers(self.test_shards(), count, supervision)

    def shards(self, tasks: int, episodes_per_task: int, query_episodes: int = 0) -> ShardSpec:
        """Specify shards over some tasks; 0 query episodes: as many as in the other phases."""
        return ShardSpec(self.config, self.policy, episodes_per_task, range(tasks), query_episodes)

    def test_shards(self) -> ShardSpec:
        """Specify shards over the held-out tasks."""
        config = self.config
        spec = self.shards(
            config.test_tasks, config.test_episodes_per_task, config.test_query_episodes
        )
        return replace(spec, most_tasks=TASKS_AT_ONCE)

    def sample_tasks(self, iteration: int) -> tuple[list[Task], tuple[int, ...]]:
        """Draw a meta-batch; give it and the key of its random streams."""
        config, key = self.config, (Split.TRAIN, iteration)
        count, task_range = config.tasks_per_batch, config.train_range
        if config.training_tasks:
            chosen = order_of_training(config.seed, iteration, count, config.training_tasks)
            return [self.training_set[index] for index in chosen], key
        return sample_tasks(self.environment, config.seed, key, count, task_range), key

    @cached_property
    def training_set(self) -> list[Task]:
        """The tasks of training, where there are so many and no more.

        Raises:
            ConfigError: there are fewer different ones.

        """
        config, key = self.config, (Split.TRAIN,)
        return draw_different_tasks(
            self.environment, config.seed, key, config.training_tasks, config.train_range
        )

    def _tell_known_tasks(self) -> None:
        """Warn of held-out tasks that the agent is trained on."""
        config, known = self.config, self.training_set
        held_out = self.held_out_tasks(config.train_range, config.test_tasks)
        if count := known_among(self.environment, held_out, known):
            say_once(
                f"metarl: {count} of the {len(held_out)} held-out tasks are among the {len(known)} "
                "of training: an evaluation will not say how well the agent does on new ones"
            )

    def summarise(self, tasks: Sequence[Task], met: Sequence[TaskStatistics]) -> Record:
        """Give returns before and after adaptation, and success where it is known.

        Raises:
            TaskError: the environments of all tasks failed.

        """
        if not met:
            raise TaskError(f"the environments of all {len(tasks)} tasks failed; none is left")
        returns = np.mean([task.mean_returns for task in met], axis=0)
        about: Record = {}
        if returns.size:
            about["pre_adaptation_return"] = float(returns[0])
            about["post_adaptation_return"] = float(returns[-1])
        return {
            **about,
            "skipped_tasks": len(tasks) - len(met),
            "unstable_episodes": sum(task.unstable_episodes for task in met),
            **success_metrics([task.mean_successes for task in met]),
        }

    def describe(self, record: Record, env_steps: int) -> str:
        """Say returns, success and speed in a line."""
        numbers = f"return {record['pre_adaptation_return']:.2f}"
        if "post_adaptation_return" in record:  # a baseline does not adapt while it trains
            numbers += f" → {record['post_adaptation_return']:.2f}"
        if "pre_adaptation_success" in record:
            before, after = (record[f"{phase}_adaptation_success"] for phase in ("pre", "post"))
            numbers += f"   success {before:.0%} → {after:.0%}"
        numbers += f"   {env_steps / record['iteration_seconds']:,.0f} env steps/s"
        if not record.get("step_accepted", True):
            numbers += f"   step rejected: {record.get('rejection') or 'no reason given'}"
        return numbers

    def actor(self, state: AgentState) -> Actor:
        """Give what acts by a state."""
        return self.agent.family.actor(self.policy, self.config, state)

    def states_after(
        self, shard: Shard, state: AgentState, tasks: Sequence[Task] | Mapping[int, Task]
    ) -> list[list[AgentState]]:
        """Meet held-out tasks as evaluation does.

        Args:
            shard: one over exactly these tasks.
            state: what was trained.
            tasks: held-out tasks.

        Returns:
            For each task what the agent is after 0, 1, … K units of adaptation.

        """
        self.agent.family.meet(shard, state.travelling, tasks, TEST_KEY)
        return self.agent.family.adapted(shard, state.travelling)

    # Evaluation

    def evaluation_sheets(
        self, wanted: str = "", given: Sequence[Task] | None = None
    ) -> list[EvaluationSheet]:
        """Give a sheet for each range of held-out tasks, for the one of a name, or for given tasks.

        Raises:
            ConfigError: there is no range of that name, or its tasks cannot be drawn.

        """
        config = self.config
        if given is not None:
            case = EvaluationCase("", [self.read_task(task) for task in given])
            title = f"{config.title}: mean return on {counted(len(given), 'given task')}"
            return [EvaluationSheet("given", title, (case,), {})]
        known = {TRAINING_RANGE: config.train_range, **config.test_ranges}
        if wanted and wanted not in known:
            kind = "preset" if config.preset else "environment"
            raise ConfigError(
                f"there is no task range {wanted!r}; {kind} {config.name!r} has {', '.join(known)}"
            )
        return [self._sheet(name, known[name]) for name in known if not wanted or name == wanted]

    def _sheet(self, name: str, task_range: Mapping[str, Any]) -> EvaluationSheet:
        config = self.config
        own = "" if name == TRAINING_RANGE else name
        published = {} if own else published_returns(config)
        by_step = {agent: dict(enumerate(means)) for agent, means in published.items()}
        which = describe_range(own, task_range, config.test_tasks)
        return EvaluationSheet(
            own,
            f"{config.title}: mean return on {which}",
            (EvaluationCase("", task_range),),
            {"": by_step},
        )

    def read_task(self, task: Any) -> Task:
        """Read a task of the environment's, as a value of its space or as JSON has it.

        Raises:
            ConfigError: it is not in the environment's task space.

        """
        return read_task(task_space(self.environment), task)

    def held_out_tasks(
        self, task_range: Any, count: int, indices: Sequence[int] | None = None
    ) -> list[Task]:
        """Draw held-out tasks; the same seed gives the same tasks.

        Args:
            task_range: what they are drawn from; a list of tasks is itself.
            count: how many.
            indices: draw only these of them; None: all.

        """
        if isinstance(task_range, list):
            return task_range if indices is None else [task_range[index] for index in indices]
        seed = self.config.seed
        return sample_tasks(self.environment, seed, TEST_KEY, count, task_range, indices)

    def evaluate(
        self,
        workers: Workers,
        state: AgentState,
        case: EvaluationCase,
        progress: Progress | None = None,
    ) -> AdaptationCurve:
        """Adapt to each task, with fresh episodes before every unit of adaptation and at last."""
        count, meet = self.config.test_tasks, self.agent.family.meet
        parts = -(-count // TASKS_AT_ONCE)
        found: dict[int, TaskStatistics] = {}
        for part in range(parts):
            # Every worker has some of each part; a task's numbers do not depend on its company.
            indices = range(part, count, parts)
            tasks = self.held_out_tasks(case.tasks, count, indices)
            own = dict(zip(indices, tasks, strict=True))
            met = workers.map(meet, state.travelling, own, TEST_KEY)
            found.update(zip(own, met, strict=True))
            if progress is not None:
                progress(len(found), count)
        statistics = [found[index] for index in range(count)]
        successes = success_rates([task.mean_successes for task in statistics])
        return summarise(
            np.array([task.mean_returns for task in statistics]),
            sum(task.env_steps for task in statistics),
            self.config.seed,
            None if successes is None else np.array(successes),
            tuple(np.mean([task.phase_env_steps for task in statistics], axis=0).tolist()),
            self.agent.family.unit,
            self.test_shards().slots_per_task,
        )

    def learning_rates_at_test(self, state: AgentState, case: EvaluationCase) -> tuple[float, ...]:
        """Give α of each step of an evaluation, as the configuration says it."""
        return self.config.learning_rates_at_test(self.config.test_adaptation_steps)

    def evaluation_record(
        self, sheet: EvaluationSheet, found: Sequence[EvaluatedAgent]
    ) -> dict[str, Any]:
        """Give an evaluation as JSON holds it."""
        (case,) = sheet.cases
        tasks = self.held_out_tasks(case.tasks, self.config.test_tasks)
        return record_of_returns(self.config, self.environment, case, tasks, found)
