"""Rewards that are finite, and too large for what is remembered of a step: nothing is changed."""

import numpy as np
import pytest
from building import run, tiny_config
from pearl_toy import SETTINGS

pytestmark = pytest.mark.whole_runs

SQUARED = {"normalise_rewards": False, "max_gradient_norm": 1e30}


@pytest.mark.parametrize(
    ("agent", "settings", "reward"),
    [
        pytest.param("rl2", SQUARED, 1e20, id="memory of Adam in rl2"),
        pytest.param("varibad", {}, 1e18, id="memory of Adam in varibad"),
        pytest.param("pearl", SETTINGS, 1e39, id="transitions of pearl"),
        pytest.param(
            "varibad", {"warm_up_iterations": 5, "model_steps": 0}, 1e39, id="trials of varibad"
        ),
    ],
)
def test_what_a_checkpoint_could_not_give_back_is_not_learned(agent, settings, reward):
    config = tiny_config(
        agent=agent,
        agent_settings=settings,
        env_id="degenerate_environments:Degenerate-v0",
        env_kwargs={"reward": reward},
        adaptation_steps=1,
        episodes_per_task=1,
        training_tasks=3 if agent == "pearl" else 0,
        discount=0.99,
        iterations=2,
    )
    state, records = run(config)
    assert records[-1]["step_accepted"] is False
    assert records[-1]["rejection"] == "the loss or its gradient is not finite"
    found = state.agent
    for array in (found.theta, *found.optimiser.values(), *found.others.values()):
        assert np.isfinite(array).all()
    for name, array in found.experience.items():
        assert np.isfinite(array).all(), name
