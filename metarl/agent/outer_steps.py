"""Outer steps: from what the tasks contribute to new meta-parameters.

They know neither tasks nor policies: contributions come as vectors, one for each task, and are
averaged in float64 and in task order, so that the result does not depend on who computed them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from metarl.agent.protocol import Metrics
from metarl.agent.rejections import NO_STEP, NOT_FINITE, NOTHING_TO_LEARN
from metarl.config.settings import TrustRegionSettings
from metarl.foundation.errors import RunFolderError
from metarl.learning.adam import Adam
from metarl.learning.trust_region import (
    ConjugateGradient,
    CurvatureError,
    LineSearch,
    backtrack,
    conjugate_gradient,
    trust_region_step,
)
from metarl.workers.shards import Vector

_MOMENTS = ("exp_avg", "exp_avg_sq")
_ADAM = {"step", *_MOMENTS}


def mean_over_tasks(contributions: Sequence[Any]) -> torch.Tensor:
    """Average what each task gave (a vector or a number), in float64 and in task order."""
    with np.errstate(invalid="ignore", over="ignore"):  # whoever uses the mean looks at it
        return torch.as_tensor(np.mean(np.asarray(contributions, dtype=np.float64), axis=0))


def trust_region_outer_step(
    start: Vector,
    settings: TrustRegionSettings,
    contributions: Sequence[tuple[Vector, float, float]],
    product: Callable[[Vector], Sequence[Vector]],
    evaluate: Callable[[Vector], Sequence[tuple[float, float]]],
    solve: Callable[..., ConjugateGradient] = conjugate_gradient,
) -> tuple[Vector, Metrics]:
    """Take one natural-gradient step within a trust region (Schulman et al. 2015, appendix C).

    Args:
        start: what is learned, before the step.
        settings: of the trust region.
        contributions: of each task the gradient of its loss, its loss and its KL divergence.
        product: v ↦ each task's curvature product.
        evaluate: candidate ↦ each task's loss and KL divergence.
        solve: gives the natural gradient, as `metarl.learning.trust_region.conjugate_gradient`
        does.

    Returns:
        What is learned after the step (the same bits, if there was none), and the metrics.

    """
    theta = torch.as_tensor(start, dtype=torch.float64)
    gradients, *before = zip(*contributions, strict=True)
    gradient = mean_over_tasks(gradients)
    loss_before, kl_before = (mean_over_tasks(values).item() for values in before)

    def curvature(vector: torch.Tensor) -> torch.Tensor:
        return mean_over_tasks(product(vector.numpy())) + settings.cg_damping * vector

    def mean_outcome(candidate: torch.Tensor) -> tuple[float, float]:
        loss, kl = mean_over_tasks(evaluate(candidate.numpy())).tolist()
        return loss, kl

    if not np.isfinite([loss_before, kl_before, float(gradient.norm())]).all():
        search = LineSearch(theta, False, 0, loss_before, 0.0)
        rejection: str | None = NOT_FINITE
    else:
        search, rejection = _search(
            mean_outcome, curvature, theta, gradient, loss_before, settings, solve
        )
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
    solve: Callable[..., ConjugateGradient],
) -> tuple[LineSearch, str | None]:
    """Search along the natural gradient; give the outcome and, without a step, the reason."""
    nothing = LineSearch(theta, False, 0, loss_before, 0.0)
    if not gradient.any():
        return nothing, NOTHING_TO_LEARN
    try:
        solved = solve(curvature, gradient, settings.cg_iterations)
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
        return search, NO_STEP
    return search, None


def adam_step(
    start: Vector, gradient: torch.Tensor, memory: Mapping[str, np.ndarray], learning_rate: float
) -> tuple[Vector, dict[str, np.ndarray]]:
    """Take one step of Adam (Kingma and Ba 2015), with the bits of torch's own.

    Args:
        start: what is learned, before the step.
        gradient: of the loss.
        memory: what the last step gave; empty before the first.
        learning_rate: Adam's step size.

    Returns:
        What is learned after the step, and what the next step needs to know of this one.

    Raises:
        RunFolderError: the memory, which a checkpoint gave, is not one of Adam's for `start`.

    """
    if memory and (
        set(memory) != _ADAM or any(memory[name].shape != start.shape for name in _MOMENTS)
    ):
        raise RunFolderError(
            f"the checkpoint's optimiser remembers {', '.join(sorted(memory))}, which is no "
            "memory of Adam's for this policy"
        )
    parameter = torch.tensor(start)
    optimiser = Adam([parameter], learning_rate)
    if memory:
        optimiser.steps = int(memory["step"])
        for name, (moment,) in optimiser.moments.items():
            moment.copy_(torch.from_numpy(memory[name]))
    scales = torch.tensor(optimiser.next_scales(), dtype=parameter.dtype)
    optimiser.descend([gradient.to(parameter.dtype)], scales)
    after = {"step": np.array(optimiser.steps, np.float32)}
    after |= {name: moment.numpy() for name, (moment,) in optimiser.moments.items()}
    return parameter.numpy(), after


def is_finite(learned: Vector, memory: Mapping[str, np.ndarray]) -> bool:
    """Say whether what a step made, and what it remembers, are numbers to go on from."""
    return all(bool(np.isfinite(array).all()) for array in (learned, *memory.values()))
