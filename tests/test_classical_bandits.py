"""Methods for bandits that are not learned: their mathematics, and published numbers."""

from functools import partial

import numpy as np
import pytest

from metarl.agent.protocol import AgentState
from metarl_agents import classical_bandits as bandits

NOTHING = AgentState(np.zeros(0))


def played(method: bandits.Choose, arms: int, pulls: int, rows: int = 2000) -> tuple[float, float]:
    """Mean total and standard error on bandits that all methods share."""
    generator = np.random.default_rng(3)
    probabilities, luck = generator.random((rows, arms)), generator.random((2, pulls, rows))
    actor = bandits.BanditActor(arms, method, NOTHING)
    memory, total = actor.begin(rows), np.zeros(rows)
    for noise, draws in zip(*luck, strict=True):
        chosen, memory = actor.choose(np.zeros((rows, 1)), memory, noise)
        rewards = (draws < probabilities[np.arange(rows), chosen]).astype(np.float64)
        memory = actor.observe(memory, rewards, np.ones(rows, dtype=bool))
        total += rewards
    return float(total.mean()), float(total.std() / np.sqrt(rows))


# Bandits, by Duan et al. 2016, table 1; 1,000 instances, so their standard error is about 0.08 at
# 10 pulls and 0.45 at 100.


@pytest.mark.parametrize(
    ("method", "arms", "pulls", "published", "error"),
    [
        (bandits.greedy, 5, 10, 6.6, 0.08),
        (bandits.thompson, 5, 10, 5.7, 0.08),
        (bandits.thompson, 10, 10, 5.5, 0.08),
        (partial(bandits.optimistic_thompson, draws=20), 5, 10, 6.5, 0.08),
        (partial(bandits.optimistic_thompson, draws=20), 10, 10, 6.2, 0.08),
        (partial(bandits.ucb1, exploration=0.1), 5, 10, 6.7, 0.08),
        (partial(bandits.gittins, pulls=10), 5, 10, 6.6, 0.08),
        (bandits.greedy, 5, 100, 74.8, 0.45),
        (bandits.thompson, 5, 100, 74.7, 0.45),
        (partial(bandits.epsilon_greedy, epsilon=0.02), 5, 100, 75.4, 0.45),
        (partial(bandits.ucb1, exploration=0.2), 5, 100, 78.0, 0.45),
        (partial(bandits.gittins, pulls=100), 5, 100, 78.3, 0.45),
    ],
)
def test_bandit_methods_return_what_is_published(
    method: bandits.Choose, arms: int, pulls: int, published: float, error: float
) -> None:
    total, own_error = played(method, arms, pulls)
    # A tenth of theirs is lost to rounding; theirs is one draw of 1,000 instances as well.
    assert abs(total - published) < 3 * np.hypot(error, own_error) + 0.05


def test_greedy_goes_by_posterior_means_and_ties_go_to_the_first() -> None:
    paid, failed = np.array([[3, 1, 0], [1, 1, 0]]), np.array([[3, 0, 0], [1, 1, 0]])
    assert bandits.means(paid, failed).tolist() == [[1 / 2, 2 / 3, 1 / 2], [1 / 2, 1 / 2, 1 / 2]]
    assert bandits.greedy(paid, failed, None).tolist() == [1, 0]


def test_gittins_indices_are_exact_where_they_can_be_worked_out() -> None:
    indices = bandits.gittins_indices(3)

    def index(paid: int, failed: int, left: int) -> float:
        return float(indices.of(*np.array([[[paid]], [[failed]], [[left]]]))[0, 0])

    assert index(0, 0, 1) == pytest.approx(1 / 2, abs=1e-6)
    assert index(2, 0, 1) == pytest.approx(3 / 4, abs=1e-6)
    # Two pulls left: 1/2 − λ + 1/2 (2/3 − λ) = 0 at λ = 5/9; after a failure one stops.
    assert index(0, 0, 2) == pytest.approx(5 / 9, abs=1e-6)
    # Three: 1/2 − λ + 1/2 (2/3 − λ + 2/3 (3/4 − λ) + 1/3 (1/2 − λ)⁺) = 0 at λ = 13/22.
    assert index(0, 0, 3) == pytest.approx(13 / 22, abs=1e-4)


def test_past_the_planned_trial_gittins_goes_by_posterior_means() -> None:
    paid, failed = np.array([[3, 0], [9, 30], [200, 1]]), np.array([[0, 0], [30, 0], [0, 0]])
    assert bandits.gittins(paid[:2], failed[:2], None, pulls=10).tolist() == [0, 1]
    assert bandits.gittins(paid, failed, None, pulls=10).tolist() == [0, 1, 0]


def test_the_likeliest_of_one_draw_is_thompson_sampling() -> None:
    paid, failed = np.random.default_rng(1).integers(0, 5, (2, 50, 4))
    keys = np.random.default_rng(2).random(50)
    once = bandits.optimistic_thompson(paid, failed, keys, draws=1)
    assert once.tolist() == bandits.thompson(paid, failed, keys).tolist()


def test_without_chance_the_methods_that_draw_are_greedy() -> None:
    paid, failed = np.random.default_rng(1).integers(0, 5, (2, 50, 4))
    best = bandits.greedy(paid, failed, None).tolist()
    for method in (
        bandits.thompson,
        partial(bandits.optimistic_thompson, draws=3),
        partial(bandits.epsilon_greedy, epsilon=0.9),
        partial(bandits.ucb1, exploration=0.0),
    ):
        assert method(paid, failed, None).tolist() == best
