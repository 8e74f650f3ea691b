"""Figures of a search show the scores of complete trials; pruned ones stand at the edge."""

import dataclasses

import numpy as np
import pytest

from metarl.api.starting_point import starting_point
from metarl.config.search_space import Choices, Span
from metarl.reports.tuning_figures import best_so_far, fields_figure, trials_figure
from metarl.reports.tuning_page import best_of, in_order
from metarl.runs.tuning_plan import Trial, TuningPlan

SPACE = {"hidden_sizes": Choices(((), (8, 8))), "inner_learning_rate": Span(0.01, 1.0, log=True)}
RETURNS = TuningPlan(starting_point("navigation-2d").config, SPACE, seeds=(1,))
LOSSES = dataclasses.replace(RETURNS, config=starting_point("sinusoid").config)


def trial(number, standing, score, sizes=(), rate=0.1):
    fields = {"hidden_sizes": sizes, "inner_learning_rate": rate}
    return Trial(number, standing, fields, score, "")


TRIALS = [
    trial(0, "failed", None),
    trial(1, "complete", 3.0, (8, 8), 0.5),
    trial(2, "pruned", 1.0),
    trial(3, "complete", 5.0),
    trial(4, "complete", 2.0, rate=0.02),
    trial(5, "complete", 5.0),
]


def points(axes, label):
    (line,) = [it for it in axes.get_lines() if it.get_label() == label]
    return np.asarray(line.get_xydata()).tolist()


@pytest.mark.parametrize(
    ("plan", "best", "order", "scores"),
    [
        (RETURNS, 3, [3, 5, 1, 4, 2, 0], [3, 3, 5, 5, 5]),
        (LOSSES, 4, [4, 1, 3, 5, 2, 0], [3, 3, 3, 2, 2]),
    ],
)
def test_the_best_is_the_complete_one_with_the_best_score_and_the_first_of_equals(
    plan, best, order, scores
):
    assert best_of(plan, TRIALS).number == best
    assert [it.number for it in in_order(plan, TRIALS)] == order
    assert best_so_far(plan, TRIALS) == ([1, 2, 3, 4, 5], scores)
    assert best_of(plan, TRIALS[:1]) is None


@pytest.mark.parametrize(
    ("plan", "edge", "scale"), [(RETURNS, 0.03, "linear"), (LOSSES, 0.97, "log")]
)
def test_pruned_trials_stand_at_the_worse_edge_and_do_not_stretch_the_axis(plan, edge, scale):
    (axes,) = trials_figure(plan, TRIALS, "title", "measure").axes
    assert points(axes, "complete") == [[1, 3], [3, 5], [4, 2], [5, 5]]
    assert points(axes, "pruned") == [[2, edge]]
    low, high = axes.get_ylim()
    assert 1.5 < low < 2
    assert 5 < high < 6.5
    assert axes.get_yscale() == scale


def test_each_field_has_a_panel_with_its_own_scale():
    sizes, rates = fields_figure(RETURNS, TRIALS, TRIALS[3], "title", "measure").axes
    assert points(sizes, "complete") == [[1, 3], [0, 5], [0, 2], [0, 5]]
    assert points(rates, "complete") == [[0.5, 3], [0.1, 5], [0.02, 2], [0.1, 5]]
    assert points(rates, "best") == [[0.1, 5]]
    assert [it.get_text() for it in sizes.get_xticklabels()] == ["none", "8 8"]
    assert (sizes.get_xscale(), rates.get_xscale()) == ("linear", "log")
    assert (sizes.get_xlabel(), rates.get_xlabel()) == tuple(SPACE)
