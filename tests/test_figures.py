"""Figures show the numbers that they are given."""

import dataclasses

import numpy as np
import pytest

from metarl.experiments.curves import summarise
from metarl.foundation.errors import RunFolderError
from metarl.reports.figures import Panel, adaptation_figure, save_figure

GENERATOR = np.random.default_rng(0)
CURVES = {
    "maml-trpo": summarise(GENERATOR.normal(size=(6, 4)).cumsum(1), 1, 1),
    "oracle": summarise(GENERATOR.normal(size=(6, 1)), 1, 1),
}
PUBLISHED = {
    "maml-trpo": {0: -1.0, 1: 0.0, 3: 2.0, 4: 3.0},
    "oracle": {0: 4.0},
    "random": {0: 9.0},
}
PANEL = Panel("", CURVES, PUBLISHED)


def drawn():
    (axes,) = adaptation_figure([PANEL], "title").axes
    return axes


def test_lines_and_bands_are_means_and_intervals():
    axes = drawn()
    lines = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["maml-trpo"].get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(lines["maml-trpo"].get_ydata(), CURVES["maml-trpo"].mean_return)
    band = axes.collections[0].get_paths()[0].vertices
    for step, (low, high) in enumerate(CURVES["maml-trpo"].ci95):
        there = band[band[:, 0] == step, 1]
        assert {low, high} <= set(there)
    assert axes.get_xlabel() == "adaptation steps (gradient updates)"
    assert axes.get_ylabel() == "mean return"


def test_a_policy_that_takes_no_step_is_a_horizontal_line():
    axes = drawn()
    (line,) = [it for it in axes.get_lines() if it.get_label() == "oracle (no adaptation)"]
    assert list(line.get_xdata()) == [0, 1, 2, 3]
    assert set(line.get_ydata()) == {CURVES["oracle"].mean_return[0]}
    low, high = CURVES["oracle"].ci95[0]
    assert {low, high} == set(axes.collections[1].get_paths()[0].vertices[:, 1])


def test_published_numbers_are_crosses_within_the_steps_drawn():
    crosses = [line for line in drawn().get_lines() if line.get_marker() == "x"]
    heights = [list(line.get_ydata()) for line in crosses]
    assert [-1.0, 0.0, 2.0] in heights  # without that after four steps
    assert [4.0] in heights
    assert [9.0] not in heights  # there is no curve of that name
    assert "published" in [line.get_label() for line in crosses]


def test_without_published_numbers_the_legend_speaks_of_none():
    (axes,) = adaptation_figure([Panel("", CURVES, {})], "title").axes
    assert "published" not in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_figure_is_written_as_png_and_svg_and_is_the_same_each_time(tmp_path):
    files = save_figure(adaptation_figure([PANEL], "title"), tmp_path / "a")
    again = save_figure(adaptation_figure([PANEL], "title"), tmp_path / "b")
    assert [file.name for file in files] == ["a.png", "a.svg"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in files[1].read_bytes()
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]


def test_a_figure_that_cannot_be_written_is_said(tmp_path):
    figure = adaptation_figure([PANEL], "title")
    with pytest.raises(RunFolderError, match=r"cannot write .*a\.png"):
        save_figure(figure, tmp_path / "nowhere" / "a")


def test_several_panels_share_axis_colours_and_one_legend():
    other = Panel("20 shots", {"random": CURVES["oracle"], "oracle": CURVES["oracle"]}, {})
    panels = [dataclasses.replace(PANEL, title="5 shots"), other]
    figure = adaptation_figure(panels, "title", "mean squared error")
    left, right = figure.axes
    assert [left.get_title(), right.get_title()] == ["5 shots", "20 shots"]
    assert figure.get_suptitle() == "title"
    assert left.get_ylabel() == "mean squared error"
    assert left.get_yscale() == right.get_yscale() == "log"
    assert left.get_ylim() == right.get_ylim()
    colours = [
        next(line.get_color() for line in axes.get_lines() if "oracle" in line.get_label())
        for axes in (left, right)
    ]
    assert colours[0] == colours[1]
    (legend,) = figure.legends
    assert left.get_legend() is right.get_legend() is None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [
        "maml-trpo",
        "oracle (no adaptation)",
        "published",
        "random (no adaptation)",
    ]
    # A line without a step is as long as the longest curve, whichever panel that stands in.
    assert list(right.get_lines()[0].get_xdata()) == [0, 1, 2, 3]


def test_a_panel_alone_names_itself_below_the_title():
    (axes,) = adaptation_figure([Panel("1 shot", CURVES, {})], "title", "accuracy").axes
    assert axes.get_title() == "title\n1 shot"
    assert axes.get_yscale() == "linear"


def test_what_is_counted_stands_below_the_axis():
    (axes,) = adaptation_figure([PANEL], "title", unit="episode").axes
    assert axes.get_xlabel() == "episodes of adaptation"


def test_dollars_are_drawn_and_open_no_formula(tmp_path):
    panel = Panel("$\\nonsense$", {"$\\frac$": CURVES["maml-trpo"]}, {})
    drawn = save_figure(adaptation_figure([panel], "$\\nowhere$"), tmp_path / "a")
    assert all(file.stat().st_size > 0 for file in drawn)


def test_agents_of_different_units_that_do_not_adapt_are_points_without_experience(tmp_path):
    curves = {
        unit: summarise(GENERATOR.normal(size=(6, 1)), 1, 1, phase_env_steps=(40.0,), unit=unit)
        for unit in ("gradient step", "episode")
    }
    figure = adaptation_figure([Panel("", curves, {})], "title")
    (axes,) = figure.axes
    assert {at for line in axes.get_lines() for at in line.get_xdata()} == {0.0}
    figure.savefig(tmp_path / "drawn.svg")
