"""Conjugate gradient and the line search."""

import math

import pytest
import torch

from metarl.learning.trust_region import (
    CurvatureError,
    backtrack,
    conjugate_gradient,
    trust_region_step,
)


def positive_definite(size, seed):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    target = torch.randn(size, generator=generator, dtype=torch.float64)
    return root @ root.T + 0.1 * torch.eye(size, dtype=torch.float64), target


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 3, 12])
def test_conjugate_gradient_solves_a_positive_definite_system_in_size_steps(size, seed):
    matrix, target = positive_definite(size, seed)
    solved = conjugate_gradient(matrix.mv, target, iterations=3 * size, tolerance=1e-20)
    torch.testing.assert_close(
        solved.solution, torch.linalg.solve(matrix, target), rtol=1e-6, atol=1e-8
    )


def test_each_step_lowers_the_error_in_the_norm_of_the_matrix():
    matrix, target = positive_definite(12, 7)
    exact = torch.linalg.solve(matrix, target)
    errors = []
    for iterations in range(8):
        error = conjugate_gradient(matrix.mv, target, iterations).solution - exact
        errors.append(float(error @ matrix @ error))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]


def test_the_residual_is_the_targets_distance_from_the_image():
    matrix, target = positive_definite(12, 8)
    solved = conjugate_gradient(matrix.mv, target, iterations=4)
    torch.testing.assert_close(solved.residual, target - matrix @ solved.solution)
    assert solved.iterations == 4


def test_an_indefinite_matrix_is_refused():
    matrix = torch.diag(torch.tensor([1.0, -2.0], dtype=torch.float64))
    with pytest.raises(CurvatureError, match="curvature"):
        conjugate_gradient(matrix.mv, torch.tensor([1.0, 1.0], dtype=torch.float64), 2)


def test_a_curvature_that_is_not_finite_is_refused():
    with pytest.raises(CurvatureError):
        conjugate_gradient(lambda v: v * math.nan, torch.ones(3, dtype=torch.float64), 2)


def test_a_gradient_of_zero_needs_no_product_and_gives_no_step():
    def never(vector):
        raise AssertionError("no product is needed")

    zero = torch.zeros(3, dtype=torch.float64)
    solved = conjugate_gradient(never, zero, 10)
    assert not solved.solution.any()
    with pytest.raises(CurvatureError):
        trust_region_step(solved, zero, 0.01)


def test_the_step_lies_on_the_edge_of_the_quadratic_trust_region():
    matrix, target = positive_definite(6, 9)
    for iterations in (3, 6):  # inexact and exact
        step = trust_region_step(conjugate_gradient(matrix.mv, target, iterations), target, 0.02)
        assert float(0.5 * step @ matrix @ step) == pytest.approx(0.02, rel=1e-6)


def search(evaluate, **changes):
    options = {"loss_before": 0.0, "max_kl": 0.01, "ratio": 0.5, "max_steps": 4, **changes}
    theta = torch.tensor([1.0, 2.0], dtype=torch.float64)
    step = torch.tensor([0.4, -0.8], dtype=torch.float64)
    return theta, backtrack(evaluate, theta, step, **options)


def test_the_first_candidate_that_lowers_the_loss_within_the_region_is_taken():
    outcomes = iter([(-1.0, 0.02), (0.1, 0.001), (-0.5, 0.01), (-9.0, 0.0)])
    candidates = []

    def evaluate(candidate):
        candidates.append(candidate)
        return next(outcomes)

    theta, result = search(evaluate)
    assert result.accepted
    assert (result.steps, result.loss, result.kl) == (3, -0.5, 0.01)
    assert torch.equal(result.theta, candidates[2])
    torch.testing.assert_close(result.theta, theta - 0.25 * torch.tensor([0.4, -0.8]).double())


@pytest.mark.parametrize(
    "outcome", [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.02), (math.nan, 0.0), (-1.0, math.nan)]
)
def test_a_search_that_fails_gives_back_the_very_parameters(outcome):
    theta, result = search(lambda candidate: outcome)
    assert not result.accepted
    assert result.theta is theta
    assert result.steps == 4
    assert (result.loss, result.kl) == (0.0, 0.0)
