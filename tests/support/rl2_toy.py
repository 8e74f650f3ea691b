"""RL² at a size that runs in a moment."""

import contextlib

from building import pool, tiny_config

from metarl.experiments.build import build_experiment
from metarl_agents import rl2
from metarl_agents.trial_ppo import Weights

SIZES = {"memory_size": 12, "gradient_parts": 3, "minibatches": 2, "epochs": 2}


def config_of(discrete=False, settings=None, **changes):
    """Trials of three episodes of one to five steps."""
    small = {
        "env_id": "early_ends:EarlyEnds-v0",
        "env_kwargs": {"discrete": discrete},
        "agent": "rl2",
        "horizon": 5,
        "adaptation_steps": 2,
        "tasks_per_batch": 7,
        "episodes_per_task": 2,
        "hidden_sizes": (5,),
        "dtype": "float64",
        "discount": 0.9,
        "gae_lambda": 0.8,
    }
    settings = {**SIZES, **(settings or {})}
    return tiny_config(**{**small, **changes}, agent_settings=settings)


@contextlib.contextmanager
def met(config, state=None):
    """A shard that has met the tasks of the first iteration; with the state it acted by."""
    experiment = build_experiment(config)
    state = state or experiment.first_state().agent
    with pool(experiment) as workers:
        tasks, key = experiment.sample_tasks(1)
        workers.map(rl2.meet, state, tasks, key)
        yield workers._shard, state, workers


FIRST = Weights(0, 0, 0.0, 1.0, 0.0)
