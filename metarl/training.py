"""The outer loop."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np

from metarl.agents.collection import collect_and_adapt
from metarl.agents.protocol import Agent, AgentState
from metarl.config.reinforcement import Config
from metarl.foundation.errors import TaskError
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import Parameters
from metarl.tasks.distribution import sample_tasks
from metarl.tasks.success import success_metrics
from metarl.workers.shards import Vector, Workers

Record = dict[str, Any]
"""One iteration's metrics, by name."""


@dataclass(frozen=True)
class TrainingState:
    """Where training stands after a whole number of iterations."""

    agent: AgentState
    iteration: int
    """Iterations completed."""
    env_steps: int
    """Environment steps taken so far."""


@runtime_checkable
class OwnLoop(Protocol):
    """An agent with an outer loop of its own, in place of `metarl.agents.protocol.Agent.outer_step`.

    It collects its own experience, in this process; no shards are started for it.
    """

    def __init__(self, settings: Any, config: Config) -> None:
        """Take the agent's settings and the run's configuration."""

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""

    def train(
        self, initial: Parameters, state: TrainingState
    ) -> Iterator[tuple[TrainingState, Record]]:
        """Train from `state` on; give the new state and the metrics after each iteration.

        Args:
            initial: names and shapes of the policy's parameters.
            state: where to start.

        """


def train(
    agent: Agent,
    environment: gym.Env[Any, Any],
    workers: Workers,
    state: TrainingState,
    config: Config,
) -> Iterator[tuple[TrainingState, Record]]:
    """Meta-train from `state` on; give the new state and the metrics after each iteration.

    Args:
        agent: makes the outer step.
        environment: gives the task distribution; it is never stepped.
        workers: the pool whose shards collect, adapt and differentiate.
        state: where to start.
        config: the experiment; `config.iterations` counts from the beginning of the run.

    """
    for iteration in range(state.iteration + 1, config.iterations + 1):
        started = time.perf_counter()
        key = (Split.TRAIN, iteration)

        tasks = sample_tasks(
            environment, config.seed, key, config.tasks_per_batch, config.train_range
        )
        rates = state.agent.learning_rates(config.learning_rates, config.inner_learning_rate)
        statistics = workers.map(collect_and_adapt, state.agent.theta, tasks, key, rates)
        if not statistics:
            raise TaskError(f"the environments of all {len(tasks)} tasks failed; none is left")
        agent_state, outer_metrics = agent.outer_step(workers, state.agent)

        env_steps = state.env_steps + sum(task.env_steps for task in statistics)
        returns = np.mean([task.mean_returns for task in statistics], axis=0)
        state = TrainingState(agent_state, iteration, env_steps)
        yield (
            state,
            {
                "iteration": iteration,
                "env_steps": env_steps,
                "iteration_seconds": time.perf_counter() - started,
                "pre_adaptation_return": float(returns[0]),
                "post_adaptation_return": float(returns[-1]),
                "skipped_tasks": len(tasks) - len(statistics),
                "unstable_episodes": sum(task.unstable_episodes for task in statistics),
                **success_metrics([task.mean_successes for task in statistics]),
                **outer_metrics,
                **{f"{name}_seconds": spent for name, spent in workers.take_profile().items()},
            },
        )
