"""The losses and the Fisher product, against dense autograd."""

import pytest
import torch

from metarl.learning.adaptation import flatten, unflatten
from metarl.learning.objectives import act, fisher_product, reinforce_loss, surrogate_loss
from metarl.learning.policies import CategoricalPolicy, GaussianPolicy, parameters_of
from metarl.learning.trajectories import Batch

POLICIES = {
    "gaussian": GaussianPolicy(3, 2, (4,), "tanh", 0.8, 1e-6).double(),
    "categorical": CategoricalPolicy(3, 4, (4,), "tanh").double(),
}


def data(policy, seed=0):
    generator = torch.Generator().manual_seed(seed)
    observations = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    theta = {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in parameters_of(policy).items()
    }
    if isinstance(policy, GaussianPolicy):
        actions = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    else:
        actions = torch.randint(4, (9,), generator=generator)
    advantages = torch.randn(9, generator=generator, dtype=torch.float64)
    return theta, Batch(observations, actions, advantages)


def mean_fisher(policy, theta, observations):
    weights = torch.full((len(observations),), 1 / len(observations), dtype=torch.float64)
    return fisher_product(policy, lambda at: act(policy, at, observations), theta, weights)


def surrogate(policy, theta, batch, old):
    log_probs = policy.log_prob(act(policy, theta, batch.observations), batch.actions)
    return surrogate_loss(log_probs, old, batch.advantages)


@pytest.fixture(params=list(POLICIES))
def policy(request):
    return POLICIES[request.param]


def test_the_inner_loss_is_the_mean_over_steps_of_the_summed_log_probability_times_advantage():
    policy = POLICIES["gaussian"]
    theta, batch = data(policy)
    mean, log_std = act(policy, theta, batch.observations)
    total = 0.0
    for step in range(9):
        log_prob = sum(
            float(torch.distributions.Normal(mean[step, i], log_std[step, i].exp()).log_prob(a))
            for i, a in enumerate(batch.actions[step])
        )
        total -= log_prob * float(batch.advantages[step]) / 9
    assert float(reinforce_loss(policy)(theta, batch)) == pytest.approx(total)


def test_surrogate_and_inner_loss_have_the_same_gradient_where_the_ratio_is_1(policy):
    theta, batch = data(policy)
    old = policy.log_prob(act(policy, theta, batch.observations), batch.actions)
    assert float(surrogate(policy, theta, batch, old)) == pytest.approx(
        -float(batch.advantages.mean())
    )
    for name in theta:
        leaf = {**theta, name: theta[name].clone().requires_grad_()}
        (inner,) = torch.autograd.grad(reinforce_loss(policy)(leaf, batch), leaf[name])
        (outer,) = torch.autograd.grad(surrogate(policy, leaf, batch, old), leaf[name])
        torch.testing.assert_close(inner, outer)


def test_the_surrogate_weighs_advantages_by_the_ratio_of_probabilities(policy):
    theta, batch = data(policy)
    old_theta, _ = data(policy, seed=1)
    log_probs = policy.log_prob(act(policy, theta, batch.observations), batch.actions)
    old = policy.log_prob(act(policy, old_theta, batch.observations), batch.actions)
    expected = -(log_probs.exp() / old.exp() * batch.advantages).mean()
    torch.testing.assert_close(surrogate_loss(log_probs, old, batch.advantages), expected)


def test_the_fisher_product_is_the_hessian_of_the_mean_kl(policy):
    theta, batch = data(policy)
    old = act(policy, theta, batch.observations)
    dense = torch.autograd.functional.hessian(
        lambda at: policy.kl(old, act(policy, unflatten(at, theta), batch.observations)).mean(),
        flatten(theta),
    )
    product = mean_fisher(policy, theta, batch.observations)
    identity = torch.eye(dense.shape[0], dtype=torch.float64)
    columns = [flatten(product(unflatten(unit, theta))) for unit in identity]
    torch.testing.assert_close(torch.stack(columns, dim=1), dense)


def test_the_fisher_product_is_symmetric_and_positive(policy):
    theta, batch = data(policy, seed=2)
    product = mean_fisher(policy, theta, batch.observations)
    first, second = (data(policy, seed=seed)[0] for seed in (3, 4))
    forward = flatten(product(first)) @ flatten(second)
    torch.testing.assert_close(forward, flatten(product(second)) @ flatten(first))
    assert float(flatten(product(first)) @ flatten(first)) > 0
