"""One policy for all tasks, by policy gradient, with the inner loop switched off in training.

What meta-learning has to beat: the same policy, episodes, baseline and advantages as MAML, but θ
descends the mean of the tasks' own losses. In evaluations it adapts by gradient steps as MAML does.
By Adam it is the *pretrained* policy of Finn, Abbeel, Levine 2017, section 5.3, as the authors'
code trains it; by a trust region it is MAML-TRPO with no inner step.
"""

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT
from metarl.agent.gradient_memory import plain_gradient_need, trust_region_need
from metarl.agent.meta_objective import (
    curvature_product,
    meta_gradient,
    plain_gradient,
    surrogate,
)
from metarl.agent.outer_steps import (
    adam_step,
    is_finite,
    mean_over_tasks,
    trust_region_outer_step,
)
from metarl.agent.protocol import AgentState, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.config.reinforcement import Config
from metarl.workers.shards import Vector, Workers
from metarl_agents.settings import MultitaskSettings


class Multitask:
    """A policy-gradient step on all tasks together."""

    family = GRADIENT

    def __init__(self, settings: MultitaskSettings, config: Config) -> None:
        self._settings = settings

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        if self._settings.optimiser == "trust-region":
            return trust_region_need(sizes, self._settings)
        return plain_gradient_need(sizes)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one step on the episodes in the shards."""
        settings = self._settings
        if settings.optimiser == "trust-region":
            theta, metrics = trust_region_outer_step(
                state.theta,
                settings,
                workers.map(meta_gradient, (), True, settings.curvature_fraction),
                product=lambda vector: workers.map(curvature_product, vector),
                evaluate=lambda candidate: workers.map(surrogate, candidate, ()),
            )
            return AgentState(theta), metrics
        gradient = mean_over_tasks([slope for slope, _, _ in workers.map(plain_gradient)])
        metrics = {"gradient_norm": float(gradient.norm())}
        size = settings.outer_learning_rate
        moved = AgentState(*adam_step(state.theta, gradient, state.optimiser, size))
        if not is_finite(moved.theta, moved.optimiser):
            return state, {**metrics, "step_accepted": False, "rejection": NOT_FINITE}
        return moved, {**metrics, "step_accepted": True, "rejection": None}
