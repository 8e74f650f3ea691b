"""The outer loop, for every agent, on environments and on supervised problems."""

import time
from collections.abc import Iterator

from metarl.agent.protocol import Record, TrainingState, plain_metrics
from metarl.experiments.interface import Experiment
from metarl.workers.shards import Workers


def train(
    experiment: Experiment, workers: Workers, state: TrainingState
) -> Iterator[tuple[TrainingState, Record]]:
    """Meta-train from `state` on; give the new state and the metrics of each record.

    Args:
        experiment: what is trained; its `config.is_trained` counts from the beginning of the run.
        workers: the pool whose shards meet the tasks: collect, adapt and differentiate.
        state: where to start.

    Raises:
        TaskError: no task of a meta-batch could be met, or numbers are no longer finite.

    """
    agent, config = experiment.agent, experiment.config
    interval = config.iterations_per_record
    while not config.is_trained(state.iteration, state.env_steps):
        iteration = state.iteration + interval
        started = time.perf_counter()

        tasks, key = experiment.sample_tasks(iteration)
        met = workers.map(agent.family.meet, state.agent.travelling, tasks, key)
        summary = experiment.summarise(tasks, met)
        agent_state, metrics = agent.improve(workers, state.agent)

        env_steps = state.env_steps + sum(task.env_steps for task in met)
        state = TrainingState(agent_state, iteration, env_steps)
        yield (
            state,
            {
                "iteration": iteration,
                "env_steps": env_steps,
                "iteration_seconds": (time.perf_counter() - started) / interval,
                **summary,
                **plain_metrics(metrics),
                **{f"{name}_seconds": spent for name, spent in workers.take_profile().items()},
            },
        )
