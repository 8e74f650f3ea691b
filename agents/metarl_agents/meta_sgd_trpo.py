"""Meta-SGD with a trust-region outer step (Li, Zhou, Chen, Li 2017, arXiv 1707.09835, eqs. 2, 5).

The inner loop's step size is learned, one for each parameter, its sign as well:

    θ' = θ − α ∘ ∇L(θ; support)

so the outer step moves (θ, α) together. With J and J_α the Jacobians of θ' by θ and by α (for one
step J_α = −diag ∇L) and F the Fisher information of the adapted policy,

    g = mean over tasks of (J, J_α)ᵀ ∇L(θ'),    A v = mean over tasks of (J, J_α)ᵀ F (J, J_α) v

The learned α starts at the configuration's inner learning rate. An evaluation whose step sizes
shrink after the first step shrinks the learned α in the same proportion.
"""

import numpy as np
import torch
from jaxtyping import Float

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT, STEP_SIZES
from metarl.agent.gradient_memory import trust_region_need
from metarl.agent.meta_objective import outer_slope, surrogate
from metarl.agent.outer_steps import trust_region_outer_step
from metarl.agent.protocol import AgentState, Metrics
from metarl.agent.stacked_objective import StackedProducts, stacked_joint_gradients
from metarl.agent.task_stacks import stack_tasks
from metarl.config.reinforcement import Config
from metarl.config.settings import TrustRegionSettings
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import Parameters, flatten, linearise_with_rate
from metarl.learning.objectives import reinforce_loss
from metarl.learning.stacking import repeat, unstack
from metarl.workers.shards import Shard, Vector, Workers, to_vector

Joint = Float[np.ndarray, " joint"]
"""θ, then α."""


class MetaSgdTrpo:
    """The outer step of Meta-SGD-TRPO."""

    family = GRADIENT

    def __init__(self, settings: TrustRegionSettings, config: Config) -> None:
        if config.adaptation_steps == 0:
            raise ConfigError("adaptation_steps = 0: agent meta-sgd-trpo learns the steps' sizes")
        self._settings = settings
        self._config = config

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration: α is the configuration's everywhere."""
        rates = np.full_like(theta, self._config.inner_learning_rate)
        return AgentState(theta, others={STEP_SIZES: rates})

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return trust_region_need(
            sizes, self._settings, first_order=self._config.first_order, learned_rates=True
        )

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one trust-region step on the experience in the shards."""
        steps, first_order = self._config.adaptation_steps, self._config.first_order
        fraction = self._settings.curvature_fraction
        learned = state.others[STEP_SIZES]

        def evaluate(candidate: Joint) -> list[tuple[float, float]]:
            theta, step_sizes = np.split(candidate, 2)
            return workers.map(surrogate, theta, (step_sizes,) * steps)

        joint, metrics = trust_region_outer_step(
            np.concatenate([state.theta, learned]),
            self._settings,
            workers.map(joint_gradient, learned, first_order, fraction),
            product=lambda vector: workers.map(joint_curvature_product, vector),
            evaluate=evaluate,
        )
        theta, step_sizes = np.split(joint, 2)
        about = {
            "step_size_mean": float(step_sizes.mean()),
            "step_size_min": float(step_sizes.min()),
            "step_size_max": float(step_sizes.max()),
        }
        return AgentState(theta, others={STEP_SIZES: step_sizes}), {**metrics, **about}


def joint_gradient(
    shard: Shard, step_sizes: Vector, first_order: bool, curvature_fraction: float
) -> list[tuple[Joint, float, float]]:
    """Give each task's (J, J_α)ᵀ ∇L(θ'), outer loss and KL divergence; keep J, J_α, F in the shard.

    Args:
        shard: has collected experience.
        step_sizes: α.
        first_order: J = I.
        curvature_fraction: of the steps, for `joint_curvature_product`.

    """
    rate = shard.parameters(step_sizes)
    if shard.tasks_in_one_call:
        products = _stacked_products(shard, first_order)
        products.take(shard, curvature_fraction, rate)
        shard.scratch = [products]
        return stacked_joint_gradients(shard, rate, first_order)
    contributions = _of_each_task(shard, rate, first_order)
    shard.scratch = [
        (
            stack,
            linearise_with_rate(
                stack.loss,
                stack.path[:-1],
                stack.supports,
                rate,
                first_order=first_order,
                place=stack.aligned,
            ),
        )
        for stack in stack_tasks(shard, curvature_fraction)
    ]
    return contributions


def _of_each_task(
    shard: Shard, rate: Parameters, first_order: bool
) -> list[tuple[Joint, float, float]]:
    """Compute a task at a time."""
    loss = reinforce_loss(shard.policy)
    contributions = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            slope, outer, kl = outer_slope(shard, data)
            jacobian = linearise_with_rate(
                loss, data.path[:-1], data.supports, rate, first_order=first_order
            )
            contributions.append((_joined(*jacobian.transposed_product(slope)), outer, kl))
    return contributions


def _stacked_products(shard: Shard, first_order: bool) -> StackedProducts:
    """Give those of the last iteration, with what was captured of them; α is among their data."""
    name = f"joint curvature products {first_order}"
    if name not in shard.kept:
        shard.kept[name] = StackedProducts(shard, None, first_order)
    products: StackedProducts = shard.kept[name]
    return products


def joint_curvature_product(shard: Shard, vector: Joint) -> list[Joint]:
    """Give each task's (J, J_α)ᵀ F (J, J_α) v; `joint_gradient` must have been mapped before."""
    directions = [shard.parameters(half) for half in np.split(vector, 2)]
    if shard.tasks_in_one_call:
        stacked: StackedProducts = shard.scratch[0]
        return stacked(torch.cat([flatten(half) for half in directions]))
    products: list[Joint] = []
    for stack, jacobian in shard.scratch:
        moved = jacobian.product(*(repeat(half, stack.stacked) for half in directions))
        pulled = jacobian.transposed_product(stack.fisher(stack.aligned(moved)))
        by_task = zip(*(unstack(half, stack.tasks) for half in pulled), strict=True)
        products += [_joined(*halves) for halves in by_task]
    return products


def _joined(of_theta: Parameters, of_rate: Parameters) -> Joint:
    return np.concatenate([to_vector(of_theta), to_vector(of_rate)])
