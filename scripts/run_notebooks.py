"""Execute the notebooks of docs/notebooks, and write them with what they gave.

    python scripts/run_notebooks.py                      # all of them
    python scripts/run_notebooks.py your-environment     # one

Each runs in a kernel of its own and in an empty folder. Its metadata then says which code its
outputs are of; `tests/test_committed_notebooks.py` holds the two together.
"""

import argparse
import ast
import hashlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from shared import ROOT, parse, parser

NOTEBOOKS = ROOT / "docs" / "notebooks"
CELL_SECONDS = 600
"""After which a cell is given up."""
SMALL: dict[str, dict[str, Any]] = {
    "adapt-a-policy": {"STEPS": 1, "HELD_OUT_GOALS": 3, "WORKERS": 0},
    "two-families": {"ENV_STEPS": 1, "HELD_OUT_TASKS": 3, "WORKERS": 0},
    "your-environment": {
        "ITERATIONS": 2,
        "TASKS_PER_BATCH": 3,
        "EPISODES": 3,
        "HELD_OUT_TASKS": 4,
        "WORKERS": 1,  # which imports what the notebook wrote
    },
}
"""By notebook: values of its parameters with which it takes seconds."""


def names() -> list[str]:
    """Give the names of the notebooks."""
    return sorted(file.stem for file in NOTEBOOKS.glob("*.ipynb"))


def read(name: str) -> nbformat.NotebookNode:
    """Read a notebook."""
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def give_parameters(notebook: nbformat.NotebookNode, values: Mapping[str, Any]) -> None:
    """Give other values to what the cell tagged `parameters` sets.

    Raises:
        ValueError: there is no such cell, or it does not set what is given.

    """
    (cell,) = (it for it in notebook.cells if "parameters" in it.metadata.get("tags", []))
    there = {
        target.id
        for statement in ast.parse(cell.source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    if unknown := values.keys() - there:
        raise ValueError(f"the parameters are {sorted(there)}, not {sorted(unknown)}")
    changed = [f"{name} = {value!r}" for name, value in values.items()]
    cell.source = "\n".join([cell.source, *changed])


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute all cells in a new kernel that works in a folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.

    """
    NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    ).execute()


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Give a digest of all code cells."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def write(file: Path, notebook: nbformat.NotebookNode) -> None:
    """Write an executed notebook, with nothing of the machine but what its cells gave."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "metarl": {"executed_code": code_digest(notebook)},
        }
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, file)


def options() -> argparse.Namespace:
    made = parser(__doc__ or "", NOTEBOOKS)
    made.add_argument("names", nargs="*", metavar="NAME", help="notebooks; none: all")
    read_options = parse(made)
    if unknown := set(read_options.names) - set(names()):
        made.error(f"there is no notebook {', '.join(sorted(unknown))}; there are {names()}")
    return read_options


def main() -> None:
    given = options()
    for name in given.names or names():
        notebook = read(name)
        if given.small:
            give_parameters(notebook, SMALL[name])
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, Path(folder))
        file = given.output / f"{name}.ipynb"
        write(file, notebook)
        size, seconds = file.stat().st_size, time.monotonic() - started
        print(f"written to {file}: {size / 1024:.0f} KiB, {seconds:.0f} s")


if __name__ == "__main__":
    main()
