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


def reference_adapt(shard, vector, supports, moving=None):
    """θ' by gradient descent on the named parameters, or on all."""
    parameters = unflatten(vector, shard.template)
    moving = moving or list(parameters)
    for batch in supports:
        log_probs = distribution(shard, parameters, batch.observations).log_prob(batch.actions)
        loss = -(log_probs * batch.advantages).mean()
        gradients = torch.autograd.grad(
            loss, [parameters[name] for name in moving], create_graph=True
        )
        rate = shard.config.inner_learning_rate
        moved = {
            name: parameters[name] - rate * gradient
            for name, gradient in zip(moving, gradients, strict=True)
        }
        parameters = {**parameters, **moved}
    return parameters


def reference_loss(shard, vector, at, moving=None):
    """Mean over tasks of the surrogate, with the data collected at `at`."""
    losses = []
    for data in shard.experience:
        query = data.query
        new, old = (
            distribution(
                shard, reference_adapt(shard, each, data.supports, moving), query.observations
            )
            for each in (vector, at)
        )
        ratio = (new.log_prob(query.actions) - old.log_prob(query.actions).detach()).exp()
        losses.append(-(ratio * query.advantages).mean())
    return torch.stack(losses).mean()


def reference_kl(shard, vector, at, moving=None):
    """Mean over tasks of the adapted policies' KL divergence from those adapted from `at`."""
    divergences = []
    for data in shard.experience:
        observations = data.query.observations
        old_parameters = {
            name: value.detach()
            for name, value in reference_adapt(shard, at, data.supports, moving).items()
        }
        old = distribution(shard, old_parameters, observations)
        adapted = reference_adapt(shard, vector, data.supports, moving)
        new = distribution(shard, adapted, observations)
        divergences.append(torch.distributions.kl_divergence(old, new).mean())
    return torch.stack(divergences).mean()


def leaf(theta):
    return torch.as_tensor(theta).clone().requires_grad_()


CASES = pytest.mark.parametrize(
    ("family", "steps"), [(family, steps) for family in PRESETS for steps in (1, 3)]
)
