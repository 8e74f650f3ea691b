"""MAML with a trust-region outer step (Finn, Abbeel, Levine 2017, algorithm 3; TRPO, section 5.3).

The step descends the mean over tasks of the adapted policies' surrogate loss, by the meta-gradient
and the exact curvature of `metarl.agent.meta_objective`. With `curvature_fraction` the curvature
comes from a sample of the steps: that changes the metric in which the step is taken, never the
gradient, nor the loss and KL divergence that the line search holds the step to.

With `first_order`, as `fomaml-trpo` has it, the Jacobian of the inner loop is taken for the
identity (section 5.2): the outer gradient is the mean over tasks of ∇L(θ') itself, and the
curvature that of the adapted policies. The line search still adapts anew at every candidate θ.
"""

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT
from metarl.agent.gradient_memory import trust_region_need
from metarl.agent.meta_objective import curvature_product, meta_gradient, surrogate
from metarl.agent.outer_steps import trust_region_outer_step
from metarl.agent.protocol import AgentState, Metrics
from metarl.config.reinforcement import Config
from metarl.config.settings import TrustRegionSettings
from metarl.workers.shards import Vector, Workers


class MamlTrpo:
    """The outer step of MAML-TRPO."""

    family = GRADIENT

    def __init__(self, settings: TrustRegionSettings, config: Config) -> None:
        self._settings = settings
        self._learning_rates = config.learning_rates
        self._first_order = config.first_order

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration; TRPO remembers nothing but θ."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return trust_region_need(sizes, self._settings, first_order=self._first_order)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one trust-region step on the experience in the shards."""
        rates, fraction = self._learning_rates, self._settings.curvature_fraction
        theta, metrics = trust_region_outer_step(
            state.theta,
            self._settings,
            workers.map(meta_gradient, rates, self._first_order, fraction),
            product=lambda vector: workers.map(curvature_product, vector),
            evaluate=lambda candidate: workers.map(surrogate, candidate, rates),
        )
        return AgentState(theta), metrics
