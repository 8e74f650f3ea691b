"""PEARL's mathematics: posteriors, soft actor-critic, and what learns from what."""

import dataclasses

import numpy as np
import pytest
import torch
from pearl_toy import config_of

from metarl.experiments.build import build_experiment
from metarl.learning.layers import filled
from metarl.learning.posteriors import ContextEncoder, Factors, kl_to_standard_normal
from metarl.learning.soft_actor_critic import (
    SquashedGaussian,
    critics_loss,
    policy_loss,
    value_loss,
)
from metarl_agents.pearl_learning import Learner, Noise, Transitions
from metarl_agents.pearl_networks import network_of


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_product_of_gaussians_is_the_closed_form_in_any_order():
    mean, variance = normal(0, 4, 3), normal(1, 4, 3).exp()
    factors = Factors(1 / variance, mean / variance)
    product = factors.product(0)
    expected = 1 / (1 / variance).sum(0)
    torch.testing.assert_close(product.variance, expected)
    torch.testing.assert_close(product.mean, expected * (mean / variance).sum(0))
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Factors(factors.precision[order], factors.weighted_mean[order]).product(0)
    torch.testing.assert_close(shuffled.mean, product.mean)
    # One factor after the other is the same; so a posterior may grow step by step.
    density = torch.distributions.Normal(mean, variance.sqrt())
    at = normal(2, 5, 3)
    logs = density.log_prob(at[:, None]).sum(1)
    whole = torch.distributions.Normal(product.mean, product.variance.sqrt()).log_prob(at)
    torch.testing.assert_close(logs - logs[0], whole - whole[0])  # up to a constant


def test_the_kl_divergence_from_the_prior_is_torchs():
    mean, variance = normal(0, 4, 3), normal(1, 4, 3).exp()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, variance.sqrt()), torch.distributions.Normal(0.0, 1.0)
    ).sum(-1)
    found = kl_to_standard_normal(Factors(1 / variance, mean / variance))
    torch.testing.assert_close(found, expected)


def test_a_factors_variance_is_softplus_and_never_below_its_bound():
    encoder = ContextEncoder(4, (), 2).double()
    with torch.no_grad():
        encoder.last.weight.zero_()
        encoder.last.bias.copy_(torch.tensor([0.5, -1.0, 0.3, -60.0]))
    factor = encoder(torch.zeros(1, 4, dtype=torch.float64))
    torch.testing.assert_close(factor.mean, torch.tensor([[0.5, -1.0]], dtype=torch.float64))
    expected = [[np.log1p(np.exp(0.3)), 1e-7]]
    np.testing.assert_allclose(factor.variance.detach(), expected, rtol=1e-6)


def test_squashed_actions_have_the_density_of_torchs_transformed_normal():
    policy = SquashedGaussian(4, 3, (8,), "tanh").double()
    noise = 2 * normal(4, 6, 3)
    chosen = policy(normal(3, 6, 4), noise)
    reference = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(chosen.mean, chosen.log_std.exp()),
        torch.distributions.TanhTransform(cache_size=1),
    )
    torch.testing.assert_close(
        chosen.action, torch.tanh(chosen.mean + chosen.log_std.exp() * noise)
    )
    torch.testing.assert_close(chosen.log_prob, reference.log_prob(chosen.action).sum(-1))
    # Far out, where 1 − tanh² is 0 in numbers, the density is still finite.
    far = policy(normal(3, 1, 4), torch.full((1, 3), 60.0, dtype=torch.float64))
    assert torch.isfinite(far.log_prob).all()


def test_the_losses_are_those_of_the_paper():
    first, second, rewards, following, log_probs = (normal(seed, 6) for seed in range(5))
    terminal = torch.tensor([0.0, 1, 0, 0, 1, 0], dtype=torch.float64)
    target = rewards + 0.9 * following * (1 - terminal)
    expected = ((first - target) ** 2).mean() + ((second - target) ** 2).mean()
    torch.testing.assert_close(
        critics_loss((first, second), rewards, following, terminal, 0.9), expected
    )
    torch.testing.assert_close(
        value_loss(first, second, log_probs, 0.3), ((first - second + 0.3 * log_probs) ** 2).mean()
    )


def test_the_policys_gradient_goes_through_the_critic_and_no_target_is_differentiated():
    following = normal(0, 6).requires_grad_()
    first = normal(1, 6).requires_grad_()
    loss = critics_loss((first, first), normal(2, 6), following, torch.zeros(6), 0.9)
    assert torch.autograd.grad(loss, following, allow_unused=True) == (None,)
    critics = normal(3, 6).requires_grad_()
    loss = value_loss(first, critics, normal(4, 6), 1.0)
    assert torch.autograd.grad(loss, critics, allow_unused=True) == (None,)

    policy = SquashedGaussian(4, 2, (8,), "tanh").double()
    inputs, noise = normal(5, 7, 4), normal(6, 7, 2)

    def total():
        chosen = policy(inputs, noise)
        return policy_loss(chosen, (chosen.action**3).sum(-1), 0.2, 0.01)

    weight = policy.mean.weight
    slope = torch.autograd.grad(total(), weight)[0]
    for place in ((0, 0), (1, 5)):
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[place] += step
                ends.append(total())
                weight[place] -= step
        torch.testing.assert_close((ends[0] - ends[1]) / 2e-6, slope[place], rtol=1e-6, atol=1e-9)


def learner_of(**settings):
    config = config_of(settings=settings, dtype="float64")
    experiment = build_experiment(config)
    agent_settings = experiment.agent._settings
    network = network_of(experiment.policy, config)
    return Learner(network, agent_settings, config), network, agent_settings


def transitions(tasks=2, steps=5, context=4):
    return Transitions(
        normal(0, tasks, steps, 2),
        torch.tanh(normal(1, tasks, steps, 2)),
        normal(2, tasks, steps),
        normal(3, tasks, steps, 2),
        torch.zeros(tasks, steps, dtype=torch.float64),
        filled(normal(4, tasks, context, 5)),
    )


def noise_of(tasks=2, steps=5, latent=3):
    return Noise(normal(5, tasks, latent), normal(6, tasks, steps, 2), normal(7, tasks, steps, 2))


def inferred(learner, drawn, noise):
    """The posterior of each task, and its sample."""
    posterior = learner.losses.posterior(drawn.context)
    return posterior, posterior.sample(noise.latent)


def parts_of(record):
    return [getattr(record, field.name) for field in dataclasses.fields(record)]


def slopes(loss, module):
    return torch.autograd.grad(
        loss,
        list(module.parameters()),
        retain_graph=True,
        materialize_grads=True,
        allow_unused=True,
    )


def test_the_critics_loss_alone_trains_the_encoder():
    learner, network, _ = learner_of()
    drawn, noise = transitions(), noise_of()
    _, latent = inferred(learner, drawn, noise)
    of_critics = learner.losses.of_critics(drawn, latent, noise)
    assert any(slope.any() for slope in slopes(of_critics, network.acting.encoder))
    assert not any(slope.any() for slope in slopes(of_critics, network.acting.policy))
    of_policy, of_value, _ = learner.losses.of_policy(drawn, latent, noise)
    for loss in (of_policy, of_value):
        assert not any(slope.any() for slope in slopes(loss, network.acting.encoder))
    assert not any(slope.any() for slope in slopes(of_value, network.critics))
    assert any(slope.any() for slope in slopes(of_policy, network.acting.policy))
    # The control: were z not detached, the policy's loss would reach the encoder.
    inputs = learner.losses.inputs(drawn.observations, latent)
    leak = network.acting.policy(inputs, noise.action).log_prob.mean()
    assert any(slope.any() for slope in slopes(leak, network.acting.encoder))


def test_tasks_in_one_call_are_tasks_one_by_one():
    learner, _, _ = learner_of()
    drawn, noise = transitions(), noise_of()
    _, latent = inferred(learner, drawn, noise)
    together = learner.losses.of_critics(drawn, latent, noise)
    apart = []
    for task in range(2):
        own = Transitions(*(part[task : task + 1] for part in parts_of(drawn)))
        own_noise = Noise(*(part[task : task + 1] for part in parts_of(noise)))
        _, own_latent = inferred(learner, own, own_noise)
        torch.testing.assert_close(own_latent[0], latent[task])
        apart.append(learner.losses.of_critics(own, own_latent, own_noise))
    torch.testing.assert_close(together, torch.stack(apart).mean())


@pytest.mark.parametrize(
    "settings", [{}, {"value_network": False, "learned_temperature": True}], ids=["paper", "modern"]
)
def test_a_learner_goes_on_from_what_it_gave(settings):
    learner, _, agent_settings = learner_of(**settings)
    config = config_of(settings=settings, dtype="float64")
    drawn = [(transitions(), noise_of())] * 4
    for each in drawn[:2]:
        learner.step(*each)
    theta, kept = learner.state()
    assert all(isinstance(array, np.ndarray) for array in kept.values())
    experiment = build_experiment(config)
    other = Learner(network_of(experiment.policy, config), agent_settings, config)
    other.load(dataclasses.replace(experiment.first_state().agent, theta=theta, optimiser=kept))
    for each in drawn[2:]:
        learner.step(*each)
        other.step(*each)
    (theta, kept), (its_theta, its_kept) = learner.state(), other.state()
    assert theta.tobytes() == its_theta.tobytes()
    assert kept.keys() == its_kept.keys()
    assert all(np.array_equal(kept[name], its_kept[name]) for name in kept)
    if settings:
        assert kept["log_temperature"][0] != 0


def test_a_gradient_step_is_adams_on_each_networks_own_loss():
    learner, network, settings = learner_of()
    drawn, noise = transitions(), noise_of()
    posterior, latent = inferred(learner, drawn, noise)
    loss = learner.losses.of_critics(drawn, latent, noise)
    loss = loss + settings.kl_weight * kl_to_standard_normal(posterior).sum()
    expected = slopes(loss, network.acting.encoder)
    before = [each.detach().clone() for each in network.acting.encoder.parameters()]
    target = [each.detach().clone() for each in network.target.parameters()]
    learner.step(drawn, noise)
    for old, new, slope in zip(before, network.acting.encoder.parameters(), expected, strict=True):
        # Adam's first step is the slope's sign times the step size.
        step = settings.learning_rate * slope / (slope.abs() + 1e-8)
        torch.testing.assert_close(new.detach(), old - step, rtol=1e-6, atol=1e-9)
    for old, new, fast in zip(
        target, network.target.parameters(), network.value.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.995 * old + 0.005 * fast.detach())
