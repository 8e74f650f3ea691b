"""The numbers of a drawing of single tasks, in a file beside it, and as a table."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import read_json, write_whole
from metarl.reports.tables import Table, most_rows

FILE = "examples.json"


@dataclass(frozen=True)
class DrawnLine:
    """A line of a drawing of functions."""

    model: str
    task: int
    """Counted from 1."""
    name: str
    x: list[float]
    y: list[float]


def lines_of(figure: Figure) -> list[DrawnLine]:
    """Give the lines of a figure in which each column is a model and each row a task."""
    found = []
    for axes in figure.axes:
        place = axes.get_subplotspec()
        assert place is not None
        (top, *_) = figure.axes[place.colspan.start].get_title().split(",")
        for line in axes.get_lines():
            x, y = (np.asarray(it).tolist() for it in (line.get_xdata(), line.get_ydata()))
            found.append(DrawnLine(top, place.rowspan.start + 1, str(line.get_label()), x, y))
    return found


def keep_numbers(figure: Figure, folder: Path) -> list[Path]:
    """Write the numbers of a drawing into a folder; give the file, where there are any.

    Raises:
        RunFolderError: it cannot be written.

    """
    lines = lines_of(figure)
    if not lines:
        return []
    file = folder / FILE
    write_whole(file, json.dumps([asdict(line) for line in lines]).encode() + b"\n")
    return [file]


def read_numbers(folder: Path) -> list[DrawnLine]:
    """Read what `keep_numbers` wrote; nothing, where there is no such file.

    Raises:
        RunFolderError: the file cannot be read, or is something else.

    """
    file = folder / FILE
    if not (file.exists() or file.is_symlink()):
        return []
    found = read_json(file)
    try:
        return [_checked(line) for line in found]
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{file} does not hold the lines of a drawing: {type(error).__name__}: {error}; "
            "remove it, or run metarl evaluate again"
        ) from error


def _checked(line: Any) -> DrawnLine:
    x, y = ([float(value) for value in line[name]] for name in "xy")
    if len(x) != len(y):
        raise ValueError(f"{len(x)} numbers x, {len(y)} numbers y")
    return DrawnLine(str(line["model"]), int(line["task"]), str(line["name"]), x, y)


def example_table(lines: list[DrawnLine]) -> Table | None:
    """Give a row for each number x of a model and a task, with what each line is there."""
    if not lines:
        return None
    names = list(dict.fromkeys(line.name for line in lines))
    cells: dict[tuple[str, int, float], dict[str, float]] = {}
    for line in lines:
        for x, y in zip(line.x, line.y, strict=True):
            cells.setdefault((line.model, line.task, x), {})[line.name] = y
    keys = sorted(cells, key=lambda key: (key[1], key[0], key[2]))
    rows = [
        [
            model,
            str(task),
            f"{x:.3f}",
            *(
                f"{cells[model, task, x][name]:.3f}" if name in cells[model, task, x] else ""
                for name in names
            ),
        ]
        for model, task, x in (keys[row] for row in most_rows(len(keys)))
    ]
    note = f"Some of the numbers; {FILE} in the run folder has all of them."
    headings = ["model", "task", "x", *names]
    return Table(headings, rows, note if len(rows) < len(keys) else "")
