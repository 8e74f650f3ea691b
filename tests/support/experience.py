"""Shards with real experience, and MAML on them by plain autograd, for tests of agents.

The references adapt by plain gradient descent that autograd differentiates through, take
distributions from torch, and know nothing of the Jacobian form.
"""

import numpy as np
import pytest
import torch
from building import tiny_config
from torch.func import functional_call

from metarl.agent.gradient import collect_with_rates
from metarl.experiments.build import build_experiment
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import flatten, unflatten
from metarl.tasks.distribution import sample_tasks
from metarl.workers.shards import Shard, ShardSpec, to_vector

PRESETS = {"gaussian": "navigation-2d", "categorical": "bernoulli-bandit"}


def shard_with_experience(family, steps, **changes):
    """A shard of three tasks that has collected real episodes with K inner steps; θ is random."""
    config = tiny_config(
        PRESETS[family],
        hidden_sizes=(3,),
        activation="tanh",
        adaptation_steps=steps,
        dtype="float64",
        inner_learning_rate=0.4,
        **changes,
    )
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, config.episodes_per_task, range(3)))
    generator = np.random.default_rng(11)
    theta = to_vector(experiment.initial) + 0.3 * generator.standard_normal(
        flatten(experiment.initial).numel()
    )
    key = (Split.TRAIN, 1)
    tasks = sample_tasks(experiment.environment, config.seed, key, 3)
    collect_with_rates(shard, theta, tasks, key, config.learning_rates)
    return shard, theta


def distribution(shard, parameters, observations):
    outputs = functional_call(shard.policy, parameters, (observations,))
    if len(outputs) == 1:
        return torch.distributions.Categorical(logits=outputs[0])
    return torch.distributions.Independent(
        torch.distributions.Normal(outputs[0], outputs[1].exp()), 1
    )


def reference_adapt(shard, vector, supports):
    parameters = unflatten(vector, shard.template)
    for batch in supports:
        log_probs = distribution(shard, parameters, batch.observations).log_prob(batch.actions)
        loss = -(log_probs * batch.advantages).mean()
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        rate = shard.config.inner_learning_rate
        parameters = {
            name: value - rate * gradient
            for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
        }
    return parameters


def reference_loss(shard, vector, at):
    """Mean over tasks of the surrogate, with the data collected at `at`."""
    losses = []
    for data in shard.experience:
        query = data.query
        new = distribution(shard, reference_adapt(shard, vector, data.supports), query.observations)
        old = distribution(shard, reference_adapt(shard, at, data.supports), query.observations)
        ratio = (new.log_prob(query.actions) - old.log_prob(query.actions).detach()).exp()
        losses.append(-(ratio * query.advantages).mean())
    return torch.stack(losses).mean()


def reference_kl(shard, vector, at):
    """Mean over tasks of the adapted policies' KL divergence from those adapted from `at`."""
    divergences = []
    for data in shard.experience:
        observations = data.query.observations
        old_parameters = {
            name: value.detach()
            for name, value in reference_adapt(shard, at, data.supports).items()
        }
        old = distribution(shard, old_parameters, observations)
        new = distribution(shard, reference_adapt(shard, vector, data.supports), observations)
        divergences.append(torch.distributions.kl_divergence(old, new).mean())
    return torch.stack(divergences).mean()


def leaf(theta):
    return torch.as_tensor(theta).clone().requires_grad_()


CASES = pytest.mark.parametrize(
    ("family", "steps"), [(family, steps) for family in PRESETS for steps in (1, 3)]
)
