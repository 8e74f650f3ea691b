"""The library and its one-file twin make the same update."""

import numpy as np
import pytest
import torch
from building import run, tiny_config
from script_loading import load_script


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_one_iteration_equals_the_twin(inner_steps):
    twin = load_script("minimal_maml")
    sizes = twin.Sizes(tasks=3, episodes=4, horizon=30, hidden=8, inner_steps=inner_steps, seed=5)
    theta, returns = twin.iterate(twin.initial_parameters(sizes, torch.float64), 1, sizes)

    config = tiny_config(
        horizon=30,
        hidden_sizes=(8, 8),
        adaptation_steps=inner_steps,
        iterations=1,
        seed=5,
        dtype="float64",
        agent_settings={"curvature_fraction": 1.0},  # the twin has no other
    )
    state, (record,) = run(config)

    assert record["step_accepted"]
    assert record["pre_adaptation_return"] == pytest.approx(returns[0], rel=1e-12)
    assert record["post_adaptation_return"] == pytest.approx(returns[-1], rel=1e-10)
    np.testing.assert_allclose(state.agent.theta, twin.flat(theta).numpy(), rtol=1e-6, atol=1e-8)
