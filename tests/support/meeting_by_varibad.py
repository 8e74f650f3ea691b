"""Small experiments of agent varibad, and shards that it has met tasks in."""

from functools import partial

import short_trials

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

met = partial(short_trials.met, varibad.meet)


def config_of(discrete=False, settings=None, **changes):
    """Trials of three episodes of one to five steps."""
    return short_trials.config_of(AGENT, {**SIZES, **(settings or {})}, discrete, **changes)
