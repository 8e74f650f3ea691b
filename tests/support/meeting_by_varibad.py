"""Small experiments of agent varibad, and shards that it has met tasks in."""

import contextlib

from building import pool, tiny_config

from metarl.experiments.build import build_experiment
from metarl_agents import varibad

SIZES = {
    "memory_size": 12,
    "observation_embedding": 4,
    "action_embedding": 0,
    "reward_embedding": 4,
    "latent_size": 3,
    "decoder_sizes": [8],
    "gradient_parts": 3,
    "minibatches": 2,
    "buffer_trials": 20,
    "model_trials": 6,
    "model_steps": 2,
    "elbo_prefixes": 4,
    "decoded_steps": 5,
}
AGENT = "metarl_agents:VARIBAD"


def config_of(discrete=False, settings=None, **changes):
    """Trials of three episodes of one to five steps."""
    small = {
        "env_id": "early_ends:EarlyEnds-v0",
        "env_kwargs": {"discrete": discrete},
        "agent": AGENT,
        "horizon": 5,
        "adaptation_steps": 2,
        "tasks_per_batch": 7,
        "episodes_per_task": 2,
        "hidden_sizes": (5,),
        "dtype": "float64",
        "discount": 0.9,
        "gae_lambda": 0.8,
    }
    return tiny_config(**{**small, **changes}, agent_settings={**SIZES, **(settings or {})})


@contextlib.contextmanager
def met(config, state=None):
    """A shard that has met the tasks of the first iteration; with the state it acted by."""
    experiment = build_experiment(config)
    state = state or experiment.first_state().agent
    with pool(experiment) as workers:
        tasks, key = experiment.sample_tasks(1)
        workers.map(varibad.meet, state, tasks, key)
        yield workers._shard, state, workers
