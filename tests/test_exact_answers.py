"""What is solved exactly: Bernoulli bandits, and the search for a goal in a grid."""

from functools import cache
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from metarl_agents import grid_search, optimal_bandits
from metarl_envs import grid


@pytest.mark.parametrize(
    ("arms", "pulls", "value"),
    [
        (2, 2, 13 / 12),
        (2, 5, 2.8889),
        (2, 10, 6.0218),
        (2, 20, 12.4313),
        (3, 10, 6.4096),
        (5, 5, 3.0521),
        (5, 10, 6.6600),
        (10, 10, 6.7140),
    ],
)
def test_bandits_are_worth_what_is_known(arms: int, pulls: int, value: float) -> None:
    plan = optimal_bandits.solve(arms, pulls)
    assert plan.value == pytest.approx(value, abs=5e-5)
    assert plan.pull_rewards.sum() == pytest.approx(plan.value, abs=1e-12)
    assert sum(map(len, plan.beliefs)) == optimal_bandits.count_beliefs(arms, pulls)


def test_the_rewards_of_ten_pulls_of_five_arms_rise_as_is_known() -> None:
    known = [0.500, 0.583, 0.625, 0.660, 0.684, 0.697, 0.714, 0.723, 0.734, 0.740]
    assert optimal_bandits.solve(5, 10).pull_rewards == pytest.approx(known, abs=5e-4)


def naive_value(arms: int, pulls: int) -> float:
    """By recursion over the counts of every arm, in their order."""

    @cache
    def value(counts: tuple[tuple[int, int], ...], left: int) -> float:
        if not left:
            return 0.0
        found = []
        for arm, (paid, failed) in enumerate(counts):
            pays = (paid + 1) / (paid + failed + 2)
            after = [*counts]
            after[arm] = (paid + 1, failed)
            good = value(tuple(after), left - 1)
            after[arm] = (paid, failed + 1)
            found.append(pays * (1 + good) + (1 - pays) * value(tuple(after), left - 1))
        return max(found)

    return value(((0, 0),) * arms, pulls)


@pytest.mark.parametrize(("arms", "pulls"), [(1, 4), (2, 7), (3, 6), (4, 5)])
def test_beliefs_kept_sorted_are_worth_what_all_beliefs_are(arms: int, pulls: int) -> None:
    solved = optimal_bandits.solve(arms, pulls).value
    assert solved == pytest.approx(naive_value(arms, pulls), abs=1e-12)


def test_the_plan_of_a_bandit_played_on_every_outcome_is_worth_its_value() -> None:
    """Each of the 2^8 sequences of outcomes, weighted by its probability under the belief."""
    arms, pulls = 3, 8
    plan = optimal_bandits.solve(arms, pulls)
    outcomes = np.array(list(product([0, 1], repeat=pulls)))
    rows = np.arange(len(outcomes))
    paid, failed = np.zeros((2, len(rows), arms), dtype=np.int64)
    share = np.ones(len(rows))
    for pull in range(pulls):
        chosen = plan.choose(paid, failed)
        pays = (paid[rows, chosen] + 1) / (paid[rows, chosen] + failed[rows, chosen] + 2)
        share *= np.where(outcomes[:, pull] == 1, pays, 1 - pays)
        paid[rows, chosen] += outcomes[:, pull]
        failed[rows, chosen] += 1 - outcomes[:, pull]
    assert share.sum() == pytest.approx(1)
    assert (share * outcomes.sum(axis=1)).sum() == pytest.approx(plan.value, abs=1e-12)


def test_rows_at_different_pulls_are_chosen_for_by_themselves() -> None:
    plan = optimal_bandits.solve(3, 6)
    generator = np.random.default_rng(1)
    paid, failed = generator.integers(0, 2, (2, 40, 3))
    together = plan.choose(paid, failed)
    alone = [plan.choose(paid[[row]], failed[[row]])[0] for row in range(40)]
    assert together.tolist() == alone
    late = np.array([[3, 4, 0]])  # after the plan's end: the arm that pays most
    assert plan.choose(late, np.array([[3, 2, 0]])).tolist() == [1]


def test_bandits_of_too_many_beliefs_are_refused() -> None:
    with pytest.raises(ValueError, match="too many to solve exactly"):
        optimal_bandits.solve(5, 100)


def test_the_search_of_the_published_grid_is_proven_best() -> None:
    found = grid_search.search()
    assert found.proven_best
    assert found.value == found.bound == pytest.approx(37.2142857, abs=1e-6)
    assert found.episode_returns == pytest.approx([4.0, *[11.0714286] * 3], abs=1e-6)
    assert found.episode_returns.sum() == pytest.approx(found.value)


def test_grid_and_search_agree_on_goals_and_moves() -> None:
    assert np.array_equal(grid_search.goal_cells(5), grid.goal_cells(5))
    assert np.array_equal(grid_search.MOVES, grid.MOVES)


def test_played_in_the_environment_the_search_returns_what_is_said() -> None:
    found = grid_search.search()
    environment: Any = gym.make("metarl_envs:metarl/GridNavi-v0")
    returns = np.zeros((21, 4))
    for task, goal in enumerate(grid.goal_cells(5)):
        known = False
        for episode in range(4):
            position, _ = environment.reset(options={"task": task})
            for time in range(15):
                action = int(found.actions[episode, time])
                if known:
                    away = goal - position
                    action = 2 if away[0] > 0 else 1 if away[1] > 0 else 0
                position, reward, *_ = environment.step(action)
                known |= reward > 0
                returns[task, episode] += reward
    assert returns.mean(axis=0) == pytest.approx(found.episode_returns)


@pytest.mark.parametrize(("size", "episodes", "horizon"), [(3, 1, 6), (3, 2, 3), (4, 1, 6)])
def test_no_sequence_of_actions_is_better(size: int, episodes: int, horizon: int) -> None:
    found = grid_search.search(size, episodes, horizon)
    assert found.proven_best
    paths = {}  # of an episode, by the cells it visits
    for actions in product(range(1, 5), repeat=horizon):
        path = grid_search.path_of(np.array(actions), size)
        paths.setdefault(path.tobytes(), actions)
    best = max(
        grid_search.expected_returns(np.array(plan), size).sum()
        for plan in product(paths.values(), repeat=episodes)
    )
    assert found.value == pytest.approx(best)


@pytest.mark.parametrize(("size", "episodes", "horizon"), [(2, 1, 5), (9, 1, 5), (5, 0, 5)])
def test_a_grid_that_cannot_be_searched_is_refused(size: int, episodes: int, horizon: int) -> None:
    with pytest.raises(ValueError, match=f"size = {size} must lie between 3 and 8"):
        grid_search.search(size, episodes, horizon)
