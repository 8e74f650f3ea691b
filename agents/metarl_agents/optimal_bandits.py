"""Bernoulli bandits of unknown probabilities, solved: the best plan and what it is worth, exactly.

Each arm's probability is uniform in [0, 1] at first, so that after s payments and f failures it is
Beta(s + 1, f + 1), and pays next with probability (s + 1)/(s + f + 2). With n pulls left, a belief
b, which is all arms' (s, f), is worth

    V_n(b) = max over arms a of p_a (1 + V_{n−1}(b, s_a + 1)) + (1 − p_a) V_{n−1}(b, f_a + 1)

and V_0 = 0 (Bellman 1956). Arms are alike before they are pulled, so beliefs that differ in their
order are worth the same: they are kept sorted, which leaves few enough of them to solve by hand.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

MOST_BELIEFS = 400_000
"""So many beliefs are solved in seconds."""
_TIE = 1e-12
"""Values that differ by less are equal but for rounding."""

Codes = Int[np.ndarray, "belief arm"]
"""What is known of each arm, as a number; sorted in each row."""


@dataclass(frozen=True, eq=False)
class BanditPlan:
    """The best plan for some pulls of a bandit.

    Args:
        arms: k.
        pulls: n, of a whole trial.
        value: expected total reward of the trial.
        pull_rewards: expected reward of each pull. Their sum is the value; where arms are equally
            good, another best plan may share it out otherwise.
        beliefs: after 0, 1, … n − 1 pulls, the beliefs that can be, as sorted keys.
        choices: for each belief the place of the arm to pull, in the row sorted by code.

    """

    arms: int
    pulls: int
    value: float
    pull_rewards: Float[np.ndarray, " pull"]
    beliefs: tuple[np.ndarray, ...]
    choices: tuple[np.ndarray, ...]

    def choose(
        self, successes: Int[np.ndarray, "row arm"], failures: Int[np.ndarray, "row arm"]
    ) -> Int[np.ndarray, " row"]:
        """Choose the arm to pull in each row; after the plan's end, as for the last pull.

        Args:
            successes: payments of each arm so far.
            failures: pulls of each arm that paid nothing.

        """
        chosen: np.ndarray = np.argmax((successes + 1) / (successes + failures + 2), axis=1)
        codes = _codes(successes, failures)
        order = np.argsort(codes, axis=1, kind="stable")
        keys = _keys(np.take_along_axis(codes, order, axis=1))
        done = (successes + failures).sum(axis=1)
        for pull in np.unique(done[done < self.pulls]).tolist():
            rows = np.flatnonzero(done == pull)
            found = np.searchsorted(self.beliefs[pull], keys[rows])
            chosen[rows] = order[rows, self.choices[pull][found]]
        return chosen


def count_beliefs(arms: int, pulls: int) -> int:
    """Count the beliefs that `solve` goes through: multisets of `arms` pairs (s, f), Σ < pulls.

    The generating function is ∏ over pairs of 1/(1 − y x^(s + f)), y counting arms, x pulls.
    """
    ways = np.zeros((arms + 1, pulls), dtype=object)  # integers of any size
    ways[0, 0] = 1
    for total in range(1, pulls):
        for _ in range(total + 1):
            for used in range(1, arms + 1):
                ways[used, total:] += ways[used - 1, : pulls - total]
    return int(ways.sum())


@lru_cache(maxsize=4)
def solve(arms: int, pulls: int) -> BanditPlan:
    """Solve a bandit of `arms` arms for `pulls` pulls.

    Raises:
        ValueError: there are more beliefs than `MOST_BELIEFS`.

    """
    if arms < 1 or pulls < 1:
        raise ValueError(f"arms = {arms} and pulls = {pulls} must be at least 1")
    if count_beliefs(arms, pulls) > MOST_BELIEFS:
        raise ValueError(
            f"{pulls} pulls of {arms} arms lead to more than {MOST_BELIEFS:,} beliefs, too many to "
            "solve exactly"
        )
    paid, of = _pairs(pulls)
    mean = (paid + 1) / (of + 2)
    layers = [np.zeros((1, arms), dtype=np.int64)]
    following = []
    for _ in range(pulls):
        layer = layers[-1]
        after = [_after(layer, arm, outcome) for arm in range(arms) for outcome in (0, 1)]
        _, first, index = np.unique(
            _keys(np.concatenate(after)), return_index=True, return_inverse=True
        )
        layers.append(np.concatenate(after)[first])
        following.append(index.reshape(arms, 2, len(layer)))

    value = np.zeros(len(layers[-1]))
    choices = []
    for layer, index in zip(layers[-2::-1], following[::-1], strict=True):
        pays = mean[layer].T
        worth = pays * (1 + value[index[:, 1]]) + (1 - pays) * value[index[:, 0]]
        value = worth.max(axis=0)
        choices.append(np.argmax(worth > value - _TIE, axis=0))
    choices.reverse()

    share: np.ndarray = np.ones(1)
    pull_rewards = []
    for layer, index, chosen in zip(layers, following, choices, strict=False):
        rows = np.arange(len(layer))
        pays = mean[layer[rows, chosen]]
        pull_rewards.append(float((share * pays).sum()))
        reached = np.concatenate([index[chosen, 1, rows], index[chosen, 0, rows]])
        weights = np.concatenate([share * pays, share * (1 - pays)])
        share = np.bincount(reached, weights, minlength=int(index.max()) + 1)
    return BanditPlan(
        arms,
        pulls,
        float(value[0]),
        np.array(pull_rewards),
        tuple(_keys(layer) for layer in layers[:-1]),
        tuple(choices),
    )


def _codes(
    successes: Int[np.ndarray, "row arm"], failures: Int[np.ndarray, "row arm"]
) -> Int[np.ndarray, "row arm"]:
    """Number the pairs (s, f) by s + f, then by s."""
    pulls = successes + failures
    codes: np.ndarray = pulls * (pulls + 1) // 2 + successes
    return codes


def _pairs(most: int) -> tuple[Int[np.ndarray, " code"], Int[np.ndarray, " code"]]:
    """Give s, and s + f, of each code up to s + f = most."""
    pulls = np.repeat(np.arange(most + 1), np.arange(1, most + 2))
    return np.arange(len(pulls)) - pulls * (pulls + 1) // 2, pulls


def _after(layer: Codes, arm: int, outcome: int) -> Codes:
    """Give the beliefs after a pull of an arm that paid, or did not."""
    changed = layer.copy()
    code = layer[:, arm]
    pulls = ((np.sqrt(8 * code + 1) - 1) / 2).astype(np.int64)
    changed[:, arm] = code + pulls + 1 + outcome
    return np.sort(changed, axis=1)


def _keys(codes: Codes) -> np.ndarray:
    """Give a sortable key for each row."""
    rows = np.ascontiguousarray(codes.astype(">u4"))
    return rows.view(f"S{4 * codes.shape[1]}")[:, 0]
