"""The best search for a hidden goal in a grid, over a trial of several episodes: GridNavi, solved.

The grid and its rewards are those of Zintgraf et al. 2020 (VariBAD): start (0, 0) in each of m
episodes of H steps, +1 on the goal and −0.1 elsewhere, the goal equally likely on each cell with
x > 1 or y > 1. What is maximised is the expected sum of all rewards of the trial.

Until the goal is found every step says the same ("not here"), so that a search is a fixed path, and
what is left of the belief is uniform over the cells that it has not visited. Once it is found, the
best is to stay, and in later episodes to go there straight. So a goal at distance d (steps from
the start) that is found at step t = 1 … H of episode e = 1 … m is worth

    v(d, e, t) = −0.1 (H (e − 1) + t − 1) + (H + 1 − t) + (m − e) R(d),
    R(d) = H + 1 − d − 0.1 (d − 1),

and one that is never found −0.1 m H. The best search maximises the mean of this over the goals.

*The bound.* Found in a later episode, a goal is worth at most v(d, e + 1, d); at step t of this one
it is worth 1.1 (H + 1 − t) more than that, whatever d is. (In the last episode, never found takes
the place of a later episode, with the same difference.) At most one goal is found in a step, and
within j steps none farther than j. Taking as many as that allows as soon as it allows bounds what
any search can get from where it stands.

*The search* goes forward step by step over the states (cell, goals left). Of the ways to a state
only the best is kept, which loses nothing, and no state whose bound is less than a value that is
already known. Where the best value found equals the bound at the start, or no state had to be
dropped for want of room, the search is proven best. So it is for the published size: 37.2143 for 4
episodes of 15 steps, on average 4.0 in the first and 11.0714 in each other one.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

MOVES = np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
"""x, y of each action: stay, up, right, down, left."""
STEP_COST = 0.1
_WIDTHS = (2_000, 50_000)
"""So many states are kept after each step, those of the largest bounds; the second where the first
does not settle it.
"""
_ONES = np.array([bin(byte).count("1") for byte in range(256)])
_EXACT = 1e-9

Cells = Int[np.ndarray, "cell 2"]


@dataclass(frozen=True, eq=False)
class GridSearch:
    """A search, and what it is worth.

    Args:
        size: cells along each side.
        episodes: m, of a trial.
        horizon: H, steps of an episode.
        actions: what to do at each step of each episode while the goal is not found.
        value: expected sum of the rewards of a trial.
        bound: no search is worth more.
        episode_returns: expected return of each episode. Their sum is the value; another search of
            equal value may share it out otherwise.

    """

    size: int
    episodes: int
    horizon: int
    actions: Int[np.ndarray, "episode time"]
    value: float
    bound: float
    episode_returns: Float[np.ndarray, " episode"]

    @property
    def proven_best(self) -> bool:
        """Whether the search attains the bound, so that none is better."""
        return self.bound - self.value < _EXACT


def goal_cells(size: int) -> Cells:
    """Give the cells x, y that may hold the goal, those with x > 1 or y > 1."""
    cells = [(x, y) for x in range(size) for y in range(size) if max(x, y) > 1]
    return np.array(cells)


@lru_cache(maxsize=4)
def search(size: int = 5, episodes: int = 4, horizon: int = 15) -> GridSearch:
    """Search for the best search.

    Raises:
        ValueError: the grid is smaller than 3 × 3 or larger than 8 × 8, or there is no step.

    """
    if not 3 <= size <= 8 or episodes < 1 or horizon < 1:
        raise ValueError(
            f"size = {size} must lie between 3 and 8, episodes = {episodes} and horizon = "
            f"{horizon} must be at least 1"
        )
    grid = _Grid(size, episodes, horizon)
    bound = float(grid.bounds(grid.start, 1, 0)[0])
    best, floor = np.zeros((episodes, horizon), dtype=np.int64), -np.inf
    for width in _WIDTHS:
        plan, dropped = _search(grid, episodes, horizon, width, floor)
        if plan is not None:
            best = plan
            floor = float(expected_returns(best, size).sum()) * len(grid.goals)
        if not dropped:
            bound = floor
        if bound - floor < _EXACT:
            break
    returns = expected_returns(best, size)
    goals = len(grid.goals)
    return GridSearch(size, episodes, horizon, best, float(returns.sum()), bound / goals, returns)


def _search(
    grid: "_Grid", episodes: int, horizon: int, width: int, floor: float
) -> tuple[Int[np.ndarray, "episode time"] | None, bool]:
    """Search with at most `width` states; give the best actions, and whether any were dropped.

    Where no state can be worth more than `floor`, summed over the goals, there are no actions.
    """
    beam, any_dropped = grid.start, False
    trail: list[tuple[np.ndarray, np.ndarray]] = []
    for episode in range(1, episodes + 1):
        beam = _Beam(np.zeros_like(beam.cell), beam.left, beam.gained)
        for step in range(1, horizon + 1):
            beam, before, action, dropped = grid.advance(beam, episode, step, width, floor)
            any_dropped |= dropped
            trail.append((before, action))
            if not len(beam.cell):
                return None, any_dropped
    last = int(np.argmax(grid.bounds(beam, episodes, horizon)))
    actions = []
    for before, action in reversed(trail):
        actions.append(int(action[last]))
        last = int(before[last])
    return np.array(actions[::-1]).reshape(episodes, horizon), any_dropped


def expected_returns(
    actions: Int[np.ndarray, "episode time"], size: int = 5
) -> Float[np.ndarray, " episode"]:
    """Give each episode's expected return for a search by these actions, the goal then kept."""
    episodes, horizon = actions.shape
    goals = goal_cells(size)
    returns = np.zeros((len(goals), episodes))
    for number, goal in enumerate(goals):
        distance, found = int(goal.sum()), False
        for episode in range(episodes):
            if found:
                steps = min(distance, horizon + 1)
            else:
                path = path_of(actions[episode], size)
                there = np.flatnonzero((path == goal).all(axis=1))
                found = len(there) > 0
                steps = int(there[0]) + 1 if found else horizon + 1
            returns[number, episode] = horizon + 1 - steps - STEP_COST * (steps - 1)
    mean: np.ndarray = returns.mean(axis=0)
    return mean


def path_of(actions: Int[np.ndarray, " time"], size: int = 5) -> Cells:
    """Give the cell after each action of an episode."""
    cell, cells = np.zeros(2, dtype=np.int64), []
    for action in actions:
        cell = np.clip(cell + MOVES[action], 0, size - 1)
        cells.append(cell)
    return np.array(cells)


@dataclass(frozen=True)
class _Beam:
    """States of the search."""

    cell: Int[np.ndarray, " state"]
    left: np.ndarray
    """The goals not visited, as bits."""
    gained: Float[np.ndarray, " state"]
    """What the goals found are worth, summed."""


def _count(bits: np.ndarray) -> Int[np.ndarray, " state"]:
    """Count the bits that are set."""
    parts = np.ascontiguousarray(bits).view(np.uint8).reshape(-1, 8)
    counts: np.ndarray = _ONES[parts].sum(axis=1)
    return counts


class _Grid:
    """What the search asks of the grid."""

    def __init__(self, size: int, episodes: int, horizon: int) -> None:
        self._episodes, self._horizon = episodes, horizon
        cells = np.array([(x, y) for x in range(size) for y in range(size)])
        self.goals = goal_cells(size)
        moved = np.clip(cells[:, None] + MOVES, 0, size - 1)
        self._next = moved[..., 0] * size + moved[..., 1]
        places = self.goals[:, 0] * size + self.goals[:, 1]
        bits = np.uint64(1) << np.arange(len(places), dtype=np.uint64)
        self._bit = np.zeros(len(cells), dtype=np.uint64)
        self._bit[places] = bits
        self._distance = cells.sum(axis=1)
        self._goal_distance = self._distance[places]
        apart = np.abs(cells[:, None] - self.goals).sum(axis=-1)
        # The goals within j steps of a cell, as bits; (j, cell).
        self._near = np.array(
            [((apart <= steps) * bits).sum(axis=1, dtype=np.uint64) for steps in range(horizon + 1)]
        )
        self.start = _Beam(np.zeros(1, np.int64), bits.sum(keepdims=True), np.zeros(1))
        self._of_distance = [
            (distance, (bits * (self._goal_distance == distance)).sum(dtype=np.uint64))
            for distance in np.unique(self._goal_distance).tolist()
        ]

    def worth(self, distance: int | np.ndarray, episode: int, step: int | np.ndarray) -> np.ndarray:
        """Give v(d, e, t)."""
        straight = self._horizon + 1 - distance - STEP_COST * (distance - 1)
        before = self._horizon * (episode - 1) + step - 1
        worth: np.ndarray = np.asarray(
            -STEP_COST * before
            + (self._horizon + 1 - step)
            + (self._episodes - episode) * np.maximum(straight, -STEP_COST * self._horizon)
        )
        return worth

    def bounds(self, beam: _Beam, episode: int, step: int) -> Float[np.ndarray, " state"]:
        """Bound what the search gets in all, from states after a step of an episode."""
        bound = beam.gained.copy()
        never = -STEP_COST * self._episodes * self._horizon
        for distance, bits in self._of_distance:
            later = never
            if episode < self._episodes and distance <= self._horizon:
                later = max(never, float(self.worth(distance, episode + 1, distance)))
            bound += later * _count(beam.left & bits)
        found = np.zeros(len(bound), dtype=np.int64)
        for ahead in range(1, self._horizon - step + 1):
            within = _count(beam.left & self._near[ahead][beam.cell])
            more = within > found
            found += more
            bound += more * (1 + STEP_COST) * (self._horizon + 1 - step - ahead)
        return bound

    def advance(
        self, beam: _Beam, episode: int, step: int, width: int, floor: float
    ) -> tuple[_Beam, Int[np.ndarray, " state"], Int[np.ndarray, " state"], bool]:
        """Take a step from every state.

        Gives the `width` best states of those that may be worth more than `floor`, where each came
        from and by which action, and whether there were more.
        """
        count = len(beam.cell)
        action = np.repeat(np.arange(len(MOVES)), count)
        before = np.tile(np.arange(count), len(MOVES))
        cell = self._next[beam.cell[before], action]
        left = beam.left[before]
        found = (left & self._bit[cell]) > 0
        worth = self.worth(self._distance[cell], episode, step)
        gained = beam.gained[before] + np.where(found, worth, 0.0)
        left = left & ~self._bit[cell]
        # Of the ways to a state, the best.
        order = np.lexsort((-gained, left, cell))
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (np.diff(cell[order]) != 0) | (left[order][1:] != left[order][:-1])
        kept = order[fresh]
        following = _Beam(cell[kept], left[kept], gained[kept])
        bounds = self.bounds(following, episode, step)
        best = np.argsort(-bounds, kind="stable")
        best = best[bounds[best] > floor + _EXACT]
        chosen = kept[best[:width]]
        beam = _Beam(cell[chosen], left[chosen], gained[chosen])
        return beam, before[chosen], action[chosen], len(best) > width
