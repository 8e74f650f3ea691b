"""E-MAML's gradient: dense autograd of its loss, and the true gradient of an expected return."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from building import run, tiny_config
from experience import CASES, distribution, leaf, reference_adapt, shard_with_experience
from faulty_runs import config_of, listening

from metarl.agent.meta_objective import meta_gradient
from metarl.learning.adaptation import inner_step, unflatten
from metarl.learning.objectives import act, reinforce_loss
from metarl.learning.trajectories import Batch, Experience
from metarl_agents.e_maml_trpo import (
    exploring_gradient,
    exploring_surrogate,
    return_after_adaptation,
    standardised,
)

CREDITS = {0: 0.7, 1: -1.3, 2: 0.6}


def reference(shard, vector, at, credits):
    """Mean over tasks of the loss, by autograd through plain gradient descent."""
    losses = []
    for data, credit in zip(shard.experience, credits.values(), strict=True):
        total = torch.zeros((), dtype=torch.float64)
        batches = [*data.supports, data.query]
        for step, batch in enumerate(batches):
            new, old = (
                distribution(
                    shard, reference_adapt(shard, start, data.supports[:step]), batch.observations
                ).log_prob(batch.actions)
                for start in (vector, at)
            )
            ratio = (new - old.detach()).exp()
            is_query = step == len(batches) - 1
            weights = batch.advantages if is_query else torch.full_like(ratio, credit)
            total = total - (ratio * weights).mean()
        losses.append(total)
    return torch.stack(losses).mean()


@CASES
def test_the_gradient_equals_autograd_through_the_whole_adaptation(family, steps):
    shard, theta = shard_with_experience(family, steps)
    rates = shard.config.learning_rates
    contributions = exploring_gradient(shard, rates, False, 1.0, CREDITS)
    vector, at = leaf(theta), leaf(theta)
    loss = reference(shard, vector, at, CREDITS)
    (expected,) = torch.autograd.grad(loss, vector)
    found = np.mean([gradient for gradient, _, _ in contributions], axis=0)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-8, atol=1e-12)
    assert np.mean([outer for _, outer, _ in contributions]) == pytest.approx(loss.item())


@CASES
def test_the_surrogate_is_the_reference_loss_elsewhere_too(family, steps):
    shard, theta = shard_with_experience(family, steps)
    rates = shard.config.learning_rates
    here = exploring_surrogate(shard, theta, rates, CREDITS)
    gradients = exploring_gradient(shard, rates, False, 1.0, CREDITS)
    assert here == [(outer, kl) for _, outer, kl in gradients]
    elsewhere = theta + 0.1 * np.random.default_rng(1).standard_normal(len(theta))
    losses = [loss for loss, _ in exploring_surrogate(shard, elsewhere, rates, CREDITS)]
    expected = reference(shard, leaf(elsewhere), leaf(theta), CREDITS)
    assert np.mean(losses) == pytest.approx(expected.item(), rel=1e-10)


def test_without_credit_it_is_maml():
    shard, _ = shard_with_experience("gaussian", 2)
    rates = shard.config.learning_rates
    plain = meta_gradient(shard, rates, False, 1.0)
    for (one, *_), (other, *_) in zip(
        exploring_gradient(shard, rates, False, 1.0, dict.fromkeys(range(3), 0.0)),
        plain,
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_its_expectation_is_the_gradient_of_the_expected_return_and_mamls_is_not():
    """One pull before and one after adaptation: all outcomes are enumerated.

    E R(τ) = Σ_a π_θ(a) Σ_b π_{θ'(a)}(b) r(b), by finite differences of θ.
    """
    shard, theta = shard_with_experience("categorical", 1)
    rewards = torch.tensor([0.3, 1.7, -0.4, 0.9, 0.1], dtype=torch.float64)
    observation = shard.experience[0].query.observations[:1]
    loss, rate = reinforce_loss(shard.policy), shard.config.inner_learning_rate
    shard.task_indices = range(1)

    def probabilities(parameters):
        return torch.softmax(act(shard.policy, parameters, observation)[0], -1)[0]

    def pull(arm):
        return Batch(observation, torch.tensor([arm]), rewards[arm].reshape(1))

    def expected_return(vector):
        parameters = unflatten(torch.as_tensor(vector), shard.template)
        total = 0.0
        for arm, chance in enumerate(probabilities(parameters)):
            adapted = inner_step(loss, parameters, pull(arm), rate)
            total += float(chance * (probabilities(adapted) * rewards).sum())
        return total

    gradients = {"e-maml": np.zeros_like(theta), "maml": np.zeros_like(theta)}
    parameters = unflatten(torch.as_tensor(theta), shard.template)
    for first, chance in enumerate(probabilities(parameters)):
        adapted = inner_step(loss, parameters, pull(first), rate)
        old = act(shard.policy, adapted, observation)
        for second, following in enumerate(probabilities(adapted)):
            query = pull(second)
            shard.experience = [
                Experience(
                    (pull(first),),
                    query,
                    (parameters, adapted),
                    old,
                    shard.policy.log_prob(old, query.actions),
                )
            ]
            credit = {0: float(rewards[second])}
            ((vector, *_),) = exploring_gradient(shard, (rate,), False, 1.0, credit)
            ((plain, *_),) = meta_gradient(shard, (rate,), False, 1.0)
            gradients["e-maml"] -= float(chance * following) * vector
            gradients["maml"] -= float(chance * following) * plain

    true = np.zeros_like(theta)
    for index in range(len(theta)):
        shift = np.zeros_like(theta)
        shift[index] = 1e-6
        true[index] = (expected_return(theta + shift) - expected_return(theta - shift)) / 2e-6
    np.testing.assert_allclose(gradients["e-maml"], true, rtol=1e-5, atol=1e-8)
    assert np.abs(gradients["maml"] - true).max() > 0.01


def test_credit_is_the_standardised_return_after_adaptation():
    shard, _ = shard_with_experience("gaussian", 1)
    returns = return_after_adaptation(shard)
    shard.statistics = [
        replace(task, mean_returns=(0.0, value))
        for task, value in zip(shard.statistics, (1.0, 2.0, 6.0), strict=True)
    ]
    assert returns != return_after_adaptation(shard) == [(0, 1), (1, 2), (2, 6)]
    credits = standardised([1.0, 2.0, 6.0])
    assert credits == pytest.approx(np.array([-2, -1, 3]) / np.sqrt(14 / 3))
    assert standardised([5.0, 5.0]) == (0.0, 0.0)


def test_credit_reaches_the_tasks_it_belongs_to_whatever_worker_has_them():
    config = tiny_config(agent="e-maml-trpo", iterations=2)
    one, two = run(config)[0], run(config, workers=2)[0]
    assert one.agent.theta.tobytes() == two.agent.theta.tobytes()


def test_credit_reaches_the_tasks_it_belongs_to_where_others_are_left_out():
    config = replace(config_of("nan-reward"), agent="e-maml-trpo", on_env_error="skip-task")
    _, records = run(config, 0, listening()[1])
    assert sum(record["skipped_tasks"] for record in records) > 0
    shard, _ = shard_with_experience("gaussian", 1)
    rates = shard.config.learning_rates
    whole = exploring_gradient(shard, rates, False, 1.0, CREDITS)
    shard.task_indices = [1, 4, 7]
    credits = dict(zip(shard.task_indices, CREDITS.values(), strict=True))
    for one, other in zip(
        exploring_gradient(shard, rates, False, 1.0, credits), whole, strict=True
    ):
        np.testing.assert_array_equal(one[0], other[0])
    assert [index for index, _ in return_after_adaptation(shard)] == [1, 4, 7]
