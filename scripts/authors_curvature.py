"""MAML-TRPO with the curvature as Finn et al.'s code has it: an agent to compare with, not to use.

Their code (maml_rl, 2017) multiplies with the curvature by finite differences of the gradient of
the KL divergence, displaced by v / |θ|, because a count of slices is passed where the displacement
of 1e-5 belongs. Where v is long against θ's trust region, this is no product with a matrix.

    PYTHONPATH=scripts metarl train half-cheetah-dir-finn2017 --agent authors_curvature:SPEC
"""

from collections.abc import Callable

import torch

from metarl.adaptation import adapt, as_leaves
from metarl.agents import AgentState, Metrics
from metarl.config import Config
from metarl.meta_objective import meta_gradient, outer_loss, surrogate
from metarl.objectives import reinforce_loss
from metarl.outer_steps import mean_over_tasks
from metarl.plugins import AgentSpec
from metarl.settings import TrustRegionSettings
from metarl.shards import Rate, Shard, Vector, Workers, to_vector
from metarl.trust_region import ConjugateGradient, CurvatureError, backtrack, trust_region_step

ITERATIONS = 10
DTYPE = "float32"
"""Of θ, as it travels."""


def kl_gradient(shard: Shard, theta: Vector, rates: list[Rate]) -> list[Vector]:
    """Give each task's gradient of the KL divergence at θ, through the adaptation of θ."""
    gradients = []
    for data in shard.experience:
        at = as_leaves(shard.parameters(theta))
        adapted = adapt(reinforce_loss(shard.policy), at, data.supports, rates)
        _, kl = outer_loss(shard, data, adapted)
        found = torch.autograd.grad(kl, tuple(at.values()), materialize_grads=True)
        gradients.append(to_vector(dict(zip(at, found, strict=True))))
    return gradients


def finite_differences(
    workers: Workers, theta: torch.Tensor, rates: list[Rate]
) -> Callable[[Vector], list[Vector]]:
    """Give v ↦ each task's difference of gradients at θ ± v / |θ|, over twice 1 / |θ|."""
    reach = 1.0 / (float(theta.norm()) + 1e-8)

    def product(vector: Vector) -> list[Vector]:
        ahead, behind = (
            workers.map(kl_gradient, (theta.numpy() + sign * reach * vector).astype(DTYPE), rates)
            for sign in (1, -1)
        )
        return [(one - other) / (2 * reach) for one, other in zip(ahead, behind, strict=True)]

    return product


def conjugate_gradient_of_authors(
    product: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor
) -> ConjugateGradient:
    """Solve with ten iterations and 1e-8 in the denominators; the product need not be linear."""
    solution, residual, direction = torch.zeros_like(target), target.clone(), target.clone()
    squared = residual @ residual
    for _ in range(ITERATIONS):
        image = product(direction)
        length = squared / (direction @ image + 1e-8)
        solution, residual = solution + length * direction, residual - length * image
        previous, squared = squared, residual @ residual
        direction = residual + squared / (previous + 1e-8) * direction
    # The scale of the step comes from a product of its own; the residual makes it so.
    return ConjugateGradient(solution, target - product(solution), ITERATIONS)


class AuthorsMamlTrpo:
    """The outer step of their code; of the settings it takes δ, the damping and the line search."""

    def __init__(self, settings: TrustRegionSettings, config: Config) -> None:
        self._settings, self._rates = settings, config.learning_rates

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def outer_step(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one step on the experience in the shards."""
        settings, rates = self._settings, self._rates
        theta = torch.as_tensor(state.theta, dtype=torch.float64)
        # The curvature that this prepares, of the fewest steps there can be, goes unused.
        gradients, *before = zip(*workers.map(meta_gradient, rates, False, 1e-9), strict=True)
        gradient = mean_over_tasks(gradients)
        loss_before, kl_before = (mean_over_tasks(values).item() for values in before)
        product = finite_differences(workers, theta, rates)
        solved = conjugate_gradient_of_authors(
            lambda vector: mean_over_tasks(product(vector.numpy())) + settings.cg_damping * vector,
            gradient,
        )
        try:
            step = trust_region_step(solved, gradient, settings.max_kl)
        except CurvatureError:  # they go on with the solution itself
            step = solved.solution

        def outcome(candidate: torch.Tensor) -> tuple[float, float]:
            at = candidate.numpy().astype(state.theta.dtype)
            loss, kl = mean_over_tasks(workers.map(surrogate, at, rates)).tolist()
            return loss, kl

        search = backtrack(
            outcome,
            theta,
            step,
            loss_before=loss_before,
            max_kl=settings.max_kl,
            ratio=settings.line_search_ratio,
            max_steps=settings.line_search_steps,
        )
        metrics = {
            "loss_before": loss_before,
            "loss": search.loss,
            "kl_before": kl_before,
            "kl": search.kl,
            "gradient_norm": float(gradient.norm()),
            "line_search_steps": search.steps,
            "step_accepted": search.accepted,
        }
        return AgentState(search.theta.numpy().astype(state.theta.dtype)), metrics


SPEC = AgentSpec(
    entry_point="authors_curvature:AuthorsMamlTrpo",
    settings=TrustRegionSettings,
    description="MAML with a trust-region outer step, the curvature by finite differences",
    source="Finn et al. 2017, their code (cbfinn/maml_rl)",
)
