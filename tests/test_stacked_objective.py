"""All tasks in one call give what each gives alone, up to rounding."""

import dataclasses

import numpy as np
import pytest
import torch
from building import tiny_config
from early_ends import EarlyEnds  # noqa: F401  (registers it)
from experience import PRESETS
from waiting import refuse_waiting

from metarl.agent import gradient, meta_objective, stacked_objective
from metarl.agent.gradient import collect_with_rates
from metarl.agent.meta_objective import curvature_product, meta_gradient, surrogate
from metarl.experiments.build import build_experiment
from metarl.foundation.cuda_graphs import GraphedFunction
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import flatten
from metarl.learning.returns import (
    baseline_values,
    policy_gradient_batch,
    stacked_baseline_values,
    stacked_policy_gradient_batches,
)
from metarl.learning.trajectories import Trajectories
from metarl.tasks.distribution import sample_tasks
from metarl.workers import shards
from metarl.workers.shards import Shard, ShardSpec, to_vector
from metarl_agents import meta_sgd_trpo
from metarl_agents.meta_sgd_trpo import joint_curvature_product, joint_gradient

CLOSE = {"rtol": 1e-10, "atol": 1e-13}
KEY = (Split.TRAIN, 1)


def shard_of(in_one_call, discrete=False, steps=1, rates=None, **changes):
    """A shard of three tasks, whose episodes take one to five steps; with θ."""
    config = tiny_config(
        PRESETS["gaussian"],
        env_id="early_ends:EarlyEnds-v0",
        env_kwargs={"discrete": discrete},
        horizon=5,
        hidden_sizes=(7,),
        activation="tanh",
        adaptation_steps=steps,
        dtype="float64",
        inner_learning_rate=0.4,
        **changes,
    )
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, config.episodes_per_task, range(3)))
    assert not shard.tasks_in_one_call  # on the CPU, unless a test wants it
    shard.tasks_in_one_call = in_one_call
    generator = np.random.default_rng(11)
    start = to_vector(experiment.initial)
    theta = start + 0.3 * generator.standard_normal(len(start))
    tasks = sample_tasks(experiment.environment, config.seed, KEY, 3)
    collect_with_rates(shard, theta, tasks, KEY, rates or config.learning_rates)
    return shard, theta


def both(**options):
    return [shard_of(in_one_call, **options) for in_one_call in (False, True)]


def near(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


@pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("first_order", [False, True], ids=["second", "first"])
def test_gradient_curvature_and_surrogate_are_those_of_each_task(
    discrete, steps, first_order, monkeypatch
):
    if discrete:  # two tasks in one call, then one
        monkeypatch.setattr(stacked_objective, "_ROWS_AT_ONCE", 40)
    (alone, theta), (together, _) = both(discrete=discrete, steps=steps)
    lengths = {len(data.query.observations) for data in alone.experience}
    assert len(lengths) > 1  # rows were filled up
    for one, other in zip(alone.adapted, together.adapted, strict=True):
        near([to_vector(each) for each in one], [to_vector(each) for each in other])
    vector = np.linspace(-1, 1, len(theta))
    for fraction in (1.0, 0.3):
        rates = alone.config.learning_rates
        for ours, theirs in zip(
            *(meta_gradient(shard, rates, first_order, fraction) for shard in (together, alone)),
            strict=True,
        ):
            near(ours, theirs)
        near(*(curvature_product(shard, vector) for shard in (together, alone)))
    elsewhere = theta + 0.05 * vector
    for at in (theta, elsewhere):
        near(*(surrogate(shard, at, rates) for shard in (together, alone)))
    assert max(kl for _, kl in surrogate(together, elsewhere, rates)) > 1e-4


def test_the_products_of_the_next_experience_are_its_own():
    """What was captured in one iteration serves the next."""
    (alone, theta), (together, _) = both(steps=2)
    rates, vector = alone.config.learning_rates, np.linspace(1, -1, len(theta))
    kept = []
    for iteration in (1, 2):
        for shard in (alone, together):
            key = (Split.TRAIN, iteration)
            tasks = [np.array([0.3 * iteration]), np.array([-0.2]), np.array([0.9])]
            collect_with_rates(shard, theta, tasks, key, rates)
            meta_gradient(shard, rates, False, 1.0)
        kept.append(together.scratch[0])
        near(*(curvature_product(shard, vector) for shard in (together, alone)))
        near(*(surrogate(shard, theta + 0.01, rates) for shard in (together, alone)))
    assert kept[0] is kept[1]


@pytest.mark.parametrize("first_order", [False, True], ids=["second", "first"])
def test_learned_step_sizes_give_the_same(first_order):
    start = tiny_config(hidden_sizes=(7,))
    size = flatten(build_experiment(start).initial).numel()
    learned = np.linspace(-0.1, 0.5, size)
    (alone, theta), (together, _) = both(steps=2, rates=(learned,) * 2)
    ours, theirs = (joint_gradient(shard, learned, first_order, 1.0) for shard in (together, alone))
    for one, other in zip(ours, theirs, strict=True):
        near(one, other)
    vector = np.linspace(-1, 1, 2 * size)
    near(*(joint_curvature_product(shard, vector) for shard in (together, alone)))
    at = theta + 0.02
    near(*(surrogate(shard, at, (learned,) * 2) for shard in (together, alone)))


def test_nothing_is_computed_a_task_at_a_time(monkeypatch):
    for module, name in (
        (gradient, "inner_step"),
        (shards, "baseline_values"),
        (shards, "policy_gradient_batch"),
        (meta_objective, "outer_slope"),
        (meta_objective, "stack_tasks"),
        (meta_objective, "adapt"),
        (meta_sgd_trpo, "outer_slope"),
    ):
        monkeypatch.delattr(module, name)
    shard, theta = shard_of(True)
    rates = shard.config.learning_rates
    meta_gradient(shard, rates, False, 1.0)
    curvature_product(shard, theta)
    surrogate(shard, theta, rates)
    joint_gradient(shard, np.full_like(theta, 0.1), False, 1.0)


def test_a_curvature_product_waits_for_nothing(monkeypatch):
    shard, theta = shard_of(True)
    meta_gradient(shard, shard.config.learning_rates, False, 1.0)
    called = refuse_waiting(monkeypatch)
    curvature_product(shard, theta)
    assert called == ["GraphedFunction._run"]


def test_the_baseline_and_advantages_of_all_tasks_are_those_of_each():
    generator = torch.Generator().manual_seed(3)
    mask = torch.arange(9) < torch.tensor([[9, 4, 1], [9, 9, 9]])[..., None]
    seen = torch.randn(2, 3, 9, 2, generator=generator, dtype=torch.float64) * mask[..., None]
    returns, advantages = torch.randn(2, 2, 3, 9, generator=generator, dtype=torch.float64) * mask
    values = stacked_baseline_values(list(seen), returns, mask)
    for task in range(2):
        expected = baseline_values(seen[task], returns[task], mask[task])
        torch.testing.assert_close(values[task][mask[task]], expected[mask[task]])
    episodes = [
        Trajectories(each, each, returns[0], own) for each, own in zip(seen, mask, strict=True)
    ]
    batches = stacked_policy_gradient_batches(episodes, advantages, mask)
    for task, batch in enumerate(batches):
        wanted = policy_gradient_batch(episodes[task], advantages[task])
        for field in dataclasses.fields(batch):
            ours, theirs = (getattr(each, field.name) for each in (batch, wanted))
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)
    broken = torch.where(returns > 1, torch.inf, returns)
    assert stacked_baseline_values(list(seen), broken, mask) is None


def test_a_graphed_function_takes_other_values_and_other_sizes():
    function = GraphedFunction(lambda one, other: one * 2 + other)
    for size in (3, 3, 5):
        one, other = torch.rand(size), torch.rand(size)
        given = one.clone()
        assert torch.equal(function(one, other), one * 2 + other)
        assert torch.equal(one, given)
