"""Small experiments of agents with a memory, and shards that have met tasks in them."""

import contextlib

from building import pool, tiny_config

from metarl.experiments.build import build_experiment


def config_of(agent, settings, discrete=False, **changes):
    """Trials of three episodes of one to five steps."""
    small = {
        "env_id": "early_ends:EarlyEnds-v0",
        "env_kwargs": {"discrete": discrete},
        "agent": agent,
        "horizon": 5,
        "adaptation_steps": 2,
        "tasks_per_batch": 7,
        "episodes_per_task": 2,
        "hidden_sizes": (5,),
        "dtype": "float64",
        "discount": 0.9,
        "gae_lambda": 0.8,
    }
    return tiny_config(**{**small, **changes}, agent_settings=settings)


@contextlib.contextmanager
def met(meet, config, state=None):
    """A shard that has met the tasks of the first iteration; with the state it acted by."""
    experiment = build_experiment(config)
    state = state or experiment.first_state().agent
    with pool(experiment) as workers:
        tasks, key = experiment.sample_tasks(1)
        workers.map(meet, state, tasks, key)
        yield workers._shard, state, workers
