"""First-order MAML-TRPO: the gradient and Fisher information of the adapted policies alone."""

import numpy as np
import torch
from experience import CASES, distribution, shard_with_experience

from metarl.agent.meta_objective import curvature_product, meta_gradient
from metarl.learning.adaptation import flatten, unflatten
from metarl_agents.fomaml_trpo import first_order_gradient, fisher_of_adapted


@CASES
def test_gradient_and_curvature_equal_dense_ones_at_the_adapted_parameters(family, steps):
    shard, theta = shard_with_experience(family, steps)
    contributions = first_order_gradient(shard, 1.0)
    products = np.stack([fisher_of_adapted(shard, unit) for unit in np.eye(len(theta))], axis=-1)
    for (vector, _, kl), fisher, data in zip(
        contributions, products, shard.experience, strict=True
    ):
        query = data.query
        adapted = flatten(data.path[-1])

        def policy(at, query=query):
            return distribution(shard, unflatten(at, shard.template), query.observations)

        old = policy(adapted)

        def loss(at, query=query, old=old, policy=policy):
            ratio = (policy(at).log_prob(query.actions) - old.log_prob(query.actions)).exp()
            return -(ratio * query.advantages).mean()

        def divergence(at, old=old, policy=policy):
            return torch.distributions.kl_divergence(old, policy(at)).mean()

        expected = torch.autograd.functional.jacobian(loss, adapted)
        np.testing.assert_allclose(vector, expected.numpy(), rtol=1e-8, atol=1e-12)
        dense = torch.autograd.functional.hessian(divergence, adapted)
        np.testing.assert_allclose(fisher, dense.numpy(), rtol=1e-6, atol=1e-9)
        assert kl == 0.0


@CASES
def test_it_is_maml_with_the_identity_for_the_jacobian(family, steps):
    shard, theta = shard_with_experience(family, steps)
    vector = np.random.default_rng(0).standard_normal(len(theta))
    ours = first_order_gradient(shard, 0.5), fisher_of_adapted(shard, vector)
    rates = shard.config.learning_rates
    theirs = meta_gradient(shard, rates, True, 0.5), curvature_product(shard, vector)
    for one, other in zip(ours, theirs, strict=True):
        for mine, its in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine[0], its[0])
