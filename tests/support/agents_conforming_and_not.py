"""An agent that keeps its promises, and others that break one each, for tests of the kit."""

from dataclasses import replace

import numpy as np

from metarl.agent.gradient import GRADIENT
from metarl.agent.outer_steps import mean_over_tasks
from metarl.agent.protocol import AgentState
from metarl.config.plugins import AgentSpec
from metarl.config.settings import NoSettings
from metarl_agents.reptile import displacements


class Mover:
    """Reptile without settings, the base of agents that each break one promise."""

    family = GRADIENT

    def __init__(self, settings, config) -> None:
        self.rate = config.inner_learning_rate
        self.steps = 0

    def initial_state(self, theta):
        return AgentState(theta)

    def improve(self, workers, state):
        moved = mean_over_tasks(workers.map(displacements, self.rate)).numpy()
        self.steps += 1
        theta, metrics = self.broken(workers, state.theta, moved.astype(state.theta.dtype))
        return replace(state, theta=theta), metrics

    def broken(self, workers, theta, moved):
        return theta + moved, {}


class OtherStart(Mover):
    def initial_state(self, theta):
        return AgentState(theta + 1)


class NotFinite(Mover):
    def broken(self, workers, theta, moved):
        return theta * np.nan, {}


class OtherType(Mover):
    def broken(self, workers, theta, moved):
        return (theta + moved).astype(np.float64), {}


class Stays(Mover):
    def broken(self, workers, theta, moved):
        return theta.copy(), {}


class NumpyMetrics(Mover):
    def broken(self, workers, theta, moved):
        return theta + moved, {"norm": np.float32(1)}


class Random(Mover):
    def broken(self, workers, theta, moved):
        return theta + moved + 1e-3 * np.random.default_rng().standard_normal(1), {}


class CountsWorkers(Mover):
    def broken(self, workers, theta, moved):
        return theta + moved / workers.count, {}


class Remembers(Mover):
    def broken(self, workers, theta, moved):
        return theta + moved / self.steps, {}


class WritesIntoTheState(Mover):
    def broken(self, workers, theta, moved):
        theta += moved
        return theta.copy(), {}


class DividesByTheSpread(Mover):
    def broken(self, workers, theta, moved):
        with np.errstate(all="ignore"):
            return theta + moved / np.abs(moved).max(), {}


class Climbs(Mover):
    def broken(self, workers, theta, moved):
        return theta - moved, {}


class Raises(Mover):
    def broken(self, workers, theta, moved):
        raise RuntimeError("out of cheese")


RAISES = AgentSpec("agents_conforming_and_not:Raises", NoSettings, "", "")
