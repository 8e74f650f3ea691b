"""Policy gradient on all tasks together: its gradient, its kinship with MAML, what it plays."""

import numpy as np
import pytest
import torch
from building import ToldWorkers, first_state, run, tiny_config
from experience import CASES, distribution, shard_with_experience

from metarl.agent import meta_objective
from metarl.agent.meta_objective import meta_gradient, plain_gradient
from metarl.experiments.build import build_experiment
from metarl.learning.adaptation import unflatten
from metarl_agents import MULTITASK


def config_of(preset="navigation-2d", **settings):
    return MULTITASK.completed(tiny_config(preset, agent="multitask", agent_settings=settings))


@CASES
def test_the_gradient_is_that_of_the_mean_policy_gradient_loss(family, steps):
    shard, theta = shard_with_experience(family, 0)
    found = np.mean([slope for slope, _, _ in plain_gradient(shard)], axis=0)

    def loss(at):
        of_tasks = []
        for data in shard.experience:
            policy = distribution(shard, unflatten(at, shard.template), data.query.observations)
            log_probs = policy.log_prob(data.query.actions)
            of_tasks.append(-(log_probs * data.query.advantages).mean())
        return torch.stack(of_tasks).mean()

    expected = torch.autograd.functional.jacobian(loss, torch.as_tensor(theta)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("in_one_call", [False, True])
def test_the_gradient_alone_has_the_bits_of_the_one_with_the_curvature(in_one_call):
    shard, _ = shard_with_experience("gaussian", 0)
    shard.tasks_in_one_call = in_one_call
    pairs = zip(plain_gradient(shard), meta_gradient(shard, (), True, 1.0), strict=True)
    for (alone, *numbers), (beside, *others) in pairs:
        np.testing.assert_array_equal(alone, beside)
        assert numbers == others


def test_adam_asks_for_no_curvature(monkeypatch):
    monkeypatch.delattr(meta_objective, "stack_tasks")
    _, records = run(config_of())
    assert all(record["step_accepted"] for record in records)


def test_within_a_trust_region_it_is_maml_trpo_without_an_inner_step():
    ours, records = run(config_of(optimiser="trust-region", max_kl=0.02))
    settings = {"max_kl": 0.02}
    theirs, others = run(tiny_config(agent_settings=settings, adaptation_steps=0))
    assert np.array_equal(ours.agent.theta, theirs.agent.theta)
    assert [record["kl"] for record in records] == [record["kl"] for record in others]
    assert any(record["step_accepted"] for record in records)


def test_adam_descends_the_mean_of_the_tasks_gradients_and_is_remembered():
    experiment = build_experiment(config_of(outer_learning_rate=0.02))
    before = first_state(experiment).agent
    slopes = np.random.default_rng(0).standard_normal((3, len(before.theta)))
    workers = ToldWorkers(lambda function: [(slope, 0.0, 0.0) for slope in slopes])
    after, metrics = experiment.agent.improve(workers, before)
    # The first step of Adam has the learning rate's length in every element.
    moved = after.theta - before.theta
    np.testing.assert_allclose(moved, -0.02 * np.sign(slopes.mean(0)), rtol=1e-3)
    assert set(after.optimiser) == {"step", "exp_avg", "exp_avg_sq"}
    assert metrics["gradient_norm"] == pytest.approx(np.linalg.norm(slopes.mean(0)))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_leaves_theta(bad):
    experiment = build_experiment(config_of())
    before = first_state(experiment).agent
    slope = np.full_like(before.theta, bad)
    after, metrics = experiment.agent.improve(ToldWorkers(lambda _: [(slope, 0.0, 0.0)]), before)
    assert after is before
    assert not metrics["step_accepted"]


def test_it_plays_the_episodes_of_one_policy_alone():
    config = config_of()
    assert (config.adaptation_steps, config.test_adaptation_steps) == (0, 3)
    _, records = run(config)
    of_an_iteration = config.tasks_per_batch * config.episodes_per_task * config.horizon
    assert [record["env_steps"] for record in records] == [
        of_an_iteration * number for number in (1, 2, 3)
    ]
