"""What somebody chose is never ignored: it is refused, and told from what is there by default."""

import pytest
from building import tiny_config

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl_agents.settings import MultitaskSettings, ReptileSettings, StableBaselinesSettings
from metarl_agents.trial_settings import PPOSettings, VariBADSettings


@pytest.mark.parametrize(
    ("kind", "chosen", "message"),
    [
        (StableBaselinesSettings, {"algorithm": "ppo", "max_kl": 0.02}, "max_kl = 0.02 is of TRPO"),
        (ReptileSettings, {"optimiser": "adam"}, "outer_learning_rate = 1.0 is of plain steps"),
        (MultitaskSettings, {"max_kl": 0.02}, "max_kl = 0.02 is of a trust region"),
        (
            MultitaskSettings,
            {"optimiser": "trust-region", "outer_learning_rate": 0.1},
            "outer_learning_rate = 0.1 is of Adam",
        ),
        (
            PPOSettings,
            {"final_learning_rate": 1e-5},
            "final_learning_rate = 1e-05 is never reached",
        ),
        (PPOSettings, {"final_entropy_weight": 0.1}, "decay_iterations is 0"),
        (VariBADSettings, {"final_model_learning_rate": 0.1}, "decay_iterations is 0"),
        (VariBADSettings, {"observation_weight": 2.0}, "weighs nothing: decode_observations"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(kind, chosen, message):
    with pytest.raises(ConfigError, match=message):
        kind(**chosen)


def test_settings_at_their_defaults_or_of_use_are_not_refused():
    StableBaselinesSettings(algorithm="ppo", max_kl=0.01)
    ReptileSettings(optimiser="adam", outer_learning_rate=1e-3)
    MultitaskSettings(optimiser="trust-region", max_kl=0.02)
    PPOSettings(final_learning_rate=7e-4)  # what it is from the beginning
    PPOSettings(decay_iterations=2, final_learning_rate=1e-5, final_entropy_weight=0.1)
    VariBADSettings(decode_observations=True, observation_weight=2.0)


@pytest.mark.parametrize("agent", ["reptile", "rl2", "varibad", "pearl"])
def test_second_derivatives_cannot_be_left_out_where_there_are_none(agent):
    config = tiny_config(agent=agent, first_order=True, training_tasks=3)
    with pytest.raises(ConfigError, match=f"agent {agent} does not fit: it takes no second deriv"):
        build_experiment(config)


def test_what_one_task_returns_cannot_be_compared_with_others():
    with pytest.raises(ConfigError, match="agent e-maml-trpo does not fit: tasks_per_batch = 1"):
        build_experiment(tiny_config(agent="e-maml-trpo", tasks_per_batch=1))


def test_a_standard_deviation_begins_where_gradients_move_it():
    with pytest.raises(ConfigError, match=r"initial_std = 0\.1 is below minimum_std = 0\.5"):
        tiny_config(initial_std=0.1, minimum_std=0.5)
    tiny_config(initial_std=0.5, minimum_std=0.5)
