"""Stacks of tasks: every task where it must begin, and the same bits in any company."""

import contextlib
from functools import partial

import numpy as np
import pytest
import torch
from building import tiny_config
from torch.func import vmap

from metarl.agent.gradient import collect_with_rates
from metarl.agent.meta_objective import curvature_product, meta_gradient
from metarl.experiments.build import build_experiment
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import hessian_product
from metarl.learning.objectives import act, fisher_product, reinforce_loss
from metarl.learning.policies import CategoricalPolicy, GaussianPolicy, Policy, parameters_of
from metarl.learning.stacking import (
    BLOCK,
    aligned,
    never_alone,
    repeat,
    stack_parameters,
    stack_rows,
    unstack,
    whole_blocks,
)
from metarl.learning.trajectories import Batch
from metarl.tasks.distribution import sample_tasks
from metarl.workers.shards import Shard, ShardSpec, to_vector

TASKS = 5
LINE = 64


def test_each_task_begins_at_a_whole_line_of_memory():
    parameters = [{"w": torch.full((3, 7), float(task))} for task in range(TASKS)]
    stack = stack_parameters(parameters)
    for task, of_task in enumerate(unstack(stack, TASKS)):
        assert of_task["w"].data_ptr() % LINE == 0
        assert torch.equal(of_task["w"], parameters[task]["w"])
    moved = aligned({"w": torch.stack([one["w"] for one in parameters])}, TASKS)
    assert torch.equal(moved["w"], stack["w"])
    assert moved["w"].stride() == stack["w"].stride()
    assert torch.equal(repeat(parameters[2], 3)["w"], torch.full((3, 3, 7), 2.0))


def test_rows_are_filled_up_with_zeros():
    rows = [torch.ones(2, 3), 2 * torch.ones(5, 3)]
    stack = stack_rows(rows, BLOCK)
    assert stack.shape == (2, BLOCK, 3)
    assert torch.equal(stack[1, :5], rows[1])
    assert not stack[0, 2:].any()
    assert [whole_blocks(count) for count in (1, 32, 33)] == [32, 32, 64]
    for count in (BLOCK + 1, 0):
        with pytest.raises(ValueError, match="must be a multiple of 32 and at least 5"):
            stack_rows(rows, count)


def test_a_policy_with_a_stack_of_parameters_gives_each_tasks_distribution():
    for policy in POLICIES.values():
        thetas = [
            {name: value.double() + task for name, value in parameters_of(policy).items()}
            for task in range(3)
        ]
        size = next(m.in_features for m in policy.modules() if isinstance(m, torch.nn.Linear))
        generator = torch.Generator().manual_seed(0)
        observations = torch.randn(3, 4, size, dtype=torch.float64, generator=generator)
        together = act(policy, stack_parameters(thetas), observations)
        for task, theta in enumerate(thetas):
            for part, alone in zip(together, act(policy, theta, observations[task]), strict=True):
                torch.testing.assert_close(part[task], alone)


POLICIES: dict[str, Policy] = {
    "half-cheetah's": GaussianPolicy(17, 6, (100, 100), "relu", 1.0, 1e-6),
    "narrow": GaussianPolicy(5, 3, (36,), "tanh", 1.0, 1e-6),
    "linear": GaussianPolicy(4, 1, (), "tanh", 1.0, 1e-6),
    "discrete": CategoricalPolicy(7, 4, (12, 20), "tanh"),
}


@pytest.mark.parametrize("rows", [BLOCK, 96, 224])
@pytest.mark.parametrize("name", list(POLICIES))
def test_distributions_and_curvature_have_the_same_bits_in_any_company(name, rows):
    policy = POLICIES[name]
    assert not policy.one_task_at_a_time
    inputs = next(iter(parameters_of(policy).values()))
    size = next(m.in_features for m in policy.modules() if isinstance(m, torch.nn.Linear))
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=inputs.dtype)

    def near(theta):
        return {key: value + 0.1 * draw(*value.shape) for key, value in theta.items()}

    thetas = [near(parameters_of(policy)) for _ in range(TASKS)]
    vectors = [near(parameters_of(policy)) for _ in range(TASKS)]
    data = []
    for theta in thetas:
        observations = draw(rows, size)
        noise = draw(rows, 6)[:, : theta["log_std"].numel()] if "log_std" in theta else None
        uniform = torch.rand(rows, generator=generator)
        drawn = uniform if noise is None else noise
        actions = policy.sample(act(policy, theta, observations), drawn)
        data.append(Batch(observations, actions, draw(rows)))

    def results(alone):
        tasks = never_alone(alone)
        stack = stack_parameters([thetas[task] for task in tasks])
        direction = stack_parameters([vectors[task] for task in tasks])
        batch = [
            stack_rows([getattr(data[task], field) for task in tasks], rows)
            for field in ("observations", "actions", "advantages")
        ]
        loss = vmap(lambda theta, *parts: reinforce_loss(policy)(theta, Batch(*parts)))
        hessian = hessian_product(lambda theta, parts: loss(theta, *parts).sum(), stack, batch)
        fisher = fisher_product(
            policy,
            lambda theta: vmap(partial(act, policy))(theta, batch[0]),
            stack,
            torch.full((len(tasks), rows), 1 / rows),
        )
        return [
            *act(policy, stack, batch[0]),
            *hessian(direction).values(),
            *fisher(direction).values(),
        ]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        together = results(range(TASKS))
        for company in ([0], [3], [1, 2], [3, 4], [0, 1, 2], [1, 2, 3, 4]):
            for whole, part in zip(together, results(company), strict=True):
                assert torch.equal(whole[company], part[: len(company)])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("hidden_sizes", [(), (7,), (10,), (12, 20)])
@pytest.mark.parametrize("preset", ["pendulum-rand-params", "half-cheetah-vel", "bernoulli-bandit"])
def test_layers_of_any_width_give_a_task_the_same_bits_in_any_shard(preset, hidden_sizes):
    config = tiny_config(preset, hidden_sizes=hidden_sizes, adaptation_steps=2)
    experiment = build_experiment(config)
    theta = to_vector(experiment.initial)
    key = (Split.TRAIN, 1)
    tasks = sample_tasks(experiment.environment, config.seed, key, 3)

    def results(shards):
        found = []
        for indices in shards:
            spec = ShardSpec(config, experiment.policy, config.episodes_per_task, indices)
            with contextlib.closing(Shard(spec)) as shard:
                collect_with_rates(shard, theta, tasks, key, config.learning_rates)
                gradients = meta_gradient(shard, config.learning_rates, False, 1.0)
                products = curvature_product(shard, np.linspace(-1, 1, len(theta)))
                for (vector, *_), product in zip(gradients, products, strict=True):
                    found.append((vector.tobytes(), product.tobytes()))
        return found

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        together = results([range(3)])
        assert results([range(2), range(2, 3)]) == together
        assert results([range(1), range(1, 2), range(2, 3)]) == together
    finally:
        torch.set_num_threads(threads)
