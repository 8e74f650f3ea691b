"""First-order MAML with a trust-region outer step (Finn, Abbeel, Levine 2017, section 5.2).

The Jacobian of the inner loop is taken for the identity, so the outer gradient is the mean over
tasks of ∇L(θ') itself, and the curvature that of the adapted policies:

    g = mean over tasks of ∇L(θ'),    A v = mean over tasks of F v

The line search still adapts anew at every candidate θ.
"""

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT
from metarl.agent.gradient_memory import trust_region_need
from metarl.agent.meta_objective import (
    curvature_product,
    meta_gradient,
    outer_slope,
    surrogate,
)
from metarl.agent.outer_steps import trust_region_outer_step
from metarl.agent.protocol import AgentState, Metrics
from metarl.agent.task_stacks import stack_tasks
from metarl.config.reinforcement import Config
from metarl.config.settings import TrustRegionSettings
from metarl.learning.stacking import repeat, unstack
from metarl.workers.shards import Shard, Vector, Workers, to_vector


class FomamlTrpo:
    """The outer step of first-order MAML-TRPO."""

    family = GRADIENT

    def __init__(self, settings: TrustRegionSettings, config: Config) -> None:
        self._settings = settings
        self._learning_rates = config.learning_rates

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration; TRPO remembers nothing but θ."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return trust_region_need(sizes, self._settings, first_order=True)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one trust-region step on the experience in the shards."""
        theta, metrics = trust_region_outer_step(
            state.theta,
            self._settings,
            workers.map(first_order_gradient, self._settings.curvature_fraction),
            product=lambda vector: workers.map(fisher_of_adapted, vector),
            evaluate=lambda candidate: workers.map(surrogate, candidate, self._learning_rates),
        )
        return AgentState(theta), metrics


def first_order_gradient(
    shard: Shard, curvature_fraction: float
) -> list[tuple[Vector, float, float]]:
    """Give each task's ∇L(θ'), outer loss and KL divergence; keep F in the shard."""
    if shard.tasks_in_one_call:
        return meta_gradient(shard, shard.config.learning_rates, True, curvature_fraction)
    contributions = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            slope, outer, kl = outer_slope(shard, data)
            contributions.append((to_vector(slope), outer, kl))
    shard.scratch = list(stack_tasks(shard, curvature_fraction))
    return contributions


def fisher_of_adapted(shard: Shard, vector: Vector) -> list[Vector]:
    """Give each task's F v; `first_order_gradient` must have been mapped before."""
    if shard.tasks_in_one_call:
        return curvature_product(shard, vector)
    direction = shard.parameters(vector)
    products: list[Vector] = []
    for stack in shard.scratch:
        curved = stack.fisher(repeat(direction, stack.stacked))
        products += map(to_vector, unstack(curved, stack.tasks))
    return products
