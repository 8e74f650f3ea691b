"""CAVIA: the context alone adapts; with W_φ = I it is MAML on the first layer's bias."""

import dataclasses
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from building import adapted_parameters, pool, run, tiny_config, without_times
from experience import leaf, reference_kl, reference_loss
from supervised import learner_and_batches, tiny_supervised, train_problem
from torch.func import grad, vmap

from metarl.api.protocols import evaluation_of
from metarl.experiments.build import build_experiment
from metarl.experiments.problem_learner import (
    initial_state,
    loss_of,
    parameters_of_state,
    query_losses,
)
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import adapt, flatten, linearise, unflatten
from metarl.learning.objectives import act
from metarl.learning.policies import CONTEXT, PolicySpec, parameters_of, without_context
from metarl.tasks.distribution import sample_tasks
from metarl.tasks.problems import training_episodes
from metarl.training import train
from metarl.workers.shards import Shard, ShardSpec, to_vector
from metarl_agents import cavia
from metarl_agents.cavia import (
    context_rates,
    curvature_of_learned,
    gradient_of_learned,
    meet,
)

WIDTH = 6
FIRST, BIAS = "hidden0.weight", "hidden0.bias"


def regression(**changes):
    """A learner with a context as wide as its first layer, in float64, and data."""
    settings = {"hidden_sizes": (WIDTH, 4), "context_parameters": WIDTH, **changes}
    learner, support, query = learner_and_batches(preset="sinusoid-cavia", **settings)
    return learner, loss_of(learner.model, "mse"), support, query


def of_context(theta):
    """W_φ."""
    return theta[FIRST][:, -WIDTH:]


def with_weights(theta, weights):
    """The same with another W_φ."""
    return {**theta, FIRST: torch.cat([theta[FIRST][:, :-WIDTH], weights], 1)}


def task(batch, number):
    return batch[0][number], batch[1][number]


@pytest.mark.parametrize("steps", [1, 3])
def test_with_the_identity_for_weights_it_is_maml_on_the_first_layers_bias(steps):
    learner, loss, support, query = regression()
    theta = with_weights(learner.initial, torch.eye(WIDTH, dtype=torch.float64))
    found, slopes = [], []
    for moving in (CONTEXT, BIAS):

        def outer(at, moving=moving):
            return query_losses(loss, at, {moving: 0.3}, support, query, steps).mean()

        found.append(adapt(loss, theta, [task(support, 0)] * steps, [{moving: 0.3}] * steps))
        slopes.append(grad(outer)(theta))
    by_context, by_bias = found
    inputs = query[0][0]
    torch.testing.assert_close(
        learner.model(by_context, inputs), learner.model(by_bias, inputs), rtol=1e-12, atol=1e-12
    )
    assert not torch.allclose(
        learner.model(by_context, inputs), learner.model(theta, inputs), atol=1e-3
    )
    for name in ("hidden1.weight", "hidden1.bias", "last.weight", "last.bias", BIAS):
        torch.testing.assert_close(slopes[0][name], slopes[1][name], rtol=1e-10, atol=1e-13)
    of_inputs = [slope[FIRST][:, :-WIDTH] for slope in slopes]
    torch.testing.assert_close(*of_inputs, rtol=1e-10, atol=1e-13)


def test_the_context_shifts_the_first_bias_by_preconditioned_steps():
    learner, loss, support, query = regression()
    theta, data = learner.initial, task(support, 1)
    weights = of_context(theta)
    shift = torch.zeros(WIDTH, dtype=torch.float64)
    path = dict(theta)
    for _ in range(3):
        path = adapt(loss, path, [data], [{CONTEXT: 0.2}])
        shifted = {**theta, BIAS: theta[BIAS] + shift}
        shift = shift - 0.2 * weights @ weights.T @ grad(loss)(shifted, data)[BIAS]
    torch.testing.assert_close(weights @ path[CONTEXT], shift, rtol=1e-11, atol=1e-14)
    shifted = {**theta, BIAS: theta[BIAS] + shift}
    inputs = query[0][1]
    torch.testing.assert_close(
        learner.model(path, inputs), learner.model(shifted, inputs), rtol=1e-11, atol=1e-13
    )


def test_larger_weights_and_smaller_steps_are_the_same():
    learner, loss, support, query = regression()
    theta, data = learner.initial, task(support, 0)
    larger = with_weights(theta, 3 * of_context(theta))
    one = adapt(loss, theta, [data] * 2, [{CONTEXT: 0.9}] * 2)
    other = adapt(loss, larger, [data] * 2, [{CONTEXT: 0.1}] * 2)
    inputs = query[0][0]
    torch.testing.assert_close(learner.model(one, inputs), learner.model(other, inputs))
    torch.testing.assert_close(one[CONTEXT], 3 * other[CONTEXT])


def test_only_the_context_moves_and_without_weights_nothing_comes_of_it():
    learner, loss, support, query = regression()
    theta, data = learner.initial, task(support, 0)
    adapted = adapt(loss, theta, [data] * 2, [{CONTEXT: 1.0}] * 2)
    for name, value in theta.items():
        assert torch.equal(adapted[name], value) == (name != CONTEXT), name
    assert adapted[CONTEXT].shape == (WIDTH,)

    blind = with_weights(theta, torch.zeros(WIDTH, WIDTH, dtype=torch.float64))
    adapted = adapt(loss, blind, [data] * 2, [{CONTEXT: 1.0}] * 2)
    assert torch.equal(learner.model(adapted, query[0][0]), learner.model(blind, query[0][0]))
    slope = grad(lambda at: query_losses(loss, at, {CONTEXT: 1.0}, support, query, 1).mean())(blind)
    assert not of_context(slope).any()


def test_tasks_side_by_side_adapt_as_each_does_alone():
    learner, loss, support, _ = regression()
    together = vmap(lambda data: adapt(loss, learner.initial, [data], [{CONTEXT: 1.0}])[CONTEXT])(
        support
    )
    for number, context in enumerate(together):
        alone = adapt(loss, learner.initial, [task(support, number)], [{CONTEXT: 1.0}])
        torch.testing.assert_close(context, alone[CONTEXT])


def test_the_meta_gradient_equals_central_differences():
    learner, loss, support, query = regression()
    theta, rate = learner.initial, {CONTEXT: 0.3}

    def outer(vector):
        return query_losses(
            loss, unflatten(vector, theta), rate, support, query, 2, first_order=False
        ).mean()

    at = flatten(theta)
    slope = grad(outer)(at)
    first_order = grad(
        lambda vector: query_losses(
            loss, unflatten(vector, theta), rate, support, query, 2, first_order=True
        ).mean()
    )(at)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        direction = torch.randn(len(at), generator=generator, dtype=torch.float64)
        difference = (outer(at + 1e-6 * direction) - outer(at - 1e-6 * direction)) / 2e-6
        torch.testing.assert_close(slope @ direction, difference, rtol=1e-6, atol=1e-9)
    assert (slope - first_order).norm() > 1e-3 * slope.norm()


def test_the_jacobian_in_products_is_the_dense_one():
    learner, loss, support, _ = regression()
    theta, data, rate = learner.initial, task(support, 0), {CONTEXT: 0.3}
    path = [theta, adapt(loss, theta, [data], [rate])]
    jacobian = linearise(loss, path, [data] * 2, [rate] * 2)

    def adapted(vector):
        return flatten(adapt(loss, unflatten(vector, theta), [data] * 2, [rate] * 2))

    dense = torch.autograd.functional.jacobian(adapted, flatten(theta))
    generator = torch.Generator().manual_seed(1)
    vector = torch.randn(len(dense), generator=generator, dtype=torch.float64)
    torch.testing.assert_close(flatten(jacobian.product(unflatten(vector, theta))), dense @ vector)
    pulled = jacobian.transposed_product(unflatten(vector, theta))
    torch.testing.assert_close(flatten(pulled), dense.T @ vector)


def test_a_supervised_context_is_0_before_every_task_and_the_rest_learns():
    (*_, (state, _)) = train_problem(tiny_supervised("sinusoid-cavia"))
    experiment = build_experiment(tiny_supervised("sinusoid-cavia"))
    learned = unflatten(torch.as_tensor(state.agent.theta), experiment.initial)
    assert not learned[CONTEXT].any()
    for name, value in experiment.initial.items():
        assert torch.equal(learned[name], value) == (name == CONTEXT), name


def test_training_and_evaluation_adapt_the_context_by_alpha():
    config = tiny_supervised("sinusoid-cavia", dtype="float64", iterations=1, record_interval=1)
    config = dataclasses.replace(config, checkpoint_interval=1)
    ((_, record),) = train_problem(config)
    learner = build_experiment(config).learner
    drawn = training_episodes(learner.problem, config.seed, 1, 3, config.shots, config.queries)
    losses = query_losses(
        loss_of(learner.model, "mse"), learner.initial, {CONTEXT: 1.0}, *learner.batches(drawn), 1
    )
    np.testing.assert_allclose(record["post_adaptation_loss"], losses.mean().item(), rtol=1e-12)
    _, rates = parameters_of_state(learner, initial_state(learner), 2)
    assert rates == [{CONTEXT: 1.0}] * 2


def test_mamls_context_is_learned_with_the_rest():
    config = tiny_supervised("sinusoid-cavia", agent="maml", inner_learning_rate=0.1)
    (*_, (state, _)) = train_problem(config)
    learned = unflatten(torch.as_tensor(state.agent.theta), build_experiment(config).initial)
    assert learned[CONTEXT].any()


def test_a_context_scales_and_shifts_the_features_of_convolutions():
    learner, support, query = learner_and_batches(
        preset="characters-5-way-1-shot",
        agent="cavia",
        context_parameters=3,
        hidden_sizes=(4, 4),
        test_tasks=2,
        inner_learning_rate=1.0,
    )
    loss = loss_of(learner.model, "cross-entropy")
    theta, data = learner.initial, task(support, 0)
    adapted = adapt(loss, theta, [data], [{CONTEXT: 1.0}])
    outputs = learner.model(adapted, query[0][0])
    assert not torch.allclose(outputs, learner.model(theta, query[0][0]), atol=1e-4)
    # Before a task is met, it is the network without a context.
    plain = dataclasses.replace(learner.model, context_size=0)
    assert torch.equal(plain(theta, query[0][0]), learner.model(theta, query[0][0]))


# Reinforcement learning


def shard_with_contexts(family, steps, **changes):
    """A shard of three tasks that has met them by CAVIA, with a random θ whose context is 0."""
    preset = {"gaussian": "navigation-2d", "categorical": "bernoulli-bandit"}[family]
    config = tiny_config(
        preset,
        agent="cavia",
        agent_settings={"context_parameters": 4, **changes},
        hidden_sizes=(3,),
        activation="tanh",
        adaptation_steps=steps,
        dtype="float64",
        inner_learning_rate=0.8,
    )
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, config.episodes_per_task, range(3)))
    generator = np.random.default_rng(5)
    theta = {
        name: value + 0.3 * torch.as_tensor(generator.standard_normal(value.shape))
        for name, value in experiment.initial.items()
    }
    theta[CONTEXT] = torch.zeros(4, dtype=torch.float64)
    state = dataclasses.replace(experiment.first_state().agent, theta=to_vector(theta))
    key = (Split.TRAIN, 1)
    tasks = sample_tasks(experiment.environment, config.seed, key, 3)
    meet(shard, state, tasks, key)
    return shard, state.theta


@pytest.mark.parametrize(
    ("family", "steps", "moving"),
    [
        ("gaussian", 1, [CONTEXT]),
        ("gaussian", 2, [CONTEXT, "log_std"]),
        ("categorical", 2, [CONTEXT]),
    ],
)
def test_gradient_and_curvature_equal_dense_ones_and_leave_the_context_out(family, steps, moving):
    shard, theta = shard_with_contexts(family, steps, adapt_std=len(moving) > 1)
    rates = context_rates(shard.config, shard.config.learning_rates)
    contributions = gradient_of_learned(shard, rates, False, 1.0)
    vector, at = leaf(theta), leaf(theta)
    (expected,) = torch.autograd.grad(reference_loss(shard, vector, at, moving), vector)
    place = flatten(
        {name: torch.full_like(v, name == CONTEXT) for name, v in shard.template.items()}
    ).bool()
    assert expected[place].abs().max() > 1e-6  # there would be something to learn
    expected[place] = 0
    found = np.mean([gradient for gradient, _, _ in contributions], axis=0)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-8, atol=1e-12)

    for direction in np.random.default_rng(0).standard_normal((3, len(theta))):
        direction = torch.where(place, 0, torch.as_tensor(direction))
        divergence = reference_kl(shard, vector, at, moving)
        (slope,) = torch.autograd.grad(divergence, vector, create_graph=True)
        (dense,) = torch.autograd.grad(slope @ direction, vector)
        dense[place] = 0
        product = np.mean(curvature_of_learned(shard, direction.numpy()), axis=0)
        np.testing.assert_allclose(product, dense.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("preset", ["navigation-2d", "bernoulli-bandit"])
def test_training_keeps_the_context_at_0_for_any_number_of_workers(preset):
    config = tiny_config(preset, agent="cavia", hidden_sizes=(8,))
    state, records = run(config)
    initial = build_experiment(config).initial
    learned = unflatten(torch.as_tensor(state.agent.theta), initial)
    assert not learned[CONTEXT].any()
    assert any(not torch.equal(learned[name], initial[name]) for name in initial)
    other, other_records = run(config, workers=2)
    assert other.agent.theta.tobytes() == state.agent.theta.tobytes()
    assert without_times(other_records) == without_times(records)


def test_an_evaluation_moves_the_context_alone():
    config = tiny_config(agent="cavia", test_adaptation_steps=2)
    state, _ = run(config)
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, config.episodes_per_task, range(1)))
    (where,) = sample_tasks(experiment.environment, 1, (1, 0), 1)
    path = adapted_parameters(shard, experiment, state.agent, where)
    for before, after in pairwise(path):
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        assert moved == [CONTEXT]


@pytest.mark.parametrize("actions", [gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(3)])
def test_a_policy_without_a_context_acts_alike(actions):
    spec = PolicySpec(gym.spaces.Box(-1, 1, (3,)), actions, (8, 8), "tanh", 0.7, 1e-6)
    policy = dataclasses.replace(spec, context_size=5).build(1).double()
    theta = parameters_of(policy)
    theta[CONTEXT] = torch.linspace(-1, 1, 5, dtype=torch.float64)
    observations = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)
    plain = act(spec.build(1), without_context(theta), observations)
    for part, other in zip(act(policy, theta, observations), plain, strict=True):
        torch.testing.assert_close(part, other)


def test_training_goes_on_from_a_state_alike():
    config = tiny_config(agent="cavia")
    whole, _ = run(config)
    experiment = build_experiment(config)
    with pool(experiment) as workers:
        *_, (half, _) = train(
            build_experiment(dataclasses.replace(config, iterations=2)),
            workers,
            experiment.first_state(),
        )
        *_, (resumed, _) = train(experiment, workers, half)
    assert resumed.agent.theta.tobytes() == whole.agent.theta.tobytes()


@pytest.mark.parametrize(("given", "used"), [((), (0.5, 0.5, 0.5)), ((0.4, 0.2), (0.4, 0.2, 0.2))])
def test_an_evaluation_keeps_the_step_size_unless_it_is_given_others(given, used, monkeypatch):
    config = tiny_config(agent="cavia", inner_learning_rate=0.5, test_learning_rates=given)
    experiment = build_experiment(config)
    seen = []
    monkeypatch.setattr(cavia, "collect_with_rates", lambda *told: seen.append(told[-1]) or [])
    shard, state = Shard(experiment.test_shards()), experiment.first_state().agent
    meet(shard, state, [], (Split.TEST, 0))
    assert [rate[CONTEXT] for rate in seen[0]] == list(used)
    sheet, *_ = experiment.evaluation_sheets()
    assert experiment.learning_rates_at_test(state, sheet.cases[0]) == used
    said = ", then ".join(dict.fromkeys(map(str, used)))
    assert f"3 gradient steps (α {said})" in evaluation_of(config)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: build_experiment(
                tiny_config(agent="cavia", agent_settings={"context_parameters": 0})
            ),
            "context_parameters = 0 leaves nothing to adapt",
        ),
        (
            lambda: tiny_supervised("sinusoid-cavia", context_parameters=0),
            "context_parameters = 0 leaves agent cavia nothing to adapt",
        ),
        (
            lambda: tiny_supervised("sinusoid-cavia", learn_step_sizes=True),
            "learn_step_sizes = True is not for agent cavia",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_a_standard_deviation_that_is_not_there_cannot_be_adapted():
    settings = {"adapt_std": True}
    build_experiment(tiny_config(agent="cavia", agent_settings=settings))
    said = "adapt_std = True: the policy has no standard deviation: its actions are choices"
    for preset in ("bernoulli-bandit", "tabular-mdp"):
        build_experiment(tiny_config(preset, agent="cavia"))
        with pytest.raises(ConfigError, match=said):
            build_experiment(tiny_config(preset, agent="cavia", agent_settings=settings))
