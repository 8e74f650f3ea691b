"""The distributions, against torch's own and against their defining identities."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian

from metarl.learning.objectives import act
from metarl.learning.policies import (
    CategoricalPolicy,
    GaussianPolicy,
    PolicySpec,
    parameters_of,
    with_parameters,
)
from metarl.learning.stacking import stack_parameters

GAUSSIAN = GaussianPolicy(3, 2, (4,), "tanh", 1.0, 1e-6).double()
CATEGORICAL = CategoricalPolicy(3, 5, (4,), "relu").double()


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def gaussian(seed):
    return normal(seed, 6, 2), 0.5 * normal(seed + 1, 6, 2)


def torch_normal(distribution):
    return torch.distributions.Normal(distribution[0], distribution[1].exp())


def test_gaussian_log_prob_and_kl_equal_torchs_summed_over_the_action():
    old, new, actions = gaussian(0), gaussian(2), normal(4, 6, 2)
    torch.testing.assert_close(
        GAUSSIAN.log_prob(old, actions), torch_normal(old).log_prob(actions).sum(-1)
    )
    expected = torch.distributions.kl_divergence(torch_normal(old), torch_normal(new)).sum(-1)
    torch.testing.assert_close(GAUSSIAN.kl(old, new), expected)


def test_categorical_log_prob_and_kl_equal_torchs():
    old, new, actions = (normal(0, 6, 5),), (normal(1, 6, 5),), torch.arange(6) % 5
    reference = torch.distributions.Categorical(logits=old[0])
    torch.testing.assert_close(CATEGORICAL.log_prob(old, actions), reference.log_prob(actions))
    expected = torch.distributions.kl_divergence(
        reference, torch.distributions.Categorical(logits=new[0])
    )
    torch.testing.assert_close(CATEGORICAL.kl(old, new), expected)


def test_kl_of_a_distribution_from_itself_is_exactly_0():
    distribution = gaussian(5)
    assert not GAUSSIAN.kl(distribution, distribution).any()
    logits = (normal(6, 6, 5),)
    assert not CATEGORICAL.kl(logits, logits).any()


@pytest.mark.parametrize(
    ("policy", "sizes"), [(GAUSSIAN, (2, 2)), (CATEGORICAL, (5,))], ids=["gaussian", "categorical"]
)
def test_the_fisher_product_is_the_hessian_of_the_kl_in_the_distributions_parameters(policy, sizes):
    at = normal(7, sum(sizes))

    def divergence(joined):
        return policy.kl(tuple(at.split(sizes)), tuple(joined.split(sizes)))

    dense = hessian(divergence, at)
    for index in range(sum(sizes)):
        unit = torch.eye(sum(sizes), dtype=torch.float64)[index]
        product = policy.fisher_product(tuple(at.split(sizes)), tuple(unit.split(sizes)))
        torch.testing.assert_close(torch.cat(product), dense[:, index])


def test_gaussian_samples_are_mean_plus_std_times_noise():
    distribution, noise = gaussian(8), normal(9, 6, 2)
    expected = distribution[0] + distribution[1].exp() * noise
    torch.testing.assert_close(GAUSSIAN.sample(distribution, noise), expected)
    assert GAUSSIAN.draw_noise(np.random.default_rng(0), 7).shape == (7, 2)


def test_categorical_samples_have_the_probabilities_of_the_logits():
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, -30.0], dtype=torch.float64)
    noise = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:-1]
    samples = CATEGORICAL.sample((logits.expand(100_000, 5),), noise)
    frequency = torch.bincount(samples, minlength=5) / 100_000
    torch.testing.assert_close(frequency.double(), torch.softmax(logits, 0), atol=2e-5, rtol=0)


def test_categorical_samples_stay_in_range_at_the_ends_of_the_noise():
    logits = torch.zeros(2, 5)
    samples = CATEGORICAL.sample((logits,), torch.tensor([0.0, 1.0 - 2**-24]))
    assert samples.tolist() == [0, 4]
    # The last cumulative sum of some of these is rounded below the noise.
    many = torch.randn(1000, 5, generator=torch.Generator().manual_seed(0))
    ends = torch.full((1000,), 1.0 - 2**-24)
    assert int(CATEGORICAL.sample((many,), ends).max()) == 4


def test_the_standard_deviation_keeps_to_its_minimum():
    policy = GaussianPolicy(3, 2, (), "tanh", initial_std=0.1, minimum_std=0.5)
    _, log_std = policy(torch.zeros(4, 3))
    torch.testing.assert_close(log_std.exp(), torch.full((4, 2), 0.5))


def spec(observations=None, actions=None):
    return PolicySpec(
        observations or gym.spaces.Box(-1, 1, (3,)),
        actions or gym.spaces.Box(-1, 1, (2,)),
        (8, 8),
        "tanh",
        0.7,
        1e-6,
    )


def test_a_policy_is_drawn_from_its_seed_alone():
    torch.manual_seed(0)
    first = parameters_of(spec().build(3))
    torch.manual_seed(1)
    again, other = parameters_of(spec().build(3)), parameters_of(spec().build(4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["mean.0.weight"], other["mean.0.weight"])
    bound = (6 / (3 + 8)) ** 0.5  # Glorot and Bengio 2010, equation 16
    assert float(first["mean.0.weight"].abs().max()) <= bound
    assert not first["mean.0.bias"].any()
    torch.testing.assert_close(first["log_std"].exp(), torch.full((2,), 0.7))


def test_the_action_space_chooses_the_family():
    assert isinstance(spec().build(1), GaussianPolicy)
    assert isinstance(spec(actions=gym.spaces.Discrete(4)).build(1), CategoricalPolicy)


@pytest.mark.parametrize(
    ("spaces", "named"),
    [
        ({"observations": gym.spaces.Box(0, 255, (8, 8, 3))}, "observation space"),
        ({"actions": gym.spaces.MultiDiscrete([2, 3])}, "action space"),
        ({"actions": gym.spaces.MultiBinary(2)}, "action space"),
    ],
)
def test_spaces_without_a_policy_are_refused_by_name(spaces, named):
    with pytest.raises(TypeError, match=f"{named} .* is not supported"):
        spec(**spaces).build(1)


def test_a_policy_bound_to_parameters_acts_as_if_called_with_them():
    policy = GaussianPolicy(3, 2, (8,), "tanh", 1.0, 1e-6)
    thetas = [{name: value + i for name, value in parameters_of(policy).items()} for i in (1, 2)]
    stack = stack_parameters(thetas)
    observations = torch.randn(2, 32, 3, generator=torch.Generator().manual_seed(0))
    before = parameters_of(policy)
    bound = with_parameters(policy, stack)
    for one, other in zip(bound(observations), act(policy, stack, observations), strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(before[name], value) for name, value in parameters_of(policy).items())
