"""RL² at a size that runs in a moment."""

from functools import partial

import short_trials

from metarl_agents import rl2
from metarl_agents.trial_ppo import Weights

SIZES = {"memory_size": 12, "gradient_parts": 3, "minibatches": 2, "epochs": 2}
FIRST = Weights(0, 0, 0.0, 1.0, 0.0)

met = partial(short_trials.met, rl2.meet)


def config_of(discrete=False, settings=None, **changes):
    """Trials of three episodes of one to five steps."""
    return short_trials.config_of("rl2", {**SIZES, **(settings or {})}, discrete, **changes)
