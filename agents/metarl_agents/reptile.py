"""Reptile (Nichol, Achiam, Schulman 2018, arXiv 1803.02999, algorithm 2), on policy gradients.

Each task takes k inner steps from θ on fresh episodes; θ moves towards where they end:

    θ ← θ + ε · mean over tasks of (θ_k − θ)

No second derivative is taken; that adaptation gets better comes from the k steps' gradients being
taken at different points (their section 5.1). The episodes collected after the last of the
configuration's adaptation steps are used as well, so k is one more than `adaptation_steps`. A
step of Adam on −mean (θ_k − θ) may take the place of the plain one, as the paper suggests.
"""

from dataclasses import replace

import numpy as np

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.gradient import GRADIENT
from metarl.agent.gradient_memory import inner_steps_need
from metarl.agent.outer_steps import adam_step, is_finite, mean_over_tasks
from metarl.agent.protocol import AgentState, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.agent.stacked_experience import of_each_task, stacked_experience
from metarl.agent.stacked_objective import summed_loss
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import LearningRate, inner_step
from metarl.learning.objectives import reinforce_loss
from metarl.workers.shards import Rate, Shard, Vector, Workers, to_vector
from metarl_agents.settings import ReptileSettings


class Reptile:
    """The outer step of Reptile."""

    family = GRADIENT

    def __init__(self, settings: ReptileSettings, config: Config) -> None:
        if config.adaptation_steps == 0:
            raise ConfigError(
                "adaptation_steps = 0: one gradient step for each task and outer step is training "
                "on all tasks together; agent reptile needs 1 at least"
            )
        self._settings = settings
        self._learning_rates = config.learning_rates

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return inner_steps_need(sizes)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Move θ towards the tasks' adapted parameters."""
        displacement = mean_over_tasks(workers.map(displacements, self._learning_rates[-1]))
        metrics = {"displacement_norm": float(displacement.norm())}
        if not np.isfinite(metrics["displacement_norm"]):
            return state, {**metrics, "step_accepted": False, "rejection": NOT_FINITE}
        size = self._settings.outer_learning_rate
        if self._settings.optimiser == "adam":
            moved = AgentState(*adam_step(state.theta, -displacement, state.optimiser, size))
        else:
            with np.errstate(over="ignore"):  # what became infinite is refused below
                theta = (state.theta + size * displacement.numpy()).astype(state.theta.dtype)
            moved = replace(state, theta=theta)
        if not is_finite(moved.theta, moved.optimiser):
            return state, {**metrics, "step_accepted": False, "rejection": NOT_FINITE}
        return moved, {**metrics, "step_accepted": True, "rejection": None}


def displacements(shard: Shard, last_rate: Rate) -> list[Vector]:
    """Give each task's θ_k − θ, the last step taken on the query batch.

    Args:
        shard: has collected experience.
        last_rate: α of that step.

    """
    rate = shard.learning_rate(last_rate)
    if shard.tasks_in_one_call:
        return _stacked_displacements(shard, rate)
    loss = reinforce_loss(shard.policy)
    moved = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            end = inner_step(loss, data.path[-1], data.query, rate)
            moved.append(to_vector(end) - to_vector(data.path[0]))
    return moved


def _stacked_displacements(shard: Shard, rate: LearningRate) -> list[Vector]:
    """Take the last step of all tasks in one call."""
    moved: list[Vector] = []
    for stack in stacked_experience(shard):
        end = inner_step(summed_loss(shard.policy), stack.path[-1], stack.query, rate)
        start = stack.path[0]
        difference = {name: value - start[name] for name, value in end.items()}
        moved += [vector for (vector,) in of_each_task([difference])]
    return moved
