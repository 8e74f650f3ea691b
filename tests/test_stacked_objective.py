"""All tasks in one call give what each gives alone, up to rounding."""

import dataclasses

import numpy as np
import pytest
import torch
from building import tiny_config
from early_ends import EarlyEnds  # noqa: F401  (registers it)
from experience import PRESETS
from waiting import refuse_waiting

from metarl.agent import gradient, meta_objective, stacked_experience
from metarl.agent.gradient import collect_with_rates
from metarl.agent.meta_objective import curvature_product, meta_gradient, surrogate
from metarl.agent.stacked_objective import ratios
from metarl.experiments.build import build_experiment
from metarl.foundation.cuda_graphs import GraphedFunction
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import flatten
from metarl.learning.objectives import act
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
from metarl_agents import e_maml_trpo, meta_sgd_trpo, promp, reptile
from metarl_agents.e_maml_trpo import exploring_gradient, exploring_surrogate
from metarl_agents.meta_sgd_trpo import joint_curvature_product, joint_gradient
from metarl_agents.promp import promp_gradient, promp_losses
from metarl_agents.reptile import displacements

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


def all_near(ours, theirs):
    """What each task gave: a tuple of vectors and numbers."""
    for one, other in zip(ours, theirs, strict=True):
        near(one, other)


CASES = pytest.mark.parametrize(
    ("discrete", "steps"), [(discrete, steps) for discrete in (False, True) for steps in (1, 2)]
)


def both_with_parts(monkeypatch, discrete, steps, **options):
    """Both shards, and θ; of discrete actions two tasks are in one call, then one."""
    if discrete:
        monkeypatch.setattr(stacked_experience, "_ROWS_AT_ONCE", 40)
    (alone, theta), (together, _) = both(discrete=discrete, steps=steps, **options)
    for phase in range(steps + 1):
        taken = [(*data.supports, data.query)[phase] for data in alone.experience]
        assert len({len(batch.advantages) for batch in taken}) > 1  # rows are filled up
    assert len(stacked_experience.stacked_experience(together)) == (2 if discrete else 1)
    return alone, together, theta


@pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("first_order", [False, True], ids=["second", "first"])
def test_gradient_curvature_and_surrogate_are_those_of_each_task(
    discrete, steps, first_order, monkeypatch
):
    if discrete:  # two tasks in one call, then one
        monkeypatch.setattr(stacked_experience, "_ROWS_AT_ONCE", 40)
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
    vector = np.linspace(-1, 1, 2 * size)
    for sizes in (learned, learned + 0.1):  # the second time by what was captured the first
        for fraction in (1.0, 0.3):
            all_near(
                *(
                    joint_gradient(shard, sizes, first_order, fraction)
                    for shard in (together, alone)
                )
            )
            near(*(joint_curvature_product(shard, vector) for shard in (together, alone)))
    assert list(together.kept) == [f"joint curvature products {first_order}"]
    at = theta + 0.02
    near(*(surrogate(shard, at, (learned,) * 2) for shard in (together, alone)))


@CASES
def test_first_order_gradients_and_products_are_those_of_each_task(discrete, steps, monkeypatch):
    alone, together, theta = both_with_parts(monkeypatch, discrete, steps)
    vector = np.linspace(-1, 1, len(theta))
    for fraction in (1.0, 0.3):
        all_near(
            *(
                meta_gradient(shard, shard.config.learning_rates, True, fraction)
                for shard in (together, alone)
            )
        )
        near(*(curvature_product(shard, vector) for shard in (together, alone)))


@CASES
def test_promps_gradients_and_losses_are_those_of_each_task(discrete, steps, monkeypatch):
    alone, together, theta = both_with_parts(monkeypatch, discrete, steps)
    rates, clip, penalty = alone.config.learning_rates, 0.1, 0.7
    elsewhere = theta + 0.2 * np.linspace(-1, 1, len(theta))
    for at in (theta, elsewhere):
        for function in (promp_gradient, promp_losses):
            all_near(*(function(shard, at, rates, clip, penalty) for shard in (together, alone)))
    here = promp_losses(together, elsewhere, rates, clip, penalty)
    unclipped = promp_losses(together, elsewhere, rates, 1e9, penalty)
    for (loss, kl, kl_pre), (without, *_) in zip(here, unclipped, strict=True):
        assert min(kl, kl_pre) > 1e-4
        assert loss != without  # some steps were clipped


@CASES
def test_displacements_are_those_of_each_task(discrete, steps, monkeypatch):
    alone, together, _ = both_with_parts(monkeypatch, discrete, steps)
    near(*(displacements(shard, 0.3) for shard in (together, alone)))


@CASES
@pytest.mark.parametrize("first_order", [False, True], ids=["second", "first"])
def test_e_mamls_exploration_is_that_of_each_task(discrete, steps, first_order, monkeypatch):
    alone, together, theta = both_with_parts(monkeypatch, discrete, steps)
    rates, credits = alone.config.learning_rates, {0: 0.7, 1: -1.3, 2: 0.6}
    all_near(
        *(
            exploring_gradient(shard, rates, first_order, 1.0, credits)
            for shard in (together, alone)
        )
    )
    for at in (theta, theta + 0.2 * np.linspace(-1, 1, len(theta))):
        near(*(exploring_surrogate(shard, at, rates, credits) for shard in (together, alone)))


class OneShard:
    """Workers that are one shard, in this process."""

    count = 1

    def __init__(self, shard):
        self.shard = shard

    def map(self, function, *args):
        return function(self.shard, *args)

    def take_profile(self):
        return {}

    def close(self):
        self.shard.close()


WELL_CONDITIONED = {"cg_damping": 1.0}
"""With the usual damping, noise of 1e-16 in one path's products moves its own θ by 1e-6 to 1e-3:
of so few steps, the curvature is nearly singular."""


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        ("maml-trpo", WELL_CONDITIONED),
        ("fomaml-trpo", WELL_CONDITIONED),
        ("e-maml-trpo", WELL_CONDITIONED),
        ("meta-sgd-trpo", WELL_CONDITIONED),
        ("promp", {"outer_steps": 3}),
        ("reptile", {}),
        ("reptile", {"optimiser": "adam", "outer_learning_rate": 0.01}),
    ],
)
@pytest.mark.parametrize(("discrete", "steps"), [(False, 2), (True, 1)])
def test_a_whole_outer_step_is_that_of_each_task(agent, settings, discrete, steps, monkeypatch):
    changes = {"agent": agent, "agent_settings": settings}
    alone, together, theta = both_with_parts(monkeypatch, discrete, steps, **changes)
    outer = build_experiment(alone.config).agent
    state = outer.initial_state(theta)
    (after, metrics), (wanted, its_metrics) = (
        outer.improve(OneShard(shard), state) for shard in (together, alone)
    )
    assert metrics["step_accepted"]
    assert np.abs(after.theta - theta).max() > 1e-4
    for ours, theirs in (
        ({"theta": after.theta}, {"theta": wanted.theta}),
        (after.optimiser, wanted.optimiser),
        (after.others, wanted.others),
        (metrics, its_metrics),
    ):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            if isinstance(value, str | None):
                assert ours[name] == value
            else:
                np.testing.assert_allclose(ours[name], value, rtol=1e-10, atol=1e-10)


def test_nothing_is_computed_a_task_at_a_time(monkeypatch):
    for module, name in (
        (gradient, "inner_step"),
        (shards, "baseline_values"),
        (shards, "policy_gradient_batch"),
        (meta_objective, "outer_slope"),
        (meta_objective, "stack_tasks"),
        (meta_objective, "adapt"),
        (meta_sgd_trpo, "outer_slope"),
        (meta_sgd_trpo, "stack_tasks"),
        (e_maml_trpo, "_ratio_mean"),
        (e_maml_trpo, "outer_loss"),
        (promp, "_outer_loss"),
        (reptile, "to_vector"),
    ):
        monkeypatch.delattr(module, name)
    shard, theta = shard_of(True)
    rates = shard.config.learning_rates
    meta_gradient(shard, rates, False, 1.0)
    curvature_product(shard, theta)
    surrogate(shard, theta, rates)
    joint_gradient(shard, np.full_like(theta, 0.1), False, 1.0)
    joint_curvature_product(shard, np.concatenate([theta, theta]))
    meta_gradient(shard, rates, True, 1.0)
    exploring_gradient(shard, rates, False, 1.0, {0: 1.0, 1: -1.0, 2: 0.0})
    exploring_surrogate(shard, theta, rates, {0: 1.0, 1: -1.0, 2: 0.0})
    promp_gradient(shard, theta, rates, 0.3, 0.1)
    promp_losses(shard, theta, rates, 0.3, 0.1)
    displacements(shard, rates[-1])


def test_a_curvature_product_waits_for_nothing(monkeypatch):
    shard, theta = shard_of(True)
    called = refuse_waiting(monkeypatch)
    meta_gradient(shard, shard.config.learning_rates, False, 1.0)
    curvature_product(shard, theta)
    joint_gradient(shard, np.full_like(theta, 0.1), False, 1.0)
    joint_curvature_product(shard, np.concatenate([theta, theta]))
    assert called == ["GraphedFunction._run"] * 2


def test_rows_that_fill_up_weigh_nothing_whatever_is_in_them():
    shard, _ = shard_of(True)
    (stack,) = stacked_experience.stacked_experience(shard)
    query, empty = stack.query, stack.query.shares == 0
    assert empty.any()
    huge = torch.where(empty, -1e4, stack.old_log_probs)  # exp(1e4) is infinite
    leaves = {name: value.detach().requires_grad_() for name, value in stack.path[-1].items()}
    distribution = act(shard.policy, leaves, query.observations)
    (found, wanted) = (
        torch.autograd.grad(
            (ratios(shard.policy, distribution, query, old) * query.advantages).sum(),
            tuple(leaves.values()),
            retain_graph=True,
        )
        for old in (huge, stack.old_log_probs)
    )
    torch.testing.assert_close(found, wanted)
    assert all(part.isfinite().all() for part in found)
    values = torch.where(empty, torch.inf, query.observations[..., 0])
    means = [data.query.observations[:, 0].mean() for data in shard.experience]
    torch.testing.assert_close(query.means(values), torch.stack(means))


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
