"""Statistics of scores, by brute force and by hand."""

import itertools

import numpy as np
import pytest

from metarl.learning import score_statistics as statistics

GENERATOR = np.random.default_rng(1)
SAMPLES = 20_000


def scores(runs, tasks):
    """Scores with many that are equal."""
    return GENERATOR.integers(0, 6, size=(runs, tasks)) / 4


def test_normalised_maps_the_ends_to_0_and_1():
    returns = np.array([[-60.0, -10.0], [-35.0, 15.0]])
    np.testing.assert_allclose(
        statistics.normalised(returns, -60.0, -10.0), [[0.0, 1.0], [0.5, 1.5]]
    )


@pytest.mark.parametrize(
    ("allowed", "position"), [(0, 0), (399, 0), (400, 1), (1000, 2), (None, -1)]
)
def test_position_at_is_the_last_point_within_the_experience(allowed, position):
    assert statistics.position_at((0.0, 400.0, 800.0), allowed) == position


def test_the_interquartile_mean_is_that_of_the_middle_half():
    values = np.array([[100.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, -100.0]])
    assert statistics.interquartile_mean(values) == (2 + 3 + 4 + 5) / 4


def test_shares_above_thresholds_by_loops():
    found, thresholds = scores(3, 5), np.array([-1.0, 0.0, 0.25, 0.3, 2.0])
    expected = [
        [sum(score > threshold for score in run) / 5 for threshold in thresholds] for run in found
    ]
    np.testing.assert_allclose(statistics.shares_above(found, thresholds), expected)


def test_the_probability_of_improvement_by_loops():
    first, second = scores(3, 4), scores(2, 4)
    total = 0.0
    for task in range(4):
        pairs = itertools.product(first[:, task], second[:, task])
        total += np.mean([1.0 if x > y else 0.5 if x == y else 0.0 for x, y in pairs]) / 4
    assert statistics.wins(first, second).mean() == pytest.approx(total)
    assert statistics.wins(second, first).mean() == pytest.approx(1 - total)


def every_draw(runs):
    """All ways of drawing runs with replacement, equally likely."""
    return [list(draw) for draw in itertools.product(range(runs), repeat=runs)]


def same_distribution(samples, exact):
    """Compare the shares of values that come up with those of every possible draw."""
    exact = np.round(exact, 9)
    values, counts = np.unique(np.round(samples, 9), return_counts=True)
    assert set(values) <= set(exact)
    for value, count in zip(values, counts, strict=True):
        assert count / len(samples) == pytest.approx(np.mean(exact == value), abs=0.02)


def test_means_of_draws_have_the_distribution_of_all_draws():
    per_run = np.array([0.0, 1.0, 10.0])
    samples = statistics.means_of_draws(per_run, SAMPLES, np.random.default_rng(2))
    same_distribution(samples, [per_run[draw].mean() for draw in every_draw(3)])


def test_means_of_draws_draw_whole_rows():
    per_run = np.array([[0.0, 1.0], [2.0, 5.0]])
    samples = statistics.means_of_draws(per_run, 50, np.random.default_rng(2))
    assert {tuple(it) for it in samples} == {(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)}


def test_interquartile_means_of_draws_have_the_distribution_of_all_draws():
    found = GENERATOR.normal(size=(3, 4))
    samples = statistics.interquartile_means_of_draws(found, SAMPLES, np.random.default_rng(2))
    assert samples.shape == (SAMPLES,)
    exact = [np.sort(found[draw], axis=None)[3:9].mean() for draw in every_draw(3)]
    same_distribution(samples, exact)


def test_improvements_of_draws_draw_the_runs_of_both():
    won = np.array([[1.0, 0.25, 0.5], [0.0, 0.75, 0.0]])
    samples = statistics.improvements_of_draws(won, SAMPLES, np.random.default_rng(2))
    exact = [
        won[np.ix_(first, second)].mean() for first in every_draw(2) for second in every_draw(3)
    ]
    same_distribution(samples, exact)


def test_the_interval_has_the_middle_95_percent():
    samples = np.stack([np.arange(1001.0), -np.arange(1001.0)], axis=1)
    np.testing.assert_allclose(statistics.interval(samples), [[25, 975], [-975, -25]])


def test_curves_on_common_steps_lie_on_the_lines_between_their_points():
    steps, values = statistics.on_common_steps(
        [([10, 20, 40], [1.0, 3.0, 5.0]), ([15, 30, 60], [0.0, 3.0, 9.0])]
    )
    np.testing.assert_array_equal(steps, [15, 20, 30, 40])
    np.testing.assert_allclose(values, [[2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 3.0, 5.0]])


def test_curves_of_equal_steps_are_as_they_are():
    steps, values = statistics.on_common_steps([([1, 2], [5.0, 6.0]), ([1, 2], [7.0, 8.0])])
    np.testing.assert_array_equal(steps, [1, 2])
    np.testing.assert_array_equal(values, [[5.0, 6.0], [7.0, 8.0]])
