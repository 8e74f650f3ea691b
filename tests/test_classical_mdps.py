"""Methods for random processes that are not learned: their mathematics, and published numbers."""

from functools import partial

import numpy as np
import pytest

from metarl.agent.protocol import AgentState
from metarl_agents import classical_mdps as mdps

NOTHING = AgentState(np.zeros(0))


def played_mdp(plan: mdps.Plan, rows: int = 300, episodes: int = 10, epsilon: float = 0.0) -> float:
    """Mean total on random processes that all methods share."""
    generator = np.random.default_rng(3)
    means = generator.normal(1, 1, (rows, 10, 5))
    ways = np.cumsum(generator.dirichlet(np.ones(10), (rows, 10, 5)), axis=-1)
    actor = mdps.ModelActor(10, 5, 10, plan, NOTHING, epsilon)
    memory, total, every = actor.begin(rows), np.zeros(rows), np.arange(rows)
    for _ in range(episodes):
        state = np.zeros(rows, dtype=np.int64)
        for time in range(10):
            chosen, memory = actor.choose(np.eye(10)[state], memory, generator.random(rows))
            rewards = means[every, state, chosen] + generator.standard_normal(rows)
            total += rewards
            draws = generator.random(rows)[:, None]
            state = np.minimum((ways[every, state, chosen] <= draws).sum(axis=1), 9)
            memory = actor.observe(memory, rewards, np.full(rows, time == 9))
    return float(total.mean())


def test_backward_induction_is_that_of_a_naive_loop() -> None:
    generator = np.random.default_rng(1)
    rewards = generator.normal(size=(2, 3, 2))
    transitions = generator.dirichlet(np.ones(3), (2, 3, 2))
    values = mdps.solve(rewards, transitions, 4)
    for row in range(2):
        following = [0.0] * 3
        for step in reversed(range(4)):
            for state in range(3):
                for action in range(2):
                    chances = transitions[row, state, action]
                    ahead = sum(p * v for p, v in zip(chances, following, strict=True))
                    expected = rewards[row, state, action] + ahead
                    assert values[row, step, state, action] == pytest.approx(expected)
            following = values[row, step].max(axis=-1).tolist()


def test_beliefs_are_the_posterior() -> None:
    visits, sums = np.full((1, 2, 1), 3), np.full((1, 2, 1), 6.0)
    counts = np.array([[[[3.0, 0.0]], [[1.0, 2.0]]]])
    rewards, transitions = mdps.mean_process(visits, sums, counts)
    assert rewards.tolist() == [[[7 / 4], [7 / 4]]]
    assert transitions[0, :, 0].ravel() == pytest.approx([4 / 5, 1 / 5, 2 / 5, 3 / 5])
    assert mdps.mean_process(visits, sums, counts, 0.0)[0].tolist() == [[[6 / 4], [6 / 4]]]
    many = [np.repeat(part, 20_000, axis=0) for part in (visits, sums, counts)]
    keys = np.random.default_rng(1).random(20_000)
    rewards, transitions = mdps.drawn_process(*many, keys, 0)
    assert rewards.mean(axis=0).ravel() == pytest.approx([1.75] * 2, abs=0.02)
    assert rewards.std(axis=0).ravel() == pytest.approx([0.5] * 2, abs=0.02)
    assert transitions.mean(axis=0)[:, 0, 0] == pytest.approx([0.8, 0.4], abs=0.01)


def test_upper_confidence_moves_probability_to_the_best_next_state() -> None:
    visits, sums = np.zeros((1, 2, 1), dtype=np.int64), np.zeros((1, 2, 1))
    sums[0, 1], visits[0, 1] = 99.0, 9  # the second state pays (1 + 99)/(1 + 9) = 10
    counts = np.zeros((1, 2, 1, 2))
    scale, log_all = 0.3, np.log(10)
    values = mdps.upper_confidence(visits, sums, counts, None, 2, scale=scale)
    last = np.array([1 + scale * np.sqrt(log_all), 10 + scale * np.sqrt(log_all / 10)])
    assert values[0, 1, :, 0] == pytest.approx(last)
    moved = min(scale * np.sqrt(2 * log_all) / 2, 0.5)
    expected = last[0] + (0.5 - moved) * last[0] + (0.5 + moved) * last[1]
    assert values[0, 0, 0, 0] == pytest.approx(expected)
    plain = mdps.greedy(visits, sums, counts, None, 2)
    assert np.allclose(mdps.upper_confidence(visits, sums, counts, None, 2, scale=0.0), plain)
    assert np.allclose(mdps.bonus(visits, sums, counts, None, 2, weight=0.0), plain)


def test_every_method_plans_by_the_prior_that_it_is_given() -> None:
    """Who has tried nothing plans in N(m, 1): a step is worth m more than by N(0, 1)."""
    visits, counts = np.zeros((1, 3, 2), dtype=np.int64), np.zeros((1, 3, 2, 3))
    keys = np.array([0.3])
    for plan in (
        mdps.greedy,
        mdps.posterior_sampling,
        partial(mdps.optimistic_sampling, draws=3),
        partial(mdps.bonus, weight=0.5),
        partial(mdps.upper_confidence, scale=0.2),
    ):
        one, other = (
            plan(visits, np.zeros((1, 3, 2)), counts, keys, 4, prior_mean=prior)
            for prior in (0.0, 2.5)
        )
        left = np.arange(4, 0, -1)[None, :, None, None]
        assert other - one == pytest.approx(np.broadcast_to(2.5 * left, one.shape))


def test_the_actor_counts_what_it_saw() -> None:
    actor = mdps.ModelActor(3, 2, 2, mdps.greedy, NOTHING)
    memory = actor.begin(1)
    for state, reward, ended in [(0, 1.5, False), (2, 0.5, True), (0, 2.5, False), (1, 1.0, True)]:
        chosen, memory = actor.choose(np.eye(3)[[state]], memory, None)
        memory = actor.observe(memory, np.array([reward]), np.array([ended]))
        assert chosen[0] in (0, 1)
    visits, sums, counts, *_ = memory
    assert (visits.sum(), sums.sum(), counts.sum()) == (4, 5.5, 2)  # ends lead nowhere
    assert visits[0, 0].tolist() == [2, 0]
    assert counts[0, 0, 0].tolist() == [0, 1, 1]


def test_methods_of_processes_return_what_is_published() -> None:
    """10 episodes; published: random 100.1, PSRL 138.1, UCRL2 146.6, BEB 150.2, greedy 134.8."""
    random = played_mdp(mdps.greedy, epsilon=1.0)
    assert abs(random - 100.1) < 7  # the standard error over 300 processes is about 1.9
    sampling = played_mdp(mdps.posterior_sampling)
    assert abs(sampling - 138.1) < 7
    assert abs(played_mdp(partial(mdps.upper_confidence, scale=0.1)) - 146.6) < 8
    assert abs(played_mdp(partial(mdps.bonus, weight=0.6)) - 150.2) < 8
    assert played_mdp(mdps.greedy) > sampling  # our prior is right, which helps
