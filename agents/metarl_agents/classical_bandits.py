"""Classical methods for Bernoulli bandits, each a score of every arm; the best score is pulled.

Beliefs start uniform: after s payments and f failures an arm is Beta(s + 1, f + 1). Ties go to the
first arm, which costs nothing where arms are drawn alike. Where a method draws at random and is
asked for its most likely action, it takes the posterior means instead.

As baselines of RL² by Duan et al. 2016.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from metarl.agent.memory import MemoryActor
from metarl.agent.protocol import AgentState, Memory
from metarl_agents import optimal_bandits
from metarl_agents.posterior_draws import Keys, gammas, uniforms

Counts = Int[np.ndarray, "row arm"]
Scores = Float[np.ndarray, "row arm"]
Choices = Int[np.ndarray, " row"]
Choose = Callable[[Counts, Counts, Keys | None], Choices]
"""From payments, failures, and a key for each row (None: without chance), the arm to pull."""


_CHARGES = 101


class BanditActor(MemoryActor):
    """Pulls arms by a method; remembers what each arm has paid, and the arm just pulled.

    Args:
        arms: k.
        method: chooses.
        state: where a trial stands.

    """

    def __init__(self, arms: int, method: Choose, state: AgentState) -> None:
        super().__init__(state)
        self._arms, self._method = arms, method

    def blank(self, rows: int) -> Memory:
        """Give the memory of trials without a pull."""
        nothing = np.zeros((rows, self._arms), dtype=np.int64)
        return nothing, nothing.copy(), np.zeros(rows, dtype=np.int64)

    def draw_noise(self, generator: np.random.Generator, steps: int) -> Float[np.ndarray, " time"]:
        """Draw a key for each step."""
        return generator.random(steps)

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, " row"] | None,
    ) -> tuple[Choices, Memory]:
        """Choose an arm in each trial."""
        paid, failed, _ = memory
        chosen = self._method(paid, failed, noise)
        return chosen, (paid, failed, chosen)

    def observe(
        self, memory: Memory, rewards: Float[np.ndarray, " row"], ended: Bool[np.ndarray, " row"]
    ) -> Memory:
        """Count what the arm paid; that an episode ended says nothing."""
        paid, failed, chosen = memory
        pulled = chosen[:, None] == np.arange(self._arms)
        pays = (rewards > 0.5)[:, None]
        return paid + (pulled & pays), failed + (pulled & ~pays), chosen


def means(paid: Counts, failed: Counts) -> Scores:
    """Give each arm's posterior mean, (s + 1)/(s + f + 2)."""
    mean: np.ndarray = (paid + 1) / (paid + failed + 2)
    return mean


def best_of(scores: Scores) -> Choices:
    """Give the first arm of the largest score."""
    best: np.ndarray = np.argmax(scores, axis=1)
    return best


def greedy(paid: Counts, failed: Counts, keys: Keys | None) -> Choices:
    """Pull the arm of the largest posterior mean."""
    return best_of(means(paid, failed))


def epsilon_greedy(paid: Counts, failed: Counts, keys: Keys | None, *, epsilon: float) -> Choices:
    """Pull any arm with probability ε, else the one of the largest posterior mean."""
    best = greedy(paid, failed, keys)
    if keys is None:
        return best
    draws = uniforms(keys, 2)
    return np.where(draws[:, 0] < epsilon, any_of(paid.shape[1], draws[:, 1]), best)


def ucb1(paid: Counts, failed: Counts, keys: Keys | None, *, exploration: float) -> Choices:
    """Pull the arm of the largest mean + c √(2 ln t / T) (Auer, Cesa-Bianchi, Fischer 2002).

    T counts an arm's pulls and t all of them; each arm starts with one payment and one failure.
    """
    pulls = paid + failed + 2
    log_all = np.log(pulls.sum(axis=1, keepdims=True))
    return best_of(means(paid, failed) + exploration * np.sqrt(2 * log_all / pulls))


def thompson(paid: Counts, failed: Counts, keys: Keys | None) -> Choices:
    """Draw each arm's probability from the posterior; pull the largest (Thompson 1933)."""
    if keys is None:
        return greedy(paid, failed, keys)
    return best_of(_drawn(paid, failed, keys, 0))


def optimistic_thompson(paid: Counts, failed: Counts, keys: Keys | None, *, draws: int) -> Choices:
    """Draw all arms' probabilities several times; pull by the likeliest of these draws.

    The likeliest is the one of the highest posterior density, Σ over arms of s ln p + f ln(1 − p).
    After May et al. 2012. This reading fits the table of Duan et al. 2016; the largest of several
    draws of each arm does not (5.97 for 5 arms and 10 pulls, published 6.5).
    """
    if keys is None:
        return greedy(paid, failed, keys)
    likeliest, best = np.full(len(paid), -np.inf), np.zeros(paid.shape)
    for draw in range(draws):
        drawn = _drawn(paid, failed, keys, draw)
        likelihood = (paid * np.log(drawn) + failed * np.log1p(-drawn)).sum(axis=1)
        better = likelihood > likeliest
        likeliest = np.where(better, likelihood, likeliest)
        best = np.where(better[:, None], drawn, best)
    return best_of(best)


def gittins(paid: Counts, failed: Counts, keys: Keys | None, *, pulls: int) -> Choices:
    """Pull the arm of the largest finite-horizon Gittins index (see `gittins_indices`).

    From `pulls` pulls on, the posterior mean is the index: that of one pull left.
    """
    indices = gittins_indices(pulls)
    left = pulls - (paid + failed).sum(axis=1, keepdims=True)
    scores = means(paid, failed)
    planned = np.flatnonzero(left > 0)
    scores[planned] = indices.of(paid[planned], failed[planned], left[planned])
    return best_of(scores)


def optimal(paid: Counts, failed: Counts, keys: Keys | None, *, pulls: int) -> Choices:
    """Pull by the best plan (see `metarl_agents.optimal_bandits`)."""
    return optimal_bandits.solve(paid.shape[1], pulls).choose(paid, failed)


class GittinsIndices:
    """Indices of an arm by payments, failures and pulls left.

    Args:
        tables: for 1, 2, … n pulls left, the index by payments and failures; each is smaller.

    """

    def __init__(self, tables: list[np.ndarray]) -> None:
        sizes = [table.size for table in tables]
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._widths = np.array([table.shape[1] for table in tables])
        self._values = np.concatenate([table.ravel() for table in tables])

    def of(
        self, paid: Counts, failed: Counts, left: Int[np.ndarray, "row #arm"]
    ) -> Float[np.ndarray, "row arm"]:
        """Give the index of each arm."""
        place = self._starts[left - 1] + paid * self._widths[left - 1] + failed
        found: np.ndarray = self._values[place].astype(np.float64)
        return found


@lru_cache(maxsize=2)
def gittins_indices(pulls: int) -> GittinsIndices:
    """Compute the index of every belief about an arm that can be, exactly but for interpolation.

    The index of an arm with n pulls left is the largest charge λ for each pull at which it is still
    worth pulling, stopping at will (Gittins 1979, for a finite horizon without discounting as in
    Niño-Mora 2011): the root of

        C_n(s, f) = p − λ + p W_{n−1}(s + 1, f) + (1 − p) W_{n−1}(s, f + 1),  W_n = max(0, C_n)

    with p = (s + 1)/(s + f + 2), W_0 = 0. It is computed at charges of equal distance; between two
    of them C is taken as straight. It is the best plan for one unknown arm against a known one,
    and nearly so for many.
    """
    charge = np.linspace(0.0, 1.0, _CHARGES)
    worth = np.zeros((pulls + 1, pulls + 1, _CHARGES))
    tables = []
    for left in range(1, pulls + 1):
        size = pulls - left + 1  # payments or failures before: at most pulls − left
        paid, failed = np.ogrid[:size, :size]
        pays = ((paid + 1) / (paid + failed + 2))[..., None]
        going_on = pays * worth[1 : size + 1, :size] + (1 - pays) * worth[:size, 1 : size + 1]
        going_on += pays - charge
        # C falls with the charge, from above 0 to below it.
        above = np.clip((going_on > 0).sum(axis=-1), 1, _CHARGES - 1)[..., None]
        upper = np.take_along_axis(going_on, above - 1, axis=-1)[..., 0]
        lower = np.take_along_axis(going_on, above, axis=-1)[..., 0]
        share = np.clip(upper / (upper - lower), 0.0, 1.0)
        tables.append(((above[..., 0] - 1 + share) / (_CHARGES - 1)).astype(np.float32))
        worth = np.maximum(going_on, 0.0)
    return GittinsIndices(tables)


def _drawn(paid: Counts, failed: Counts, keys: Keys, draw: int) -> Scores:
    """Draw each arm's probability from Beta(s + 1, f + 1)."""
    parts = gammas(keys, np.stack([paid, failed], axis=1) + 1.0, first=draw)
    # A draw that rounds to 0 or 1 would have an infinite logarithm.
    drawn: np.ndarray = np.clip(parts[:, 0] / (parts[:, 0] + parts[:, 1]), 1e-300, 1 - 1e-16)
    return drawn


def any_of(count: int, uniform_numbers: Float[np.ndarray, " row"]) -> Choices:
    """Turn uniform numbers into choices."""
    choices: np.ndarray = np.minimum((uniform_numbers * count).astype(np.int64), count - 1)
    return choices
