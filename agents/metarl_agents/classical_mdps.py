"""Classical methods for random Markov decision processes: learn a model, plan, act by the plan.

Beliefs are those that the processes are drawn from (Duan et al. 2016): the mean reward of a state
and action is N(1, 1), a reward N(mean, 1), so that after n rewards of sum x it is
N((1 + x)/(1 + n), 1/(1 + n)); the next state's probabilities are Dirichlet(1, …, 1) plus counts.
With another `prior_mean` m than 1 the mean reward is believed to be N(m, 1), which it is not.
Before every episode each method makes of its beliefs a process, or several, solves it by backward
induction over the steps of an episode,

    Q_h(s, a) = r(s, a) + Σ over s′ of P(s′ | s, a) V_{h+1}(s′),  V_h(s) = max over a of Q_h(s, a),

and acts by the best actions. The step after an episode's last is not seen, so nor is where it led.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from metarl.agent.memory import MemoryActor
from metarl.agent.protocol import AgentState, Memory
from metarl_agents.posterior_draws import Keys, gammas, normals, uniforms

Visits = Int[np.ndarray, "row state action"]
Sums = Float[np.ndarray, "row state action"]
Rewards = Float[np.ndarray, "row state action"]
Transitions = Float[np.ndarray, "row state action state"]
Values = Float[np.ndarray, "row time state action"]
Plan = Callable[[Visits, Sums, Transitions, Keys | None, int], Values]
"""From visits, sums of rewards, counts of transitions, a key for each row (None: without chance)
and the horizon: Q_h(s, a)."""


class ModelActor(MemoryActor):
    """Acts by a plan that is made anew before each episode; remembers what it has counted.

    Args:
        states: their number.
        actions: their number.
        horizon: steps of an episode.
        plan: makes the plan.
        epsilon: probability of an action at random.
        state: where a trial stands.

    """

    def __init__(
        self,
        states: int,
        actions: int,
        horizon: int,
        plan: Plan,
        state: AgentState,
        epsilon: float = 0.0,
    ) -> None:
        super().__init__(state)
        self._states, self._actions, self._horizon = states, actions, horizon
        self._plan, self._epsilon = plan, epsilon

    def blank(self, rows: int) -> Memory:
        """Give the memory of trials without a step."""
        table = (rows, self._states, self._actions)
        return (
            np.zeros(table, dtype=np.int64),  # visits
            np.zeros(table),  # sums of rewards
            np.zeros((*table, self._states)),  # counts of transitions
            np.zeros((rows, self._horizon, self._states), dtype=np.int64),  # the plan
            np.zeros(rows, dtype=np.int64),  # steps of the episode so far
            np.full((rows, 2), -1, dtype=np.int64),  # state and action of the step before
        )

    def draw_noise(self, generator: np.random.Generator, steps: int) -> Float[np.ndarray, " time"]:
        """Draw a key for each step."""
        return generator.random(steps)

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, " row"] | None,
    ) -> tuple[Int[np.ndarray, " row"], Memory]:
        """Choose an action in each trial, after a plan where an episode begins."""
        visits, sums, counts, plan, time, last = memory
        here = np.argmax(observations, axis=1)
        came = np.flatnonzero(last[:, 0] >= 0)
        counts = counts.copy()
        counts[came, last[came, 0], last[came, 1], here[came]] += 1
        starts = np.flatnonzero(time == 0)
        if len(starts):
            keys = None if noise is None else noise[starts]
            values = self._plan(visits[starts], sums[starts], counts[starts], keys, self._horizon)
            plan = plan.copy()
            plan[starts] = np.argmax(values, axis=-1)
        step = np.minimum(time, self._horizon - 1)
        chosen = plan[np.arange(len(here)), step, here]
        if self._epsilon and noise is not None:
            draws = uniforms(noise, 2)
            any_action = np.minimum((draws[:, 1] * self._actions).astype(int), self._actions - 1)
            chosen = np.where(draws[:, 0] < self._epsilon, any_action, chosen)
        return chosen, (visits, sums, counts, plan, time, np.stack([here, chosen], axis=1))

    def observe(
        self, memory: Memory, rewards: Float[np.ndarray, " row"], ended: Bool[np.ndarray, " row"]
    ) -> Memory:
        """Count what the action paid."""
        visits, sums, counts, plan, time, last = memory
        place = (np.arange(len(rewards)), last[:, 0], last[:, 1])
        visits, sums = visits.copy(), sums.copy()
        visits[place] += 1
        sums[place] += rewards
        time = np.where(ended, 0, time + 1)
        return visits, sums, counts, plan, time, np.where(ended[:, None], -1, last)


def solve(rewards: Rewards, transitions: Transitions, horizon: int) -> Values:
    """Give Q_h(s, a) of each row's process, for h = 0 … horizon − 1."""
    rows, states, actions = rewards.shape
    values = np.zeros((rows, horizon, states, actions))
    following = np.zeros((rows, states))
    for step in reversed(range(horizon)):
        values[:, step] = rewards + (transitions * following[:, None, None]).sum(axis=-1)
        following = values[:, step].max(axis=-1)
    return values


def mean_process(
    visits: Visits, sums: Sums, counts: Transitions, prior_mean: float = 1.0
) -> tuple[Rewards, Transitions]:
    """Give the posterior means of rewards and transitions."""
    weights = counts + 1
    return (prior_mean + sums) / (1 + visits), weights / weights.sum(axis=-1, keepdims=True)


def drawn_process(
    visits: Visits,
    sums: Sums,
    counts: Transitions,
    keys: Keys,
    number: int,
    prior_mean: float = 1.0,
) -> tuple[Rewards, Transitions]:
    """Draw a process of each row's posterior; `number` tells apart several draws."""
    mean, _ = mean_process(visits, sums, counts, prior_mean)
    noise = normals(keys, mean[0].size, first=2 * number).reshape(mean.shape)
    weights = gammas(keys, counts + 1, first=2 * number + 1)
    return mean + noise / np.sqrt(1 + visits), weights / weights.sum(axis=-1, keepdims=True)


def greedy(
    visits: Visits,
    sums: Sums,
    counts: Transitions,
    keys: Keys | None,
    horizon: int,
    *,
    prior_mean: float = 1.0,
) -> Values:
    """Plan in the posterior mean."""
    return solve(*mean_process(visits, sums, counts, prior_mean), horizon)


def posterior_sampling(
    visits: Visits,
    sums: Sums,
    counts: Transitions,
    keys: Keys | None,
    horizon: int,
    *,
    prior_mean: float = 1.0,
) -> Values:
    """Plan in a process drawn from the posterior: PSRL.

    Strens 2000; Osband, Russo, Van Roy 2013.
    """
    if keys is None:
        return greedy(visits, sums, counts, keys, horizon, prior_mean=prior_mean)
    return solve(*drawn_process(visits, sums, counts, keys, 0, prior_mean), horizon)


def optimistic_sampling(
    visits: Visits,
    sums: Sums,
    counts: Transitions,
    keys: Keys | None,
    horizon: int,
    *,
    draws: int,
    prior_mean: float = 1.0,
) -> Values:
    """Plan in several processes drawn from the posterior, and take the larger Q everywhere: OPSRL.

    As Osband and Van Roy 2017 describe optimistic posterior sampling.
    """
    if keys is None:
        return greedy(visits, sums, counts, keys, horizon, prior_mean=prior_mean)
    best = solve(*drawn_process(visits, sums, counts, keys, 0, prior_mean), horizon)
    for number in range(1, draws):
        other = solve(*drawn_process(visits, sums, counts, keys, number, prior_mean), horizon)
        best = np.maximum(best, other)
    return best


def bonus(
    visits: Visits,
    sums: Sums,
    counts: Transitions,
    keys: Keys | None,
    horizon: int,
    *,
    weight: float,
    prior_mean: float = 1.0,
) -> Values:
    """Plan in the posterior mean with rewards raised by β/(1 + n): BEB (Kolter and Ng 2009).

    n counts the visits of state and action.
    """
    rewards, transitions = mean_process(visits, sums, counts, prior_mean)
    return solve(rewards + weight / (1 + visits), transitions, horizon)


def upper_confidence(
    visits: Visits,
    sums: Sums,
    counts: Transitions,
    keys: Keys | None,
    horizon: int,
    *,
    scale: float,
    prior_mean: float = 1.0,
) -> Values:
    """Plan in the best process of a confidence set: UCRL2 (Jaksch, Ortner, Auer 2010).

    Rewards within c √(L/(1 + n)) of the posterior mean, transitions within c √(S L/(1 + n)) of it
    in the sum of absolute differences; S counts states, n the visits, L = ln(1 + all visits). The
    scale c takes the place of the constants of their proof. The best transitions move as much
    probability as that allows from the worst next states to the best one.
    """
    rewards, transitions = mean_process(visits, sums, counts, prior_mean)
    states = rewards.shape[1]
    log_all = np.log1p(visits.sum(axis=(1, 2)))[:, None, None]
    rewards = rewards + scale * np.sqrt(log_all / (1 + visits))
    most_moved = np.minimum(scale * np.sqrt(states * log_all / (1 + visits)), 2.0) / 2
    values = np.zeros((len(rewards), horizon, *rewards.shape[1:]))
    following = np.zeros((len(rewards), states))
    for step in reversed(range(horizon)):
        order = np.argsort(following, axis=1, kind="stable")
        worth = np.take_along_axis(following, order, axis=1)[:, None, None]
        chances = np.take_along_axis(transitions, order[:, None, None], axis=-1)
        # From the worst upwards, so much is taken away; the best gets it.
        moved = np.minimum(most_moved, 1 - chances[..., -1])
        so_far = np.minimum(np.cumsum(chances, axis=-1), moved[..., None])
        taken = np.diff(so_far, axis=-1, prepend=0.0)
        optimistic = chances - taken
        optimistic[..., -1] += moved
        values[:, step] = rewards + (optimistic * worth).sum(axis=-1)
        following = values[:, step].max(axis=-1)
    return values
