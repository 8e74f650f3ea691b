"""MAML-TRPO's meta-gradient, curvature and step, against dense float64 references."""

import numpy as np
import pytest
import torch
from building import first_state, pool, run, tiny_config
from experience import (
    CASES,
    distribution,
    leaf,
    reference_kl,
    reference_loss,
    shard_with_experience,
)
from strange_spaces import Picture, PictureAndPlace, identify

from metarl.agent.gradient import collect_with_rates
from metarl.agent.meta_objective import curvature_product, meta_gradient, surrogate
from metarl.experiments.build import build_experiment
from metarl.foundation.seeding import Purpose, Split, stream
from metarl.learning.adaptation import flatten, unflatten
from metarl.learning.objectives import reinforce_loss
from metarl.learning.trajectories import Batch
from metarl.tasks.distribution import sample_tasks


def gradients(shard, first_order=False, curvature_fraction=1.0):
    rates = shard.config.learning_rates
    return [vector for vector, _, _ in meta_gradient(shard, rates, first_order, curvature_fraction)]


@CASES
def test_the_meta_gradient_equals_autograd_through_the_whole_adaptation(family, steps):
    shard, theta = shard_with_experience(family, steps)
    contributions = gradients(shard)
    vector, at = leaf(theta), leaf(theta)
    (expected,) = torch.autograd.grad(reference_loss(shard, vector, at), vector)
    np.testing.assert_allclose(np.mean(contributions, axis=0), expected.numpy(), rtol=1e-8)


@CASES
def test_the_meta_gradient_equals_finite_differences(family, steps):
    shard, theta = shard_with_experience(family, steps)
    rates = shard.config.learning_rates
    gradient = np.mean(gradients(shard), axis=0)
    for index in range(0, len(theta), 3):
        shift = np.zeros_like(theta)
        shift[index] = 1e-5
        above, below = (
            np.mean(surrogate(shard, theta + sign * shift, rates), axis=0)[0] for sign in (1, -1)
        )
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-5, abs=1e-8)


@CASES
def test_the_curvature_product_equals_the_full_hessian_of_the_mean_kl(family, steps):
    shard, theta = shard_with_experience(family, steps)
    gradients(shard)
    at = leaf(theta)
    dense = torch.autograd.functional.hessian(
        lambda vector: reference_kl(shard, vector, at), torch.as_tensor(theta)
    ).numpy()
    product = np.stack(
        [np.mean(curvature_product(shard, unit), axis=0) for unit in np.eye(len(theta))], axis=1
    )
    np.testing.assert_allclose(product, dense, rtol=1e-6, atol=1e-9)


@CASES
def test_the_kl_has_value_and_gradient_0_where_the_data_were_collected(family, steps):
    shard, theta = shard_with_experience(family, steps)
    rates = shard.config.learning_rates
    assert [kl for _, kl in surrogate(shard, theta, rates)] == [0.0] * 3
    outcomes = [(loss, kl) for _, loss, kl in meta_gradient(shard, rates, False, 1.0)]
    assert outcomes == surrogate(shard, theta, rates)
    vector = leaf(theta)
    (gradient,) = torch.autograd.grad(reference_kl(shard, vector, leaf(theta)), vector)
    assert float(gradient.abs().max()) < 1e-12


def test_first_order_differs_by_exactly_the_dropped_term():
    shard, theta = shard_with_experience("gaussian", 1)
    rates = shard.config.learning_rates
    second = gradients(shard)
    first = gradients(shard, first_order=True)
    loss = reinforce_loss(shard.policy)
    for data, with_hessian, without in zip(shard.experience, second, first, strict=True):
        hessian = torch.autograd.functional.hessian(
            lambda vector, on=data.supports[0]: loss(unflatten(vector, shard.template), on),
            torch.as_tensor(theta),
        ).numpy()
        assert np.abs(with_hessian - without).max() > 1e-4
        np.testing.assert_allclose(
            with_hessian - without, -rates[0] * hessian @ without, rtol=1e-7, atol=1e-12
        )


@pytest.mark.parametrize("steps", [1, 2])
def test_a_fraction_of_the_steps_gives_the_curvature_of_a_sample_and_the_gradient_of_all(steps):
    shard, theta = shard_with_experience("gaussian", steps, episodes_per_task=20)
    vector = np.random.default_rng(0).standard_normal(len(theta))
    whole = gradients(shard)
    full = curvature_product(shard, vector)
    assert all(map(np.array_equal, gradients(shard, curvature_fraction=0.4), whole))
    part = curvature_product(shard, vector)
    # The same draw, written out: one step of each of 0.4 n runs.
    for position, data in enumerate(shard.experience):
        generator = stream(shard.config.seed, Purpose.CURVATURE, Split.TRAIN, 1, position)

        def sample(batch, generator=generator):
            steps = len(batch.observations)
            kept = round(0.4 * steps)
            edges = [int(steps * index / kept) for index in range(kept + 1)]
            drawn = generator.integers(edges[:-1], edges[1:])
            assert len(set(drawn)) == kept
            return Batch(batch.observations[drawn], batch.actions[drawn], batch.advantages[drawn])

        samples = [sample(batch) for batch in (*data.supports, data.query)]
        jacobian = torch.eye(len(theta), dtype=torch.float64)
        for parameters, batch in zip(data.path[:-1], samples[:-1], strict=True):
            hessian = torch.autograd.functional.hessian(
                lambda at, on=batch: reinforce_loss(shard.policy)(
                    unflatten(at, shard.template), on
                ),
                flatten(parameters),
            )
            rate = shard.config.inner_learning_rate
            jacobian = jacobian - rate * hessian @ jacobian
        observations = samples[-1].observations
        old = distribution(shard, data.path[-1], observations)
        fisher = torch.autograd.functional.hessian(
            lambda at, old=old, on=observations: torch.distributions.kl_divergence(
                old, distribution(shard, unflatten(at, shard.template), on)
            ).mean(),
            flatten(data.path[-1]),
        )
        expected = jacobian.T @ fisher @ jacobian @ torch.as_tensor(vector)
        np.testing.assert_allclose(part[position], expected.numpy(), rtol=1e-6, atol=1e-9)
        assert np.abs(part[position] - full[position]).max() > 1e-6


def outer_step(**settings):
    config = tiny_config(agent_settings=settings)
    experiment = build_experiment(config)
    state = first_state(experiment)
    key = (Split.TRAIN, 1)
    with pool(experiment) as workers:
        tasks = sample_tasks(experiment.environment, config.seed, key, config.tasks_per_batch)
        workers.map(collect_with_rates, state.agent.theta, tasks, key, config.learning_rates)
        after, metrics = experiment.agent.improve(workers, state.agent)
        losses = workers.map(surrogate, after.theta, config.learning_rates)
    return state.agent, after, metrics, np.mean(losses, axis=0)


def test_an_accepted_step_lowers_the_loss_within_the_trust_region():
    before, after, metrics, (loss, kl) = outer_step(max_kl=0.01)
    assert metrics["step_accepted"]
    assert metrics["rejection"] is None
    assert metrics["kl_before"] == 0.0
    assert metrics["loss"] < metrics["loss_before"]
    assert 0 < metrics["kl"] <= 0.01
    assert not np.array_equal(before.theta, after.theta)
    # What the metrics say is what the new parameters do.
    assert (loss, kl) == (metrics["loss"], metrics["kl"])


def test_a_line_search_that_fails_leaves_theta_bit_identical():
    before, after, metrics, _ = outer_step(max_kl=1e6, line_search_steps=1)
    assert not metrics["step_accepted"]
    assert "line search" in metrics["rejection"]
    assert metrics["line_search_steps"] == 1
    assert metrics["kl"] == 0.0
    assert before.theta.tobytes() == after.theta.tobytes()


def test_equal_rewards_make_no_step_and_no_error():
    # One pull, and every arm pays with probability 1: all advantages are 0.
    config = tiny_config("bernoulli-bandit", iterations=1, horizon=1)
    experiment = build_experiment(config)
    state = first_state(experiment)
    key = (Split.TRAIN, 1)
    with pool(experiment) as workers:
        tasks = [np.ones(5)] * config.tasks_per_batch
        workers.map(collect_with_rates, state.agent.theta, tasks, key, config.learning_rates)
        after, metrics = experiment.agent.improve(workers, state.agent)
    assert not metrics["step_accepted"]
    assert after.theta.tobytes() == state.agent.theta.tobytes()
    assert np.isfinite(metrics["loss"])


def test_no_inner_step_is_plain_trpo_on_many_tasks():
    _, records = run(tiny_config(adaptation_steps=0, iterations=2))
    assert records[0]["pre_adaptation_return"] == records[0]["post_adaptation_return"]
    assert records[0]["step_accepted"]


def image_shard(kind):
    return shard_with_experience(
        "gaussian", 1, env_id=identify(kind), episodes_per_task=2, horizon=4
    )


def test_the_meta_gradient_of_an_image_policy_equals_autograds():
    shard, theta = image_shard(Picture)
    assert shard.policy.one_task_at_a_time
    contributions = gradients(shard)
    vector, at = leaf(theta), leaf(theta)
    (expected,) = torch.autograd.grad(reference_loss(shard, vector, at), vector)
    assert float(expected.abs().max()) > 1e-3
    np.testing.assert_allclose(
        np.mean(contributions, axis=0), expected.numpy(), rtol=1e-6, atol=1e-11
    )


def test_the_curvature_of_an_image_policy_is_the_full_hessian_of_the_mean_kl():
    shard, theta = image_shard(PictureAndPlace)
    gradients(shard)
    generator = np.random.default_rng(5)
    vector, at = leaf(theta), leaf(theta)
    kl = reference_kl(shard, vector, at)
    (slope,) = torch.autograd.grad(kl, vector, create_graph=True)
    for _ in range(3):
        direction = generator.standard_normal(len(theta))
        (expected,) = torch.autograd.grad(
            slope @ torch.as_tensor(direction), vector, retain_graph=True
        )
        product = np.mean(curvature_product(shard, direction), axis=0)
        assert np.abs(product).max() > 1e-3
        np.testing.assert_allclose(product, expected.numpy(), rtol=1e-6, atol=1e-9)
