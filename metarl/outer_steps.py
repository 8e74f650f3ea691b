"""Outer steps: from what the tasks contribute to new meta-parameters.

They know neither tasks nor policies: contributions come as vectors, one for each task, and are
averaged in float64 and in task order, so that the result does not depend on who computed them.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from metarl.agents import Metrics
from metarl.settings import TrustRegionSettings
from metarl.shards import Vector
from metarl.trust_region import (
    CurvatureError,
    LineSearch,
    backtrack,
    conjugate_gradient,
    trust_region_step,
)

NOT_FINITE = "the loss or its gradient is not finite"


def mean_over_tasks(contributions: Sequence[Vector]) -> torch.Tensor:
    """Average over tasks, in float64 and in task order."""
    return torch.as_tensor(np.mean(np.asarray(contributions, dtype=np.float64), axis=0))


def trust_region_outer_step(
    start: Vector,
    settings: TrustRegionSettings,
    contributions: Sequence[tuple[Vector, float, float]],
    product: Callable[[Vector], Sequence[Vector]],
    evaluate: Callable[[Vector], Sequence[tuple[float, float]]],
) -> tuple[Vector, Metrics]:
    """Take one natural-gradient step within a trust region (Schulman et al. 2015, appendix C).

    Args:
        start: what is learned, before the step.
        settings: of the trust region.
        contributions: of each task the gradient of its loss, its loss and its KL divergence.
        product: v ↦ each task's curvature product.
        evaluate: candidate ↦ each task's loss and KL divergence.

    Returns:
        What is learned after the step (the same bits, if there was none), and the metrics.

    """
    theta = torch.as_tensor(start, dtype=torch.float64)
    gradients, *before = zip(*contributions, strict=True)
    gradient = mean_over_tasks(gradients)
    loss_before, kl_before = (float(np.mean(values)) for values in before)

    def curvature(vector: torch.Tensor) -> torch.Tensor:
        return mean_over_tasks(product(vector.numpy())) + settings.cg_damping * vector

    def mean_outcome(candidate: torch.Tensor) -> tuple[float, float]:
        loss, kl = np.mean(evaluate(candidate.numpy()), axis=0)
        return float(loss), float(kl)

    search, rejection = _search(mean_outcome, curvature, theta, gradient, loss_before, settings)
    metrics = {
        "loss_before": loss_before,
        "loss": search.loss,
        "kl_before": kl_before,
        "kl": search.kl,
        "gradient_norm": float(gradient.norm()),
        "line_search_steps": search.steps,
        "step_accepted": search.accepted,
        "rejection": rejection,
    }
    # A search that failed gives θ back; float32 survives the way to float64 and back.
    return search.theta.numpy().astype(start.dtype), metrics


def _search(
    evaluate: Callable[[torch.Tensor], tuple[float, float]],
    curvature: Callable[[torch.Tensor], torch.Tensor],
    theta: torch.Tensor,
    gradient: torch.Tensor,
    loss_before: float,
    settings: TrustRegionSettings,
) -> tuple[LineSearch, str | None]:
    """Search along the natural gradient; give the outcome and, without a step, the reason."""
    nothing = LineSearch(theta, False, 0, loss_before, 0.0)
    if not np.isfinite([loss_before, float(gradient.norm())]).all():
        return nothing, NOT_FINITE
    try:
        solved = conjugate_gradient(curvature, gradient, settings.cg_iterations)
        step = trust_region_step(solved, gradient, settings.max_kl)
    except CurvatureError as error:
        return nothing, str(error)
    search = backtrack(
        evaluate,
        theta,
        step,
        loss_before=loss_before,
        max_kl=settings.max_kl,
        ratio=settings.line_search_ratio,
        max_steps=settings.line_search_steps,
    )
    if not search.accepted:
        return search, "the line search found no step that lowers the loss within max_kl"
    return search, None


def adam_step(
    start: Vector, gradient: torch.Tensor, memory: Mapping[str, np.ndarray], learning_rate: float
) -> tuple[Vector, dict[str, np.ndarray]]:
    """Take one step of Adam (Kingma and Ba 2015), by torch's own.

    Args:
        start: what is learned, before the step.
        gradient: of the loss.
        memory: what the last step gave; empty before the first.
        learning_rate: Adam's step size.

    Returns:
        What is learned after the step, and what the next step needs to know of this one.

    """
    parameter = torch.tensor(start)
    parameter.grad = gradient.to(parameter.dtype)
    optimiser = torch.optim.Adam([parameter], lr=learning_rate)
    if memory:
        moments = {name: torch.tensor(value) for name, value in memory.items()}
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": {0: moments}, "param_groups": groups})
    optimiser.step()
    after = optimiser.state_dict()["state"][0]
    return parameter.numpy(), {name: value.numpy() for name, value in after.items()}
