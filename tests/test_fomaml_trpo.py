"""First-order MAML-TRPO: the gradient and Fisher information of the adapted policies alone."""

import numpy as np
import torch
from experience import CASES, distribution, shard_with_experience

from metarl.agent.meta_objective import curvature_product, meta_gradient
from metarl.learning.adaptation import flatten, unflatten


@CASES
def test_gradient_and_curvature_equal_dense_ones_at_the_adapted_parameters(family, steps):
    shard, theta = shard_with_experience(family, steps)
    contributions = meta_gradient(shard, shard.config.learning_rates, True, 1.0)
    products = np.stack([curvature_product(shard, unit) for unit in np.eye(len(theta))], axis=-1)
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
