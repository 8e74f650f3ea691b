"""The documents name files, modules and rooms that are there."""

import dataclasses
import json
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("notebooks/*.ipynb")),
]
FOLDERS = ("metarl", "envs", "agents", "scripts", "tests", "docs", "examples")
GROUPS = {f"metarl.{name}" for name in ("agents", "environments", "presets", "problems", "trained")}
"""Entry-point groups, which are no modules."""


def read(document):
    """Give a document's text; of a notebook what stands between its code."""
    text = document.read_text()
    if document.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def quoted(text):
    """Give what stands between backticks, outside of blocks of code."""
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    paragraphs = re.split(r"\n\s*\n", text)
    return [
        " ".join(words.split()) for part in paragraphs for words in re.findall(r"`([^`]+)`", part)
    ]


def paths(text):
    """Give the files and folders of this repository that a document names."""
    pattern = rf"(?:{'|'.join(FOLDERS)})/[\w./-]*"
    linked = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text)
    return [it for it in quoted(text) if re.fullmatch(pattern, it)], linked


def names(text):
    """Give the modules and members of metarl that a document names, without arguments."""
    found = (re.fullmatch(r"(metarl(?:\.\w+)+)(?:\(.*\))?", it) for it in quoted(text))
    return [it[1] for it in found if it and it[1] not in GROUPS]


def resolve(name):
    """Find a module, or a member of one, of a class in one or of a dataclass without a default."""
    first, *parts = name.split(".")
    found = import_module(first)
    for part in parts:
        if dataclasses.is_dataclass(found) and part in {
            it.name for it in dataclasses.fields(found)
        }:
            return
        if not hasattr(found, part):
            import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_what_a_document_names_is_there(document):
    text = read(document)
    quoted_paths, linked = paths(text)
    missing = [it for it in quoted_paths if not (ROOT / it).exists()]
    missing += [it for it in linked if not (document.parent / it).exists()]
    for name in names(text):
        try:
            resolve(name)
        except (ImportError, AttributeError) as error:
            missing.append(f"{name}: {error}")
    assert missing == []


def test_what_is_looked_up_is_found_in_the_text():
    text = (
        "`metarl/no.py`, `metarl.no.such(1)` and `metarl.agents`\n\n```python\n`metarl/not.py`\n```"
    )
    assert paths(text) == (["metarl/no.py"], [])
    assert names(text) == ["metarl.no.such"]
    with pytest.raises(ImportError):
        resolve("metarl.no.such")
    resolve("metarl.agent.protocol.Family.adapted")
    resolve("metarl.config.fields.require")


def test_contributing_lists_the_rooms_from_the_top_to_the_bottom():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert re.findall(r"^\| `metarl/(\w+)(?:/|\.py)` \|", page, re.MULTILINE) == layers
