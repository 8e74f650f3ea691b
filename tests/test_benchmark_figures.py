"""Figures of a benchmark show the numbers that they are given."""

import numpy as np

from metarl.reports.benchmark_figures import (
    Returns,
    improvement_figure,
    learning_figure,
    profile_figure,
    returns_figure,
    styles_of,
)
from metarl.reports.benchmark_results import Profiles

STYLES = styles_of(["a", "b$"])


def line(axes, label):
    (found,) = (it for it in axes.get_lines() if it.get_label() == label)
    return found


def band(axes, number, across):
    """The lowest and the highest point of a band at one place."""
    vertices = axes.collections[number].get_paths()[0].vertices
    heights = vertices[vertices[:, 0] == across, 1]
    return heights.min(), heights.max()


def test_returns_have_a_panel_for_each_comparison_the_best_agent_on_top():
    figure = returns_figure(
        {
            "one": [Returns("b$", "memory", [3.0, 5.0]), Returns("a", "untrained", [1.0])],
            "none": [],
            "two": [Returns("a", "gradient", [7.0])],
            "three": [Returns("a", "gradient", [8.0])],
            "four": [Returns("a", "gradient", [9.0])],
        },
        "title",
    )
    panels = {it.get_title(): it for it in figure.axes if it.get_title()}
    assert list(panels) == ["one", "two", "three", "four"]
    assert [it.axison for it in figure.axes] == [True] * 4 + [False] * 2
    assert [it.get_text() for it in panels["one"].get_yticklabels()] == ["a", r"b\$"]
    dots = panels["one"].collections[1].get_offsets()
    np.testing.assert_array_equal(dots, [[3.0, 1], [5.0, 1]])
    np.testing.assert_array_equal(panels["one"].get_lines()[1].get_xdata(), [4.0, 4.0])
    (legend,) = figure.legends
    assert [it.get_text() for it in legend.get_texts()] == ["gradient", "memory", "untrained"]


def test_learning_curves_are_means_and_ranges_over_seeds():
    curves = {
        "a": [([10, 20], [1.0, 2.0]), ([10, 20], [3.0, 8.0])],
        "b$": [([5, 25], [0.0, 10.0])],
    }
    (axes,) = learning_figure(curves, STYLES, "title").axes
    np.testing.assert_array_equal(line(axes, "a").get_xdata(), [10, 20])
    np.testing.assert_array_equal(line(axes, "a").get_ydata(), [2.0, 5.0])
    np.testing.assert_array_equal(line(axes, r"b\$").get_ydata(), [0.0, 10.0])
    assert band(axes, 0, 20) == (2.0, 8.0)
    assert line(axes, "a").get_color() == "C0"
    assert line(axes, r"b\$").get_color() == "C1"


def test_profiles_are_shares_with_intervals_where_there_are_some():
    thresholds = np.array([0.0, 0.5, 1.0])
    shares = {"a": np.array([1.0, 0.5, 0.0]), "b$": np.array([1.0, 1.0, 0.25])}
    ci95 = {"a": np.array([[0.9, 1.0], [0.25, 0.75], [0.0, 0.1]])}
    (axes,) = profile_figure(Profiles(thresholds, shares, ci95), STYLES, "title").axes
    np.testing.assert_array_equal(line(axes, "a").get_xdata(), thresholds)
    np.testing.assert_array_equal(line(axes, "a").get_ydata(), shares["a"])
    np.testing.assert_array_equal(line(axes, r"b\$").get_ydata(), shares["b$"])
    assert band(axes, 0, 0.5) == (0.25, 0.75)


def test_a_field_has_the_probability_that_its_row_does_better():
    pairs = {
        "a": {"b$": {"probability": 0.75, "ci95": [0.5, 0.9]}},
        "b$": {"a": {"probability": 0.25, "ci95": [0.1, 0.5]}},
    }
    axes = improvement_figure(pairs, "title").axes[0]
    said = {
        (round(text.get_position()[1]), text.get_position()[0], text.get_text())
        for text in axes.texts
    }
    assert said == {
        (0, 1, "0.75"),
        (0, 1, "0.50 – 0.90"),
        (1, 0, "0.25"),
        (1, 0, "0.10 – 0.50"),
    }
    assert [it.get_text() for it in axes.get_yticklabels()] == ["a", r"b\$"]
    np.testing.assert_array_equal(axes.images[0].get_array().filled(np.nan)[0], [np.nan, 0.75])


def test_more_agents_than_colours_differ_in_their_lines():
    styles = styles_of([str(number) for number in range(40)])
    assert len(set(styles.values())) == 40
