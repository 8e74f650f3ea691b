"""Methods that are not learned, as agents: what a trained memory is to be compared with.

Each meets a task in a trial, as the agents with a memory do, and knows how the tasks are
distributed. There is nothing to train: θ is one number that nobody reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped

from metarl.agent.memory import UNIT, MemoryActor, meet_in_trials, states_along_trial
from metarl.agent.protocol import AgentState, Family, Memory, Metrics
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.config.settings import NoSettings
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import PolicySpec
from metarl.learning.trajectories import TaskStatistics
from metarl.tasks.distribution import Tasks
from metarl.workers.shards import Shard, Vector, Workers
from metarl_agents import classical_bandits as bandits
from metarl_agents import classical_mdps as mdps
from metarl_agents.fits import BANDIT, GRID, MDP, trial_pulls
from metarl_agents.grid_search import MOVES, search
from metarl_agents.posterior_draws import uniforms
from metarl_agents.settings import (
    BebSettings,
    EpsilonGreedySettings,
    OpsrlSettings,
    OtsSettings,
    Ucb1Settings,
    Ucrl2Settings,
)

Make = Callable[[PolicySpec, Config, AgentState, Any], MemoryActor]
"""Makes what acts, from the agent's settings beside the rest."""


def initial_parameters(spec: PolicySpec, config: Config) -> Parameters:
    """Give one number that nobody reads, for the files that hold parameters."""
    return {"nothing": torch.zeros(1, dtype=getattr(torch, config.dtype))}


class UniformActor(MemoryActor):
    """Acts at random, evenly over the action space; without noise, by the first action or 0."""

    def __init__(self, spec: PolicySpec, config: Config, state: AgentState) -> None:
        super().__init__(state)
        self._space, self._scale = spec.action_space, config.action_scale

    def blank(self, rows: int) -> Memory:
        """Give the memory, which is of no use."""
        return (np.zeros(rows),)

    def draw_noise(self, generator: np.random.Generator, steps: int) -> Float[np.ndarray, " time"]:
        """Draw a key for each step."""
        return generator.random(steps)

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, " row"] | None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], Memory]:
        """Choose at random."""
        rows = len(observations)
        if isinstance(self._space, gym.spaces.Discrete):
            if noise is None:
                return np.zeros(rows, dtype=np.int64), memory
            return bandits.any_of(int(self._space.n), uniforms(noise, 1)[:, 0]), memory
        size = int(np.prod(self._space.shape or (1,)))
        if noise is None:
            return np.zeros((rows, size)), memory
        return self._scale * (2 * uniforms(noise, size) - 1), memory

    def observe(
        self, memory: Memory, rewards: Float[np.ndarray, " row"], ended: Bool[np.ndarray, " row"]
    ) -> Memory:
        """Take nothing in."""
        return memory


class GridSearcher(MemoryActor):
    """Searches the grid by the best plan, then goes to the goal; remembers where it was.

    The memory: episodes and steps so far, the cell it moved to, the goal (−1 while not known).
    """

    def __init__(self, spec: PolicySpec, config: Config, state: AgentState) -> None:
        super().__init__(state)
        self._size = int(config.env_kwargs.get("size", 5))
        episodes = config.test_adaptation_steps + 1
        self._plan = search(self._size, episodes, config.horizon).actions

    def blank(self, rows: int) -> Memory:
        """Give the memory at the start of a trial."""
        zero = np.zeros((rows, 2), dtype=np.int64)
        return zero, zero.copy(), np.full((rows, 2), -1, dtype=np.int64)

    def draw_noise(self, generator: np.random.Generator, steps: int) -> Float[np.ndarray, " time"]:
        """Draw nothing; there is no chance in it."""
        return np.zeros(steps)

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, " row"] | None,
    ) -> tuple[Int[np.ndarray, " row"], Memory]:
        """Go on with the search, or towards the goal."""
        clock, _, goal = memory
        cell = np.rint(observations).astype(np.int64)
        episode, step = (np.minimum(clock, np.array(self._plan.shape) - 1)).T
        away = goal - cell
        straight = np.select(
            [away[:, 0] > 0, away[:, 1] > 0, away[:, 0] < 0, away[:, 1] < 0], [2, 1, 4, 3]
        )
        chosen = np.where(goal[:, 0] < 0, self._plan[episode, step], straight)
        moved = np.clip(cell + MOVES[chosen], 0, self._size - 1)
        return chosen, (clock, moved, goal)

    def observe(
        self, memory: Memory, rewards: Float[np.ndarray, " row"], ended: Bool[np.ndarray, " row"]
    ) -> Memory:
        """Learn whether the goal is here."""
        clock, moved, goal = memory
        goal = np.where((rewards > 0)[:, None], moved, goal)
        episode, step = clock.T
        clock = np.stack([episode + ended, np.where(ended, 0, step + 1)], axis=1)
        return clock, moved, goal


def _bandit(method: bandits.Choose) -> Make:
    return lambda spec, config, state, own: bandits.BanditActor(_choices(spec), method, state)


def _choices(spec: PolicySpec) -> int:
    assert isinstance(spec.action_space, gym.spaces.Discrete)
    return int(spec.action_space.n)


def _model(
    spec: PolicySpec, config: Config, state: AgentState, plan: mdps.Plan, epsilon: float = 0.0
) -> MemoryActor:
    assert spec.observation_space.shape is not None
    (states,) = spec.observation_space.shape
    return mdps.ModelActor(states, _choices(spec), config.horizon, plan, state, epsilon)


def _ucb1(spec: PolicySpec, config: Config, state: AgentState, own: Ucb1Settings) -> MemoryActor:
    method = partial(bandits.ucb1, exploration=own.exploration)
    return _bandit(method)(spec, config, state, own)


def _ots(spec: PolicySpec, config: Config, state: AgentState, own: OtsSettings) -> MemoryActor:
    method = partial(bandits.optimistic_thompson, draws=own.draws)
    return _bandit(method)(spec, config, state, own)


def _gittins(spec: PolicySpec, config: Config, state: AgentState, own: Any) -> MemoryActor:
    method = partial(bandits.gittins, pulls=trial_pulls(config))
    return _bandit(method)(spec, config, state, own)


def _best_plan(spec: PolicySpec, config: Config, state: AgentState, own: Any) -> MemoryActor:
    method = partial(bandits.optimal, pulls=trial_pulls(config))
    return _bandit(method)(spec, config, state, own)


def _epsilon_greedy_bandit(
    spec: PolicySpec, config: Config, state: AgentState, own: EpsilonGreedySettings
) -> MemoryActor:
    method = partial(bandits.epsilon_greedy, epsilon=own.epsilon)
    return _bandit(method)(spec, config, state, own)


def _epsilon_greedy_model(
    spec: PolicySpec, config: Config, state: AgentState, own: EpsilonGreedySettings
) -> MemoryActor:
    return _model(spec, config, state, mdps.greedy, own.epsilon)


def _opsrl(spec: PolicySpec, config: Config, state: AgentState, own: OpsrlSettings) -> MemoryActor:
    return _model(spec, config, state, partial(mdps.optimistic_sampling, draws=own.draws))


def _ucrl2(spec: PolicySpec, config: Config, state: AgentState, own: Ucrl2Settings) -> MemoryActor:
    return _model(spec, config, state, partial(mdps.upper_confidence, scale=own.scale))


def _beb(spec: PolicySpec, config: Config, state: AgentState, own: BebSettings) -> MemoryActor:
    return _model(spec, config, state, partial(mdps.bonus, weight=own.weight))


@dataclass(frozen=True)
class Method:
    """What a method is, by environment.

    Args:
        settings: its own.
        makers: by environment; "" is any.

    """

    settings: type[Any]
    makers: dict[str, Make]


METHODS = {
    "uniform": Method(
        NoSettings, {"": lambda spec, config, state, own: UniformActor(spec, config, state)}
    ),
    "greedy": Method(
        NoSettings,
        {
            BANDIT: _bandit(bandits.greedy),
            MDP: lambda spec, config, state, own: _model(spec, config, state, mdps.greedy),
        },
    ),
    "epsilon-greedy": Method(
        EpsilonGreedySettings, {BANDIT: _epsilon_greedy_bandit, MDP: _epsilon_greedy_model}
    ),
    "thompson": Method(
        NoSettings,
        {
            BANDIT: _bandit(bandits.thompson),
            MDP: lambda spec, config, state, own: _model(
                spec, config, state, mdps.posterior_sampling
            ),
        },
    ),
    "ots": Method(OtsSettings, {BANDIT: _ots}),
    "ucb1": Method(Ucb1Settings, {BANDIT: _ucb1}),
    "gittins": Method(NoSettings, {BANDIT: _gittins}),
    "bayes-optimal": Method(
        NoSettings,
        {
            BANDIT: _best_plan,
            GRID: lambda spec, config, state, own: GridSearcher(spec, config, state),
        },
    ),
    "opsrl": Method(OpsrlSettings, {MDP: _opsrl}),
    "ucrl2": Method(Ucrl2Settings, {MDP: _ucrl2}),
    "beb": Method(BebSettings, {MDP: _beb}),
}


def actor_of(method: str, spec: PolicySpec, config: Config, state: AgentState) -> MemoryActor:
    """Make what acts by a method, in the configuration's environment."""
    found = METHODS[method]
    own = read_fields(found.settings, config.agent_settings, f"agent {method}")
    make = found.makers.get(config.env_id) or found.makers[""]
    return make(spec, config, state, own)


@dataclass(frozen=True)
class Meet:
    """Meets tasks by a method; see `metarl.agent.memory.meet_in_trials`."""

    method: str
    starts_anew: ClassVar[bool] = True
    __name__: ClassVar[str] = "meet"

    def __call__(
        self, shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
    ) -> list[TaskStatistics]:
        """Play trials on the shard's tasks."""
        return meet_in_trials(partial(actor_of, self.method), shard, state, tasks, key)


class Classical:
    """A method that is not learned.

    Args:
        method: its name in `METHODS`.

    """

    def __init__(self, method: str) -> None:
        self.family = Family(
            "memory",
            UNIT,
            initial_parameters,
            Meet(method),
            states_along_trial,
            partial(actor_of, method),
        )

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the only state there is."""
        return AgentState(theta)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Improve nothing."""
        return state, {}


def _build(method: str, settings: Any, config: Config) -> Classical:
    """Build the agent of a method."""
    return Classical(method)


uniform = partial(_build, "uniform")
greedy = partial(_build, "greedy")
epsilon_greedy = partial(_build, "epsilon-greedy")
thompson = partial(_build, "thompson")
ots = partial(_build, "ots")
ucb1 = partial(_build, "ucb1")
gittins = partial(_build, "gittins")
bayes_optimal = partial(_build, "bayes-optimal")
opsrl = partial(_build, "opsrl")
ucrl2 = partial(_build, "ucrl2")
beb = partial(_build, "beb")
