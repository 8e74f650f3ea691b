"""The two pieces of a trust-region step: conjugate gradient and the backtracking line search."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


class CurvatureError(ArithmeticError):
    """The curvature is not positive definite and finite along a search direction."""


@dataclass(frozen=True)
class ConjugateGradient:
    """An approximate solution of A x = b."""

    solution: Float[Tensor, " n"]
    residual: Float[Tensor, " n"]
    """b − A x, as the recursion holds it."""
    iterations: int
    """How many products with A were taken."""


def conjugate_gradient(
    product: Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]],
    target: Float[Tensor, " n"],
    iterations: int,
    tolerance: float = 1e-10,
) -> ConjugateGradient:
    """Solve A x = b for symmetric positive definite A (Hestenes and Stiefel 1952; Schulman 2015).

    Args:
        product: v ↦ A v.
        target: b.
        iterations: the most products to take.
        tolerance: stop when ‖b − A x‖² falls below it.

    Raises:
        CurvatureError: pᵀ A p ≤ 0 or not finite for a search direction p, so A is not positive
            definite.

    """
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = target.clone()
    squared = residual @ residual
    taken = 0
    while taken < iterations and squared >= tolerance:
        image = product(direction)
        curvature = direction @ image
        if not math.isfinite(curvature) or curvature <= 0:
            raise CurvatureError(
                f"curvature {float(curvature):.3g} along conjugate-gradient direction {taken}"
            )
        length = squared / curvature
        solution = solution + length * direction
        residual = residual - length * image
        previous, squared = squared, residual @ residual
        direction = residual + (squared / previous) * direction
        taken += 1
    return ConjugateGradient(solution, residual, taken)


def trust_region_step(
    solved: ConjugateGradient, gradient: Float[Tensor, " n"], max_kl: float
) -> Float[Tensor, " n"]:
    """Scale the natural gradient x = A⁻¹ g to the edge of the trust region.

    The step is s = √(2 δ / xᵀ A x) · x, so that ½ sᵀ A s = δ (Schulman et al. 2015, appendix C);
    A x = g − residual needs no further product.

    Raises:
        CurvatureError: xᵀ A x is not positive and finite.

    """
    curvature = solved.solution @ (gradient - solved.residual)
    if not math.isfinite(curvature) or curvature <= 0:
        raise CurvatureError(f"curvature {float(curvature):.3g} along the step")
    return torch.sqrt(2.0 * max_kl / curvature) * solved.solution


@dataclass(frozen=True)
class LineSearch:
    """What a backtracking line search came to."""

    theta: Float[Tensor, " n"]
    """The accepted parameters; the very tensor given when nothing was accepted."""
    accepted: bool
    steps: int
    """How many candidates were tried."""
    loss: float
    """Of the accepted candidate, or before the step."""
    kl: float
    """Of the accepted candidate, or 0 when nothing was accepted."""


def backtrack(
    evaluate: Callable[[Float[Tensor, " n"]], tuple[float, float]],
    theta: Float[Tensor, " n"],
    step: Float[Tensor, " n"],
    *,
    loss_before: float,
    max_kl: float,
    ratio: float,
    max_steps: int,
) -> LineSearch:
    """Shrink the step until the loss fell and the KL divergence keeps to the trust region.

    Candidate n is θ − ratioⁿ · step, n = 0 … max_steps − 1.

    Args:
        evaluate: candidate ↦ (loss, KL), both through the adaptation of the candidate.
        theta: the parameters before the step.
        step: the full step, to be subtracted.
        loss_before: the loss at `theta`.
        max_kl: δ, the largest KL divergence accepted.
        ratio: by how much each candidate's step is shorter than the one before.
        max_steps: how many candidates to try.

    """
    for exponent in range(max_steps):
        candidate = theta - ratio**exponent * step
        loss, kl = evaluate(candidate)
        # A NaN compares false, so it is refused as well; a loss of −∞ is a breakdown.
        if -math.inf < loss < loss_before and kl <= max_kl:
            return LineSearch(candidate, True, exponent + 1, loss, kl)
    return LineSearch(theta, False, max_steps, loss_before, 0.0)
