"""MAML-TRPO with the curvature as Finn et al.'s code has it: an agent to compare with, not to use.

Their code (maml_rl, 2017) multiplies with the curvature by finite differences of the gradient of
the KL divergence, displaced by v / |θ|, because a count of slices is passed where the displacement
of 1e-5 belongs. Where v is long against θ's trust region, this is no product with a matrix.

    PYTHONPATH=scripts metarl train half-cheetah-dir-finn2017 --agent authors_curvature:SPEC
"""

from collections.abc import Callable

import torch

from metarl.agent.gradient import GRADIENT
from metarl.agent.meta_objective import meta_gradient, outer_loss, surrogate
from metarl.agent.outer_steps import trust_region_outer_step
from metarl.agent.protocol import AgentState, Metrics
from metarl.config.plugins import AgentSpec
from metarl.config.reinforcement import Config
from metarl.config.settings import TrustRegionSettings
from metarl.learning.adaptation import adapt, as_leaves
from metarl.learning.objectives import reinforce_loss
from metarl.learning.trust_region import ConjugateGradient
from metarl.workers.shards import Rate, Shard, Vector, Workers, to_vector


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
            workers.map(kl_gradient, theta.numpy() + sign * reach * vector, rates)
            for sign in (1, -1)
        )
        return [(one - other) / (2 * reach) for one, other in zip(ahead, behind, strict=True)]

    return product


def conjugate_gradient_of_authors(
    product: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor, iterations: int
) -> ConjugateGradient:
    """Solve with 1e-8 in the denominators; the product need not be linear."""
    solution, residual, direction = torch.zeros_like(target), target.clone(), target.clone()
    squared = residual @ residual
    for _ in range(iterations):
        image = product(direction)
        length = squared / (direction @ image + 1e-8)
        solution, residual = solution + length * direction, residual - length * image
        previous, squared = squared, residual @ residual
        direction = residual + squared / (previous + 1e-8) * direction
    # The scale of the step comes from a product of its own; the residual makes it so.
    return ConjugateGradient(solution, target - product(solution), iterations)


class AuthorsMamlTrpo:
    """The outer step of their code, within our trust region and line search, which are theirs."""

    family = GRADIENT

    def __init__(self, settings: TrustRegionSettings, config: Config) -> None:
        self._settings, self._rates = settings, config.learning_rates

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one step on the experience in the shards."""
        rates = self._rates
        theta, metrics = trust_region_outer_step(
            state.theta,
            self._settings,
            # The curvature that this prepares, of the fewest steps there can be, goes unused.
            workers.map(meta_gradient, rates, False, 1e-9),
            product=finite_differences(workers, torch.as_tensor(state.theta).double(), rates),
            evaluate=lambda candidate: workers.map(surrogate, candidate, rates),
            solve=conjugate_gradient_of_authors,
        )
        return AgentState(theta), metrics


SPEC = AgentSpec(
    entry_point="authors_curvature:AuthorsMamlTrpo",
    settings=TrustRegionSettings,
    description="MAML with a trust-region outer step, the curvature by finite differences",
    source="Finn et al. 2017, their code (cbfinn/maml_rl)",
)
