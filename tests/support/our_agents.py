"""The agents of this repository that learn, and settings that make them small."""

from metarl.config.plugins import agent_names, load_agent

OURS = [
    origin.name
    for origin in agent_names()
    if origin.package == "metarl-suite" and not load_agent(origin.name).baseline
]


SMALL = {
    "pearl": {
        "encoder_sizes": [16],
        "prior_episodes": 1,
        "first_passes": 1,
        "gradient_steps": 40,
        "meta_batch": 4,
        "batch_size": 32,
        "context_size": 16,
        "learning_rate": 3e-3,
    }
}
"""Settings with which the kit is done in moments."""
