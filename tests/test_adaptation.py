"""The inner loop and its Jacobian, against dense autograd and finite differences."""

import pytest
import torch
from torch.func import jacrev, vmap

from metarl.learning.adaptation import (
    adapt,
    adaptation_path,
    flatten,
    inner_step,
    linearise,
    linearise_with_rate,
    paired,
    unflatten,
)


def loss(theta, batch):
    """A loss with curvature and cross terms between parameters."""
    inputs, targets = batch
    hidden = torch.tanh(inputs @ theta["weight"])
    return ((hidden @ theta["out"] + theta["bias"] - targets) ** 2).mean()


def problem(steps, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    theta = {"weight": draw(2, 3), "out": draw(3), "bias": draw()}
    supports = [(draw(6, 2), draw(6)) for _ in range(steps)]
    return theta, supports, draw


def rates(kind, theta, steps):
    if kind == "number":
        return [0.1 * (step + 1) for step in range(steps)]
    return [
        {name: 0.05 + 0.1 * torch.rand_like(value) for name, value in theta.items()}
        for _ in range(steps)
    ]


def dense_jacobian(theta, supports, learning_rates):
    """∂θ'/∂θ by autograd through plain gradient descent, written without the library."""

    def adapted(vector):
        parameters = unflatten(vector, theta)
        for support, rate in zip(supports, learning_rates, strict=True):
            gradients = torch.autograd.grad(
                loss(parameters, support), list(parameters.values()), create_graph=True
            )
            parameters = {
                name: value - (rate if isinstance(rate, float) else rate[name]) * gradient
                for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
            }
        return flatten(parameters)

    vector = flatten(theta).requires_grad_()
    return torch.autograd.functional.jacobian(adapted, vector), adapted(vector).detach()


def test_pairing_outputs_with_cotangents_has_the_bits_of_autograds_own():
    theta, supports, draw = problem(1)
    leaves = {name: value.requires_grad_() for name, value in theta.items()}
    first = torch.tanh(supports[0][0] @ leaves["weight"])
    outputs = [first, first @ leaves["out"] + leaves["bias"]]  # the second comes from the first
    cotangents = [draw(*output.shape).requires_grad_() for output in outputs]
    parameters = tuple(leaves.values())
    own = torch.autograd.grad(outputs, parameters, cotangents, create_graph=True)
    ours = torch.autograd.grad(paired(outputs, cotangents), parameters, create_graph=True)
    assert all(map(torch.equal, ours, own))
    # The gradient is linear in the cotangents, and can be differentiated by them.
    for each, other in zip(ours, own, strict=True):
        direction = draw(*each.shape)
        pairs = [
            torch.autograd.grad(one, cotangents, direction, retain_graph=True, allow_unused=True)
            for one in (each, other)
        ]
        for mine, theirs in zip(*pairs, strict=True):
            assert (mine is None and theirs is None) or torch.equal(mine, theirs)


@pytest.mark.parametrize("kind", ["number", "learned"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_products_with_the_jacobian_equal_the_dense_one(steps, kind):
    theta, supports, draw = problem(steps)
    learning_rates = rates(kind, theta, steps)
    jacobian, adapted = dense_jacobian(theta, supports, learning_rates)
    path = adaptation_path(loss, theta, supports, learning_rates)
    torch.testing.assert_close(flatten(path[-1]), adapted)
    linear = linearise(loss, path, supports, learning_rates)
    vector = draw(jacobian.shape[0])
    direction = unflatten(vector, theta)
    for _ in range(2):  # the graph serves repeated products
        torch.testing.assert_close(flatten(linear.product(direction)), jacobian @ vector)
        torch.testing.assert_close(
            flatten(linear.transposed_product(direction)), jacobian.T @ vector
        )


@pytest.mark.parametrize("steps", [1, 3])
def test_the_jacobian_product_equals_a_finite_difference(steps):
    theta, supports, draw = problem(steps, seed=1)
    learning_rates = rates("number", theta, steps)
    vector = draw(flatten(theta).numel())

    def moved(size):
        at = unflatten(flatten(theta) + size * vector, theta)
        return flatten(adapt(loss, at, supports, learning_rates))

    difference = (moved(1e-5) - moved(-1e-5)) / 2e-5
    path = adaptation_path(loss, theta, supports, learning_rates)
    linear = linearise(loss, path, supports, learning_rates)
    product = flatten(linear.product(unflatten(vector, theta)))
    torch.testing.assert_close(product, difference, rtol=1e-6, atol=1e-7)


def test_first_order_leaves_out_exactly_the_hessian_term():
    theta, supports, draw = problem(1, seed=2)
    second = linearise(loss, [theta], supports, [0.3])
    first = linearise(loss, [theta], supports, [0.3], first_order=True)
    vector = draw(flatten(theta).numel())
    hessian = torch.autograd.functional.hessian(
        lambda at: loss(unflatten(at, theta), supports[0]), flatten(theta)
    )
    direction = unflatten(vector, theta)
    assert torch.equal(flatten(first.transposed_product(direction)), vector)
    dropped = flatten(second.transposed_product(direction)) - flatten(
        first.transposed_product(direction)
    )
    torch.testing.assert_close(dropped, -0.3 * hessian @ vector)


def test_adaptation_by_hand_on_a_parabola():
    # L = (θ − 3)²: θ' = θ − 2α(θ − 3); J = 1 − 2α.
    def parabola(theta, centre):
        return (theta["x"] - centre) ** 2

    theta, centre = {"x": torch.tensor(1.0)}, torch.tensor(3.0)
    path = adaptation_path(parabola, theta, [centre, centre], [0.25, 0.25])
    assert [float(parameters["x"]) for parameters in path] == [1.0, 2.0, 2.5]
    linear = linearise(parabola, path, [centre, centre], [0.25, 0.25])
    assert float(linear.product({"x": torch.tensor(1.0)})["x"]) == 0.25
    assert float(adapt(parabola, theta, [centre, centre], [0.25, 0.25])["x"]) == 2.5


def test_autograd_goes_through_adapt_in_theta_and_in_the_learning_rate():
    theta, supports, _ = problem(2, seed=3)
    learning_rates = rates("number", theta, 2)
    jacobian, _ = dense_jacobian(theta, supports, learning_rates)
    through = jacrev(
        lambda vector: flatten(adapt(loss, unflatten(vector, theta), supports, learning_rates))
    )(flatten(theta))
    torch.testing.assert_close(through, jacobian)

    def step(size):
        rate = {name: size * torch.ones_like(value) for name, value in theta.items()}
        return flatten(inner_step(loss, theta, supports[0], rate))

    by_rate = jacrev(step)(torch.tensor(0.1, dtype=torch.float64))
    torch.testing.assert_close(by_rate, (step(0.2) - step(0.1)) / 0.1)


def test_tasks_in_a_batch_adapt_as_each_alone():
    theta, supports, _ = problem(3, seed=4)
    batch = tuple(torch.stack(parts) for parts in zip(*supports, strict=True))
    together = vmap(lambda support: inner_step(loss, theta, support, 0.1))(batch)
    for index, support in enumerate(supports):
        alone = inner_step(loss, theta, support, 0.1)
        for name in theta:
            torch.testing.assert_close(together[name][index], alone[name])


def test_a_learning_rate_for_each_step_is_asked_for():
    theta, supports, _ = problem(2)
    for function, start in ((adapt, theta), (linearise, [theta, theta])):
        with pytest.raises(ValueError, match="zip"):
            function(loss, start, supports, [0.1])


def test_a_sample_of_the_support_data_gives_the_jacobian_of_the_step_on_the_sample():
    theta, (support, sample), draw = problem(2, seed=5)
    hessian = torch.autograd.functional.hessian(
        lambda at: loss(unflatten(at, theta), sample), flatten(theta)
    )
    path = adaptation_path(loss, theta, [support], [0.3])
    vector = draw(hessian.shape[0])
    product = linearise(loss, path, [sample], [0.3]).product(unflatten(vector, theta))
    torch.testing.assert_close(flatten(product), vector - 0.3 * hessian @ vector)


def test_flatten_and_unflatten_are_inverse():
    theta, _, _ = problem(0)
    again = unflatten(flatten(theta), theta)
    assert list(again) == list(theta)
    assert all(torch.equal(again[name], theta[name]) for name in theta)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_products_with_the_jacobian_by_a_learned_rate_equal_the_dense_one(steps, first_order):
    theta, supports, draw = problem(steps)
    (rate,) = rates("learned", theta, 1)

    def adapted(vector, alpha):
        parameters, alpha = unflatten(vector, theta), unflatten(alpha, theta)
        for support in supports:
            gradients = torch.autograd.grad(
                loss(parameters, support), list(parameters.values()), create_graph=True
            )
            if first_order:  # the gradient is taken for a constant
                gradients = [gradient.detach() for gradient in gradients]
            parameters = {
                name: value - alpha[name] * gradient
                for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
            }
        return flatten(parameters)

    at = flatten(theta).requires_grad_(), flatten(rate).requires_grad_()
    by_theta, by_rate = torch.autograd.functional.jacobian(adapted, at)
    path = adaptation_path(loss, theta, supports, [rate] * steps)[:-1]
    linear = linearise_with_rate(loss, path, supports, rate, first_order=first_order)
    v, w = draw(len(at[0])), draw(len(at[0]))
    moved = linear.product(unflatten(v, theta), unflatten(w, theta))
    torch.testing.assert_close(flatten(moved), by_theta @ v + by_rate @ w)
    pulled = linear.transposed_product(unflatten(v, theta))
    torch.testing.assert_close(flatten(pulled[0]), by_theta.T @ v)
    torch.testing.assert_close(flatten(pulled[1]), by_rate.T @ v)
