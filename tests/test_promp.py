"""ProMP: its gradient away from the data too, its inner curvature, its clipping, its steps."""

import numpy as np
import pytest
import torch
from building import ToldWorkers, first_state, tiny_config
from experience import CASES, distribution, leaf, shard_with_experience

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import flatten, unflatten
from metarl_agents.promp import clipped_surrogate_loss, promp_gradient, promp_losses

CLIP, PENALTY = 0.3, 0.05


@CASES
def test_the_gradient_equals_finite_differences_also_where_no_data_were_collected(family, steps):
    shard, theta = shard_with_experience(family, steps)
    rates = shard.config.learning_rates
    generator = np.random.default_rng(3)
    for at in (theta, theta + 0.05 * generator.standard_normal(len(theta))):
        contributions = promp_gradient(shard, at, rates, CLIP, PENALTY)
        assert [tuple(rest) for _, *rest in contributions] == promp_losses(
            shard, at, rates, CLIP, PENALTY
        )
        gradient = np.mean([vector for vector, *_ in contributions], axis=0)
        for direction in generator.standard_normal((4, len(theta))):
            above, below = (
                np.mean(promp_losses(shard, at + side * direction, rates, CLIP, PENALTY), 0)[0]
                for side in (1e-6, -1e-6)
            )
            assert gradient @ direction == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("family", ["gaussian", "categorical"])
def test_the_inner_curvature_is_that_of_the_likelihood_ratio(family):
    """Where the support was collected, ∇²J_LR = mean A (∇² log π + ∇ log π ∇ log πᵀ).

    So the meta-gradient of one step is (I + α ∇²J_LR) ∇L(θ'), with nothing clipped yet, and the
    penalty has no slope.
    """
    shard, theta = shard_with_experience(family, 1)
    rate = shard.config.inner_learning_rate
    contributions = promp_gradient(shard, theta, (rate,), CLIP, PENALTY)
    for (vector, _, kl, kl_pre), data in zip(contributions, shard.experience, strict=True):
        (support,), query = data.supports, data.query

        def log_probs(at, batch):
            policy = distribution(shard, unflatten(at, shard.template), batch.observations)
            return policy.log_prob(batch.actions)

        scores = torch.autograd.functional.jacobian(
            lambda at, batch=support: log_probs(at, batch), torch.as_tensor(theta)
        )
        of_log = torch.autograd.functional.hessian(
            lambda at, batch=support: (log_probs(at, batch) * batch.advantages).mean(),
            torch.as_tensor(theta),
        )
        of_ratio = of_log + scores.T @ (support.advantages[:, None] * scores) / len(scores)
        adapted = leaf(flatten(data.path[-1]))
        loss = -(log_probs(adapted, query) * query.advantages).mean()
        (slope,) = torch.autograd.grad(loss, adapted)
        expected = slope + rate * of_ratio @ slope
        np.testing.assert_allclose(vector, expected.numpy(), rtol=1e-7, atol=1e-10)
        assert (kl, kl_pre) == (0.0, 0.0)


def test_ratios_count_up_to_the_clip_and_only_on_the_side_that_gains():
    ratios = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1], dtype=torch.float64)
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0], dtype=torch.float64)
    # min(1.5, 1.3) + min(0.5, 0.7) + min(−1.5, −1.3) + min(−0.5, −0.7) + 2.2
    by_hand = -(1.3 + 0.5 - 1.5 - 0.7 + 2.2) / 5
    loss = clipped_surrogate_loss(torch.log(ratios), torch.zeros(5).double(), advantages, 0.3)
    assert float(loss) == pytest.approx(by_hand, rel=1e-12)


def saying(gradients):
    """Workers whose tasks contribute the gradients given, one after the other."""
    left = iter(gradients)

    def answer(function):
        if function is promp_losses:
            return [(0.0, 0.0, 0.0)]
        gradient = next(left)
        return [(gradient, float(gradient.sum()), 0.0, 0.0)]

    return ToldWorkers(answer)


def test_a_gradient_that_is_not_finite_undoes_the_whole_outer_step():
    experiment = build_experiment(tiny_config(agent="promp"))
    before = first_state(experiment).agent
    good = np.ones_like(before.theta)
    bad = np.full_like(good, np.nan)
    state, metrics = experiment.agent.improve(saying([good, good, bad]), before)
    assert state.theta.tobytes() == before.theta.tobytes()
    assert state.optimiser == before.optimiser
    assert not metrics["step_accepted"]
    assert "not finite" in metrics["rejection"]


def test_adam_goes_on_over_iterations_as_one_optimiser():
    experiment = build_experiment(tiny_config(agent="promp", agent_settings={"outer_steps": 2}))
    state = first_state(experiment).agent
    generator = np.random.default_rng(0)
    gradients = [generator.standard_normal(state.theta.shape).astype("float32") for _ in range(4)]
    parameter = torch.nn.Parameter(torch.tensor(state.theta))
    adam = torch.optim.Adam([parameter], lr=1e-3)
    workers = saying(gradients)
    for iteration in range(2):
        state, _ = experiment.agent.improve(workers, state)
        for gradient in gradients[2 * iteration : 2 * iteration + 2]:
            parameter.grad = torch.as_tensor(gradient)
            adam.step()
        np.testing.assert_array_equal(state.theta, parameter.detach().numpy())


def test_first_order_is_refused():
    with pytest.raises(ConfigError, match="first_order = True: agent promp"):
        build_experiment(tiny_config(agent="promp", first_order=True))
