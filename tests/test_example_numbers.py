"""The numbers of a drawing of functions: kept beside it, and in a report's table."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from metarl.foundation.errors import RunFolderError
from metarl.reports.example_numbers import (
    FILE,
    DrawnLine,
    example_table,
    keep_numbers,
    lines_of,
    read_numbers,
)


def drawing(points=3):
    """Two models, one task each in two rows."""
    figure = Figure()
    x = np.linspace(-1, 1, points)
    grid = figure.subplots(2, 2, squeeze=False)
    for column, model in enumerate(("maml", "oracle")):
        grid[0][column].set_title(f"{model}, 5 examples")
        for row in range(2):
            grid[row][column].plot(x, x + row, label="truth")
            grid[row][column].plot(x, (column + 2) * x, label="1 step")
        grid[0][column].plot([0.5], [7.0], "^", label="adapted to")
    return figure


def test_every_line_is_kept_with_its_model_and_task(tmp_path):
    assert keep_numbers(drawing(), tmp_path) == [tmp_path / FILE]
    lines = read_numbers(tmp_path)
    assert lines == lines_of(drawing())
    assert [(line.model, line.task, line.name) for line in lines] == [
        ("maml", 1, "truth"),
        ("maml", 1, "1 step"),
        ("maml", 1, "adapted to"),
        ("oracle", 1, "truth"),
        ("oracle", 1, "1 step"),
        ("oracle", 1, "adapted to"),
        ("maml", 2, "truth"),
        ("maml", 2, "1 step"),
        ("oracle", 2, "truth"),
        ("oracle", 2, "1 step"),
    ]
    assert lines[6] == DrawnLine("maml", 2, "truth", [-1.0, 0.0, 1.0], [0.0, 1.0, 2.0])


def test_the_table_has_a_row_for_each_number_with_what_each_line_is_there():
    table = example_table(lines_of(drawing()))
    assert table.headings == ["model", "task", "x", "truth", "1 step", "adapted to"]
    assert table.rows[:5] == [
        ["maml", "1", "-1.000", "-1.000", "-2.000", ""],
        ["maml", "1", "0.000", "0.000", "0.000", ""],
        ["maml", "1", "0.500", "", "", "7.000"],
        ["maml", "1", "1.000", "1.000", "2.000", ""],
        ["oracle", "1", "-1.000", "-1.000", "-3.000", ""],
    ]
    assert len(table.rows) == 4 + 4 + 3 + 3
    assert table.note == ""
    long = example_table(lines_of(drawing(200)))
    assert len(long.rows) <= 201
    assert "examples.json in the run folder has all of them" in long.note


def test_a_drawing_of_images_has_no_numbers(tmp_path):
    figure = Figure()
    figure.subplots().imshow(np.zeros((2, 2)))
    assert keep_numbers(figure, tmp_path) == []
    assert read_numbers(tmp_path) == []
    assert example_table([]) is None


@pytest.mark.parametrize("text", ["{}x", '{"a": 1}', "[1]", '[{"model": "a"}]', "3"])
def test_a_file_that_is_something_else_is_one_error(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RunFolderError, match=r"examples\.json"):
        read_numbers(tmp_path)


def test_lines_of_other_lengths_are_refused(tmp_path):
    keep_numbers(drawing(), tmp_path)
    text = (tmp_path / FILE).read_text().replace("[-1.0, 0.0, 1.0]", "[-1.0, 0.0]", 1)
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RunFolderError, match="2 numbers x, 3 numbers y"):
        read_numbers(tmp_path)
