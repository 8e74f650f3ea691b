"""PEARL at a size that runs in a moment."""

from building import tiny_config

SETTINGS = {
    "latent_size": 3,
    "encoder_sizes": [8],
    "prior_episodes": 1,
    "first_passes": 1,
    "gradient_steps": 3,
    "meta_batch": 2,
    "batch_size": 5,
    "context_size": 4,
}


def config_of(preset="navigation-semicircle", settings=None, **changes):
    return tiny_config(
        preset,
        **{
            "agent": "pearl",
            "agent_settings": {**SETTINGS, **(settings or {})},
            "training_tasks": 5,
            "tasks_per_batch": 2,
            "episodes_per_task": 1,
            "adaptation_steps": 1,
            "test_adaptation_steps": 2,
            "hidden_sizes": (8,),
            "iterations": 5,
            "test_tasks": 3,
            "test_episodes_per_task": 1,
            **changes,
        },
    )
