"""An agent in one file: first-order MAML whose outer step is plain gradient descent."""

from dataclasses import dataclass

import numpy as np

from metarl.agent.gradient import GRADIENT
from metarl.agent.meta_objective import outer_slope
from metarl.agent.outer_steps import mean_over_tasks
from metarl.agent.protocol import AgentState
from metarl.config.fields import require
from metarl.config.plugins import AgentSpec
from metarl.workers.shards import to_vector


@dataclass(frozen=True)
class Settings:
    """The agent's own flags; the text under each is its help."""

    step_size: float = 0.1
    """Step size β of the outer loop."""

    def __post_init__(self) -> None:
        require(self, "step_size", self.step_size > 0, "must be positive")


class FirstOrderSgd:
    """θ ← θ − β · mean over tasks of ∇L(θ')."""

    family = GRADIENT

    def __init__(self, settings, config):
        self._step_size = settings.step_size

    def initial_state(self, theta):
        """Give the state before the first iteration."""
        return AgentState(theta)

    def improve(self, workers, state):
        """Take one step on the experience in the shards; give the new state and metrics."""
        gradients, losses = zip(*workers.map(gradients_after_adaptation), strict=True)
        gradient = mean_over_tasks(gradients)
        theta = state.theta - self._step_size * gradient.numpy()
        metrics = {"loss": float(np.mean(losses)), "gradient_norm": float(gradient.norm())}
        return AgentState(theta.astype(state.theta.dtype)), metrics


def gradients_after_adaptation(shard):
    """Runs in the workers: give each task's ∇L(θ') and loss, in task order."""
    found = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            slope, loss, _ = outer_slope(shard, data)
            found.append((to_vector(slope), loss))
    return found


SPEC = AgentSpec(
    entry_point="first_order_sgd:FirstOrderSgd",
    settings=Settings,
    description="first-order MAML, plain gradient descent",
    source="Finn, Abbeel, Levine 2017 (arXiv 1703.03400), section 5.2",
)
