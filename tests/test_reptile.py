"""Reptile: displacements by plain gradient descent, and why they make adaptation better."""

import numpy as np
import pytest
import torch
from building import ToldWorkers, first_state, tiny_config
from experience import CASES, distribution, shard_with_experience

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import unflatten
from metarl_agents.reptile import displacements


def gradient(shard, vector, batch):
    def loss(at):
        policy = distribution(shard, unflatten(at, shard.template), batch.observations)
        return -(policy.log_prob(batch.actions) * batch.advantages).mean()

    return torch.autograd.functional.jacobian(loss, torch.as_tensor(vector)).numpy(), loss


@CASES
def test_displacements_equal_plain_gradient_descent_over_all_batches(family, steps):
    shard, theta = shard_with_experience(family, steps)
    rate = shard.config.inner_learning_rate
    for moved, data in zip(displacements(shard, rate), shard.experience, strict=True):
        at = theta
        for batch in (*data.supports, data.query):
            at = at - rate * gradient(shard, at, batch)[0]
        np.testing.assert_allclose(moved, at - theta, rtol=1e-9, atol=1e-12)


def test_the_second_step_holds_the_term_that_aligns_the_batches_gradients():
    """θ_2 − θ = −α (g_1 + g_2 − α H_2 g_1) + O(α³), all at θ (Nichol et al. 2018, eq. 25)."""
    shard, theta = shard_with_experience("gaussian", 1)
    (data, *_) = shard.experience
    first, _ = gradient(shard, theta, data.supports[0])
    second, loss = gradient(shard, theta, data.query)
    hessian = torch.autograd.functional.hessian(loss, torch.as_tensor(theta)).numpy()

    def error(rate):
        at = theta - rate * first
        end = at - rate * gradient(shard, at, data.query)[0]
        leading = -rate * (first + second - rate * hessian @ first)
        return np.abs(end - theta - leading).max()

    assert error(1e-2) / error(5e-3) == pytest.approx(8.0, rel=0.05)
    assert np.abs(hessian @ first).max() > 0.01


def saying(contributions):
    return ToldWorkers(lambda function: contributions)


@pytest.mark.parametrize("size", [1.0, 0.25])
def test_theta_moves_a_part_of_the_way_to_the_mean_end(size):
    settings = {"outer_learning_rate": size}
    experiment = build_experiment(tiny_config(agent="reptile", agent_settings=settings))
    before = first_state(experiment).agent
    ends = np.random.default_rng(0).standard_normal((3, len(before.theta)))
    after, metrics = experiment.agent.improve(saying(list(ends - before.theta)), before)
    expected = (1 - size) * before.theta + size * ends.mean(0)
    np.testing.assert_allclose(after.theta, expected, rtol=1e-5, atol=1e-6)
    assert metrics["step_accepted"]


def test_adam_descends_the_negative_displacement():
    settings = {"outer_learning_rate": 0.01, "optimiser": "adam"}
    experiment = build_experiment(tiny_config(agent="reptile", agent_settings=settings))
    before = first_state(experiment).agent
    moved = np.random.default_rng(0).standard_normal(len(before.theta))
    after, _ = experiment.agent.improve(saying([moved]), before)
    # The first step of Adam has the learning rate's length in every element.
    np.testing.assert_allclose(after.theta - before.theta, 0.01 * np.sign(moved), rtol=1e-3)
    assert set(after.optimiser) == {"step", "exp_avg", "exp_avg_sq"}


def test_a_displacement_that_is_not_finite_leaves_theta():
    experiment = build_experiment(tiny_config(agent="reptile"))
    before = first_state(experiment).agent
    after, metrics = experiment.agent.improve(saying([np.full_like(before.theta, np.inf)]), before)
    assert after is before
    assert not metrics["step_accepted"]


def test_a_single_step_is_refused():
    with pytest.raises(ConfigError, match="adaptation_steps = 0"):
        build_experiment(tiny_config(agent="reptile", adaptation_steps=0))
