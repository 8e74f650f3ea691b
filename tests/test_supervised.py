"""The supervised learner: meta-gradients against dense references, and one core for all fields."""

import dataclasses
import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from building import run as run_reinforcement
from building import tiny_config, without_times
from supervised import learner_and_batches, learner_of, tiny_supervised, train_problem
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from metarl.agent.gradient import STEP_SIZES
from metarl.experiments.problem_learner import (
    OuterOptimiser,
    initial_state,
    loss_of,
    parameters_of_state,
    query_losses,
)
from metarl.foundation.errors import TaskError
from metarl.learning import adaptation
from metarl.learning.adaptation import flatten, unflatten
from metarl.learning.networks import Network


def plain_loss(vector, template, convolutional, batch, kind):
    """The loss of one task written out, without the library's networks."""
    p, (x, y) = unflatten(vector, template), batch
    if not convolutional:
        x = x.reshape(len(x), -1)
    depth = sum(name.endswith("weight") for name in p) - 1
    for number in range(depth):
        weight = p[f"hidden{number}.weight"]
        if convolutional:
            padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
            rows = [
                [
                    torch.einsum("ncij,ocij->no", padded[:, :, i : i + 3, j : j + 3], weight)
                    for j in range(0, x.shape[3], 2)
                ]
                for i in range(0, x.shape[2], 2)
            ]
            x = torch.stack([torch.stack(row, -1) for row in rows], -2)
        else:
            x = x @ weight.T
        if f"hidden{number}.bias" in p:
            bias = p[f"hidden{number}.bias"]
            x = x + (bias[:, None, None] if convolutional else bias)
        if f"hidden{number}.scale" in p:
            features = x.movedim(1, -1)
            over = tuple(range(features.ndim - 1))
            mean, variance = features.mean(over), features.var(over, unbiased=False)
            features = (features - mean) / torch.sqrt(variance + 1e-5)
            features = features * p[f"hidden{number}.scale"] + p[f"hidden{number}.shift"]
            x = features.movedim(-1, 1)
        x = x.clamp(min=0)
    if convolutional:
        x = x.flatten(2).mean(2)
    outputs = x @ p["last.weight"].T + p["last.bias"]
    if kind == "mse":
        return ((outputs - y) ** 2).mean()
    return -torch.log_softmax(outputs, 1)[range(len(y)), y].mean()


def dense_meta_gradient(learner, support, query, steps, rate, first_order):
    """The mean over tasks of (∂θ'/∂θ)ᵀ ∇L(θ'; query), with dense Jacobians I − αH per step."""
    template, kind = learner.initial, learner.problem.loss
    theta = flatten(template)
    conv = learner.model.convolutional
    rates = rate if isinstance(rate, torch.Tensor) else torch.full_like(theta, rate)
    total, total_rate = torch.zeros_like(theta), torch.zeros_like(theta)
    for task in range(len(support[0])):
        own = tuple(part[task] for part in support)

        def loss(vector, own=own):
            return plain_loss(vector, template, conv, own, kind)

        at, factors, slopes = theta, [], []
        for _ in range(steps):
            slope = torch.autograd.functional.jacobian(loss, at)
            hessian = torch.autograd.functional.hessian(loss, at)
            slopes.append(slope)
            factors.append(
                torch.eye(len(theta), dtype=theta.dtype)
                - (0 if first_order else 1) * rates[:, None] * hessian
            )
            at = at - rates * slope
        of_task = tuple(part[task] for part in query)
        outer = torch.autograd.functional.jacobian(
            lambda v, q=of_task: plain_loss(v, template, conv, q, kind), at
        )
        for factor, slope in zip(reversed(factors), reversed(slopes), strict=True):
            total_rate -= slope * outer
            outer = factor.T @ outer
        total += outer
    return total / len(support[0]), total_rate / len(support[0])


CASES = {
    "sinusoid": {"hidden_sizes": (4, 3)},
    "fully connected, normalised": {"hidden_sizes": (4,), "batch_norm": True},
}


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_meta_gradient_equals_the_dense_one(case, learned, steps, first_order):
    learner, support, query = learner_and_batches(learn_step_sizes=learned, **CASES[case])
    loss = loss_of(learner.model, "mse")
    generator = torch.Generator().manual_seed(0)
    theta = flatten(learner.initial).requires_grad_()
    rate = 0.02 * (1 + torch.rand(len(theta), generator=generator, dtype=theta.dtype))
    alpha = rate.clone().requires_grad_()
    losses = query_losses(
        loss,
        unflatten(theta, learner.initial),
        unflatten(alpha, learner.initial) if learned else 0.03,
        support,
        query,
        steps,
        first_order=first_order,
    )
    wanted, wanted_rate = dense_meta_gradient(
        learner, support, query, steps, rate if learned else 0.03, first_order
    )
    found, found_rate = torch.autograd.grad(losses.mean(), [theta, alpha], allow_unused=True)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-11)
    if learned:
        torch.testing.assert_close(found_rate, wanted_rate, rtol=1e-8, atol=1e-11)


def image_batches(tasks, ways, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (tasks, 2 * ways, 1, size, size)
    targets = torch.arange(2 * ways).remainder(ways).expand(tasks, -1)
    return [
        (torch.rand(shape, generator=generator, dtype=torch.float64), targets) for _ in range(2)
    ]


@pytest.mark.parametrize("convolutional", [True, False])
def test_the_meta_gradient_of_a_classification_equals_the_dense_one(convolutional):
    network = Network(convolutional, (1, 5, 5), 3, (3, 2), True)
    initial = {name: value.double() for name, value in network.initial(1).items()}
    problem = SimpleNamespace(loss="cross-entropy")
    learner = SimpleNamespace(model=network, initial=initial, problem=problem)
    support, query = image_batches(2, 3, 5)
    theta = flatten(initial).requires_grad_()
    losses = query_losses(
        loss_of(network, "cross-entropy"), unflatten(theta, initial), 0.4, support, query, 2
    )
    wanted, _ = dense_meta_gradient(learner, support, query, 2, 0.4, False)
    (found,) = torch.autograd.grad(losses.mean(), theta)
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-10)


def test_the_meta_gradient_equals_a_finite_difference():
    learner, support, query = learner_and_batches(hidden_sizes=(4, 3))
    loss = loss_of(learner.model, "mse")
    theta = flatten(learner.initial)
    direction = torch.randn(len(theta), generator=torch.Generator().manual_seed(1)).double()

    def mean_loss(vector):
        at = unflatten(vector, learner.initial)
        return query_losses(loss, at, 0.02, support, query, 2).mean()

    difference = (mean_loss(theta + 1e-6 * direction) - mean_loss(theta - 1e-6 * direction)) / 2e-6
    leaf = theta.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mean_loss(leaf), leaf)
    torch.testing.assert_close(gradient @ direction, difference, rtol=1e-6, atol=1e-8)


def test_both_learners_take_their_inner_steps_by_the_same_code(monkeypatch):
    from metarl.agent import gradient, meta_objective
    from metarl.experiments import problem_learner

    assert problem_learner.adapt is meta_objective.adapt is adaptation.adapt
    assert gradient.inner_step is adaptation.inner_step
    calls = []
    descend = adaptation._descend
    monkeypatch.setattr(
        adaptation, "_descend", lambda *given: (calls.append(1), descend(*given))[1]
    )
    run_reinforcement(tiny_config(iterations=1))
    of_reinforcement = len(calls)
    train_problem(tiny_supervised(iterations=2))
    assert 0 < of_reinforcement < len(calls)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that live at once."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self._known = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._known:
                    self._known.add(storage._cdata)
                    self.live += storage.nbytes()
                    self.peak = max(self.peak, self.live)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, key, size):
        self._known.discard(key)
        self.live -= size


def test_memory_grows_no_faster_than_linearly_with_the_inner_steps():
    learner, support, query = learner_and_batches(hidden_sizes=(40, 40), shots=20)
    loss = loss_of(learner.model, "mse")

    def peak(steps):
        theta = flatten(learner.initial).requires_grad_()
        gc.collect()
        with LiveBytes() as counted:
            value = query_losses(
                loss, unflatten(theta, learner.initial), 0.01, support, query, steps
            ).mean()
            torch.autograd.grad(value, theta)
        return counted.peak

    two, four, eight = peak(2), peak(4), peak(8)
    assert four > 1.2 * two  # it does see the steps' graphs
    assert eight - four <= 1.05 * 2 * (four - two)


@pytest.mark.parametrize("learned", [False, True])
def test_the_outer_step_is_adams_on_the_clipped_gradient(learned):
    learner = learner_of(tiny_supervised(max_gradient_norm=0.5, learn_step_sizes=learned))
    outer = OuterOptimiser(learner, initial_state(learner))
    reference = torch.cat(
        [
            flatten(learner.initial),
            torch.full((learned * 16,), learner.config.inner_learning_rate),
        ]
    ).requires_grad_()
    adam = torch.optim.Adam([reference], lr=learner.config.outer_learning_rate)
    for scale in (1e-3, 10.0, 1.0):  # shorter than the limit, and longer
        theta, rate = outer.parameters()
        parts = [flatten(theta), *([flatten(rate)] if learned else [])]
        norm = outer.step(scale * sum((part**2).sum() for part in parts), 1)
        gradient = 2 * scale * reference.detach()
        assert norm == pytest.approx(float(gradient.norm()), rel=1e-5)
        reference.grad = gradient * min(1.0, 0.5 / float(gradient.norm()))
        adam.step()
    state = outer.state()
    np.testing.assert_allclose(state.theta, reference.detach()[: len(state.theta)], rtol=1e-5)
    assert (STEP_SIZES in state.others) == learned


@pytest.mark.parametrize("changes", [{}, {"learn_step_sizes": True}, {"agent": "pretrained"}])
def test_going_on_from_a_state_gives_the_same_bits(changes):
    config = tiny_supervised(iterations=8, **changes)
    whole = train_problem(config)
    rest = train_problem(config, whole[1][0])
    assert without_times([record for _, record in whole[2:]]) == without_times(
        [record for _, record in rest]
    )
    for one, other in zip(whole[2:], rest, strict=True):
        assert np.array_equal(one[0].agent.theta, other[0].agent.theta)


def test_a_loss_that_is_not_finite_ends_training_with_its_iteration():
    with pytest.raises(TaskError, match=r"the loss of iteration \d is"):
        train_problem(tiny_supervised(inner_learning_rate=1e30))


def test_a_few_iterations_learn_to_adapt():
    config = tiny_supervised(
        tasks_per_batch=10,
        hidden_sizes=(20, 20),
        inner_learning_rate=0.01,
        outer_learning_rate=5e-3,
        iterations=150,
        record_interval=50,
        checkpoint_interval=50,
    )
    records = [record for _, record in train_problem(config)]
    assert records[-1]["post_adaptation_loss"] < records[0]["post_adaptation_loss"]
    assert records[-1]["post_adaptation_loss"] < records[-1]["pre_adaptation_loss"]


@pytest.mark.parametrize(("iteration", "size"), [(3, 1e-3), (4, 1e-4)])
def test_adams_step_size_drops_after_its_iteration(iteration, size):
    """The first step of Adam has the step size's length in every element."""
    learner = learner_of(tiny_supervised(drop_after=3, outer_learning_rate=1e-3))
    first = initial_state(learner)
    outer = OuterOptimiser(learner, first)
    outer.step((flatten(outer.parameters()[0]) * 5).sum(), iteration)
    np.testing.assert_allclose(first.theta - outer.state().theta, size, rtol=1e-2)


def test_a_learned_step_size_is_tested_in_the_proportions_of_the_numbers():
    config = tiny_supervised(learn_step_sizes=True, test_learning_rates=(0.01, 0.005))
    learner = learner_of(dataclasses.replace(config, inner_learning_rate=0.01))
    state = initial_state(learner)
    learned = np.arange(1, 1 + len(state.theta), dtype=np.float32)
    state = dataclasses.replace(state, others={STEP_SIZES: learned})
    _, rates = parameters_of_state(learner, state, 3)
    found = [flatten(rate).numpy() for rate in rates]
    np.testing.assert_allclose(found, [learned, learned / 2, learned / 2], rtol=1e-6)
