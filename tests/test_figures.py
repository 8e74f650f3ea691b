"""Figures show the numbers that they are given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from metarl.experiments.curves import summarise
from metarl.foundation.errors import RunFolderError
from metarl.reports.figures import adaptation_curves, adaptation_figure, save_figure

GENERATOR = np.random.default_rng(0)
CURVES = {
    "maml-trpo": summarise(GENERATOR.normal(size=(6, 4)).cumsum(1), 1, 1),
    "oracle": summarise(GENERATOR.normal(size=(6, 1)), 1, 1),
}
PUBLISHED = {"maml-trpo": [-1.0, 0.0, 1.0, 2.0, 3.0], "oracle": [4.0], "random": [9.0]}


def drawn():
    axes = Figure().add_subplot()
    adaptation_curves(axes, CURVES, PUBLISHED)
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
    assert [-1.0, 0.0, 1.0, 2.0] in heights  # without the fifth, after four steps
    assert [4.0] in heights
    assert [9.0] not in heights  # there is no curve of that name
    assert "published" in [line.get_label() for line in crosses]


def test_without_published_numbers_the_legend_speaks_of_none():
    axes = Figure().add_subplot()
    adaptation_curves(axes, CURVES)
    assert "published" not in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_figure_is_written_as_png_and_svg_and_is_the_same_each_time(tmp_path):
    files = save_figure(adaptation_figure(CURVES, PUBLISHED, "title"), tmp_path / "a")
    again = save_figure(adaptation_figure(CURVES, PUBLISHED, "title"), tmp_path / "b")
    assert [file.name for file in files] == ["a.png", "a.svg"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in files[1].read_bytes()
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]


def test_a_figure_that_cannot_be_written_is_said(tmp_path):
    figure = adaptation_figure(CURVES, {}, "title")
    with pytest.raises(RunFolderError, match=r"cannot write .*a\.png"):
        save_figure(figure, tmp_path / "nowhere" / "a")
