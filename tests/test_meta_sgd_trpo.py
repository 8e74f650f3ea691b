"""Meta-SGD: step sizes are learned with θ, travel, are saved, and are used at test."""

import dataclasses

import numpy as np
import pytest
import torch
from building import adapted_parameters, first_state, pool, run, tiny_config
from experience import CASES, distribution, leaf, shard_with_experience

from metarl.agent.gradient import STEP_SIZES
from metarl.agent.meta_objective import meta_gradient
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import unflatten
from metarl.learning.objectives import reinforce_loss
from metarl.runs.checkpoints import Checkpoints
from metarl.tasks.distribution import sample_tasks
from metarl.training import train
from metarl.workers.shards import Shard, ShardSpec, to_vector
from metarl_agents.meta_sgd_trpo import joint_curvature_product, joint_gradient


def adapt_with(shard, vector, alpha, supports):
    """θ' by plain gradient descent that autograd differentiates through."""
    parameters, alpha = unflatten(vector, shard.template), unflatten(alpha, shard.template)
    for batch in supports:
        log_probs = distribution(shard, parameters, batch.observations).log_prob(batch.actions)
        gradients = torch.autograd.grad(
            -(log_probs * batch.advantages).mean(), list(parameters.values()), create_graph=True
        )
        parameters = {
            name: value - alpha[name] * gradient
            for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
        }
    return parameters


def reference(shard, joint, at):
    """Mean over tasks of surrogate loss and KL divergence, as functions of (θ, α)."""
    losses, divergences = [], []
    for data in shard.experience:
        query = data.query
        new, old = (
            distribution(
                shard, adapt_with(shard, *vector.chunk(2), data.supports), query.observations
            )
            for vector in (joint, at)
        )
        ratio = (new.log_prob(query.actions) - old.log_prob(query.actions).detach()).exp()
        losses.append(-(ratio * query.advantages).mean())
        divergences.append(torch.distributions.kl_divergence(old, new).mean())
    return torch.stack(losses).mean(), torch.stack(divergences).mean()


@CASES
def test_gradient_and_curvature_equal_dense_ones_by_theta_and_alpha(family, steps):
    shard, theta = shard_with_experience(family, steps)
    alpha = np.full_like(theta, shard.config.inner_learning_rate)
    contributions = joint_gradient(shard, alpha, False, 1.0)
    start = np.concatenate([theta, alpha])
    joint, at = leaf(start), leaf(start)
    (expected,) = torch.autograd.grad(reference(shard, joint, at)[0], joint)
    found = np.mean([vector for vector, _, _ in contributions], axis=0)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-8, atol=1e-12)

    for direction in np.random.default_rng(0).standard_normal((3, len(start))):
        (slope,) = torch.autograd.grad(reference(shard, joint, at)[1], joint, create_graph=True)
        (dense,) = torch.autograd.grad(slope @ torch.as_tensor(direction), joint)
        product = np.mean(joint_curvature_product(shard, direction), axis=0)
        np.testing.assert_allclose(product, dense.numpy(), rtol=1e-6, atol=1e-9)


def test_with_equal_step_sizes_the_gradient_by_theta_is_mamls():
    shard, theta = shard_with_experience("gaussian", 2)
    alpha = np.full_like(theta, shard.config.inner_learning_rate)
    joint = joint_gradient(shard, alpha, False, 1.0)
    plain = meta_gradient(shard, shard.config.learning_rates, False, 1.0)
    for (one, *rest), (other, *others) in zip(joint, plain, strict=True):
        np.testing.assert_allclose(one[: len(theta)], other, rtol=1e-12, atol=1e-15)
        assert rest == others


def test_step_sizes_move_and_do_not_depend_on_the_number_of_workers():
    config = tiny_config(agent="meta-sgd-trpo", iterations=3, adaptation_steps=2)
    one, two = run(config)[0].agent, run(config, workers=2)[0].agent
    assert one.theta.tobytes() == two.theta.tobytes()
    assert one.others[STEP_SIZES].tobytes() == two.others[STEP_SIZES].tobytes()
    assert len(set(one.others[STEP_SIZES])) > 10
    assert one.others[STEP_SIZES].dtype == one.theta.dtype


def test_a_checkpoint_holds_the_step_sizes_and_training_goes_on_alike(tmp_path):
    config = tiny_config(agent="meta-sgd-trpo", iterations=3)
    whole, _ = run(config)
    experiment = build_experiment(config)
    with pool(experiment) as workers:
        shorter = build_experiment(dataclasses.replace(config, iterations=2))
        *_, (half, _) = train(shorter, workers, first_state(experiment))
        Checkpoints(tmp_path).save(half, experiment.initial, {})
        loaded, _, _ = Checkpoints(tmp_path).load_newest(experiment.initial)
        *_, (resumed, _) = train(experiment, workers, loaded)
    assert resumed.agent.theta.tobytes() == whole.agent.theta.tobytes()
    resumed_sizes, sizes = (each.agent.others[STEP_SIZES] for each in (resumed, whole))
    assert resumed_sizes.tobytes() == sizes.tobytes()


def test_an_evaluation_adapts_with_the_learned_step_sizes_in_the_proportions_of_the_test():
    config = tiny_config(agent="meta-sgd-trpo", dtype="float64", test_adaptation_steps=2)
    state, _ = run(config)
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, config.episodes_per_task, range(1)))
    (task,) = sample_tasks(experiment.environment, 1, (1, 0), 1)
    _, first, second = adapted_parameters(shard, experiment, state.agent, task)
    parameters = shard.parameters(state.agent.theta)
    assert config.learning_rates_at_test(2) == (0.5, 0.25)
    for proportion, after, support in zip(
        (1.0, 0.5), (first, second), shard.experience[0].supports, strict=True
    ):
        gradient = torch.func.grad(reinforce_loss(shard.policy))(parameters, support)
        expected = to_vector(parameters) - proportion * state.agent.others[STEP_SIZES] * to_vector(
            gradient
        )
        np.testing.assert_allclose(to_vector(after), expected, rtol=1e-12, atol=1e-14)
        parameters = after


def test_without_an_inner_step_there_is_nothing_to_learn():
    with pytest.raises(ConfigError, match="adaptation_steps = 0: agent meta-sgd-trpo"):
        build_experiment(tiny_config(agent="meta-sgd-trpo", adaptation_steps=0))
