"""Adaptation curves on held-out tasks."""

import dataclasses
from statistics import NormalDist

import numpy as np
import pytest
from building import first_state, pool, tiny_config

from metarl.cli.runs import build_experiment
from metarl.evaluation import bootstrap_interval, evaluate
from metarl.seeding import Split
from metarl.tasks import sample_tasks


def curve(workers, rates=(0.5, 0.25), **changes):
    config = tiny_config(tasks_per_batch=5, horizon=20, **changes)
    experiment = build_experiment(config)
    theta = first_state(experiment).agent.theta
    tasks = sample_tasks(experiment.environment, config.seed, (Split.TEST, 0), 5)
    with pool(experiment, workers) as started:
        return evaluate(started, theta, tasks, rates, config.seed)


def test_a_curve_has_a_return_for_each_task_and_each_number_of_steps():
    result = curve(1)
    assert result.per_task_return.shape == (5, 3)
    np.testing.assert_allclose(result.mean_return, result.per_task_return.mean(0))
    assert result.ci95.shape == (3, 2)
    assert (result.ci95[:, 0] <= result.mean_return).all()
    assert (result.mean_return <= result.ci95[:, 1]).all()
    assert result.env_steps == 5 * 4 * 20 * 3


def test_a_longer_curve_begins_like_a_shorter_one():
    longer, shorter = curve(1, (0.5, 0.25, 0.25)), curve(1, (0.5,))
    assert np.array_equal(longer.per_task_return[:, :2], shorter.per_task_return)


def test_a_curve_does_not_depend_on_the_number_of_workers():
    one, two = curve(1), curve(2)
    assert np.array_equal(one.per_task_return, two.per_task_return)
    assert np.array_equal(one.ci95, two.ci95)


def test_held_out_tasks_differ_from_the_training_tasks_and_belong_to_their_seed():
    environment = build_experiment(tiny_config()).environment
    train = sample_tasks(environment, 1, (Split.TRAIN, 0), 5)
    test = sample_tasks(environment, 1, (Split.TEST, 0), 5)
    other = sample_tasks(environment, 2, (Split.TEST, 0), 5)
    assert not np.array_equal(train, test)
    assert not np.array_equal(test, other)
    assert np.array_equal(test, sample_tasks(environment, 1, (Split.TEST, 0), 5))


def test_the_bootstrap_interval_approaches_the_normal_one_and_covers_95_percent():
    generator = np.random.default_rng(0)
    samples = generator.normal(3.0, 2.0, (400, 1))
    low, high = bootstrap_interval(samples, generator)[0]
    half = NormalDist().inv_cdf(0.975) * samples.std() / np.sqrt(400)
    assert low == pytest.approx(samples.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(samples.mean() + half, abs=0.1 * half)


def test_one_task_has_an_interval_of_no_width():
    interval = bootstrap_interval(np.array([[1.0, 2.0]]), np.random.default_rng(0))
    assert interval.tolist() == [[1.0, 1.0], [2.0, 2.0]]


def test_the_curve_of_a_policy_that_knows_no_gradient_is_flat():
    config = tiny_config("one-step-target", horizon=1, hidden_sizes=(), tasks_per_batch=4)
    config = dataclasses.replace(config, initial_std=1e-4, episodes_per_task=50)
    experiment = build_experiment(config)
    tasks = [np.zeros(1)] * 4
    theta = np.zeros_like(first_state(experiment).agent.theta)
    theta[list(experiment.initial).index("log_std")] = np.log(1e-4)
    with pool(experiment) as started:
        result = evaluate(started, theta, tasks, (), 1)
    # The guess is 0 and so is the target: the return is −σ².
    np.testing.assert_allclose(result.mean_return, [-1e-8], rtol=0.3)
