"""CAVIA with a trust-region outer step (Zintgraf et al. 2019, arXiv 1810.03642, algorithm 2).

The policy sees a context φ beside every observation. It is 0 before a task is met, and the inner
step moves it alone; the outer step moves everything else, through the inner one:

    φ' = φ − α ∇_φ L(θ, φ; support),   θ ← θ − … of the mean over tasks of L(θ, φ'; query)

So it is MAML whose step size is α for the context and 0 for all other parameters, and whose outer
step leaves the context where it is. A context beside the inputs adds W_φ φ to the first layer's
bias: a step moves that bias by α W_φ W_φᵀ times its gradient.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from gymnasium.spaces import Discrete

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT, collect_with_rates, configured_rates
from metarl.agent.gradient_memory import trust_region_need
from metarl.agent.meta_objective import curvature_product, meta_gradient, surrogate
from metarl.agent.outer_steps import trust_region_outer_step
from metarl.agent.protocol import AgentState, Metrics
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.learning.policies import CONTEXT, PolicySpec
from metarl.learning.trajectories import TaskStatistics
from metarl.tasks.distribution import Tasks
from metarl.workers.shards import Shard, Vector, Workers, starts_anew, to_vector
from metarl_agents.settings import CaviaSettings

_LOG_STD = "log_std"
_LEARNED = "learned"
"""What is learned, among what a shard keeps."""

ContextRate = Mapping[str, float]
"""α of what an inner step moves."""


def settings_in(config: Config) -> CaviaSettings:
    """Give the settings that a configuration has."""
    settings: CaviaSettings = read_fields(CaviaSettings, config.agent_settings, "agent cavia")
    return settings


def with_context(spec: PolicySpec, config: Config) -> PolicySpec:
    """Let the policy see a context.

    Raises:
        ConfigError: a standard deviation is to be adapted, and the policy has none.

    """
    settings = settings_in(config)
    if settings.adapt_std and isinstance(spec.action_space, Discrete):
        raise ConfigError(
            "adapt_std = True: the policy has no standard deviation: its actions are choices; "
            "leave it away"
        )
    return replace(spec, context_size=settings.context_parameters)


def context_rates(config: Config, rates: tuple[float, ...]) -> tuple[ContextRate, ...]:
    """Give for each inner step α of the context and of nothing else.

    Where the settings say so, of a Gaussian policy's standard deviation as well.
    """
    moving = [CONTEXT, _LOG_STD] if settings_in(config).adapt_std else [CONTEXT]
    return tuple(dict.fromkeys(moving, rate) for rate in rates)


@starts_anew
def meet(
    shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Collect before adaptation and after each inner step; keep the experience in the shard."""
    rates = context_rates(shard.config, configured_rates(shard.config, Split(key[0])))
    return collect_with_rates(shard, state.theta, tasks, key, rates)


class Cavia:
    """The outer step of CAVIA, by TRPO."""

    family = replace(GRADIENT, meet=meet, policy=with_context)

    def __init__(self, settings: CaviaSettings, config: Config) -> None:
        self._settings = settings
        self._config = config

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return trust_region_need(sizes, self._settings, first_order=self._config.first_order)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one trust-region step, of all parameters but the context."""
        rates = context_rates(self._config, self._config.learning_rates)
        first_order, fraction = self._config.first_order, self._settings.curvature_fraction
        theta, metrics = trust_region_outer_step(
            state.theta,
            self._settings,
            workers.map(gradient_of_learned, rates, first_order, fraction),
            product=lambda vector: workers.map(curvature_of_learned, vector),
            evaluate=lambda candidate: workers.map(surrogate, candidate, rates),
        )
        return AgentState(theta), metrics


def gradient_of_learned(
    shard: Shard, rates: tuple[ContextRate, ...], first_order: bool, curvature_fraction: float
) -> list[tuple[Vector, float, float]]:
    """Give what `meta_gradient` does, with 0 for the context, which is not learned."""
    learned = _learned(shard)
    return [
        (gradient * learned, loss, kl)
        for gradient, loss, kl in meta_gradient(shard, rates, first_order, curvature_fraction)
    ]


def curvature_of_learned(shard: Shard, vector: Vector) -> list[Vector]:
    """Give what `curvature_product` does, with 0 for the context."""
    learned = _learned(shard)
    return [product * learned for product in curvature_product(shard, vector)]


def _learned(shard: Shard) -> Vector:
    """Give 1 for what is learned and 0 for the context, in the order of θ."""
    if _LEARNED not in shard.kept:
        shard.kept[_LEARNED] = to_vector(
            {
                name: torch.zeros_like(value) if name == CONTEXT else torch.ones_like(value)
                for name, value in shard.template.items()
            }
        )
    learned: Vector = shard.kept[_LEARNED]
    return learned
