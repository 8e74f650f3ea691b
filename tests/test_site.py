"""The site's sources: nothing is left out, and what is generated agrees with what it is made of."""

import ast
import dataclasses
import importlib
import re
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from script_loading import load_script

import metarl
import metarl_envs
from metarl.cli import VERBS
from metarl.config.plugins import agent_names, load_agent, load_preset
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCES = ("metarl", "agents")


@pytest.fixture
def parts(monkeypatch):
    """What the site computes when it is built."""
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module("site_parts")
    sys.modules.pop("site_parts")


def entries(page):
    """Give the pages that the tables of contents of a page name."""
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.M | re.S):
        for line in block.splitlines():
            if line and not line.startswith(":"):
                for ending in ("md", "ipynb"):
                    yield from (it.resolve() for it in page.parent.glob(f"{line}.{ending}"))


def test_every_page_can_be_reached_from_the_first():
    reached, new = set(), {DOCS / "index.md"}
    while new:
        reached |= new
        new = {entry for page in new if page.suffix == ".md" for entry in entries(page)} - reached
    pages = {*DOCS.glob("*.md"), *DOCS.glob("notebooks/*.ipynb")}
    pages |= {*ROOT.glob("results/*/*.md"), *ROOT.glob("benchmarks/*.md")}
    assert reached == pages | {ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"}


def test_every_name_of_the_front_door_is_in_the_reference():
    page = (DOCS / "api.md").read_text()
    shown = re.findall(r"^\.\. auto\w+:: metarl\.(\w+)$", page, re.M)
    assert sorted(shown) == sorted(metarl.__all__)


def test_every_verb_has_its_help_on_the_page_of_the_command_line():
    verbs = sorted(VERBS)
    page = (DOCS / "command-line.md").read_text()
    assert sorted(re.findall(r"^```\{verb-help\} (\w+)$", page, re.M)) == verbs
    assert sorted(re.findall(r"^## (\w+)$", page, re.M)) == verbs


def test_help_is_what_the_command_prints_within_the_width_of_a_page(parts):
    text = parts.help_text("report")
    assert "metarl report" in text
    assert "--output" in text
    paragraphs = [line for line in text.splitlines() if not line.startswith(" ")]
    assert max(map(len, paragraphs)) <= parts.COLUMNS


@pytest.mark.parametrize("kind", [Config, SupervisedConfig])
def test_every_field_of_a_configuration_has_a_row_with_its_meaning(kind, parts):
    rows = {name: (meaning, default) for name, meaning, default, _ in parts.documented_fields(kind)}
    assert set(rows) == {field.name for field in dataclasses.fields(kind)}
    assert [name for name, (meaning, _) in rows.items() if not meaning] == []
    assert rows["test_tasks"] == ("Held-out tasks of an evaluation.", repr(kind.test_tasks))
    page = (DOCS / "configuration.md").read_text()
    assert f"```{{fields}} {kind.__module__}:{kind.__name__}\n" in page


def test_every_agent_has_its_settings_on_the_page(parts):
    text = parts.agents_settings()
    names = [origin.name for origin in agent_names()]
    with_settings = {it for it in names if dataclasses.fields(load_agent(it).settings)}
    headings = [line for line in text.splitlines() if line.endswith(":")]
    assert set(re.findall(r"`([\w-]+)`", " ".join(headings))) == with_settings
    assert "| `max_kl` |" in text


def test_a_name_behind_the_front_door_leads_to_the_front_door(parts):
    assert parts.public_name("metarl.api.run.Run") == "metarl.Run"
    assert parts.public_name("metarl.api.checking.Repetition") == "metarl.api.checking.Repetition"


def test_the_committed_table_of_presets_is_the_one_that_their_files_give():
    for package in ("gymnasium_robotics", "minigrid"):
        pytest.importorskip(package)
    script = load_script("write_presets")
    said = "run scripts/write_presets.py"
    assert (DOCS / "presets.md").read_text() == script.page(), said


def test_the_committed_gallery_is_the_one_that_the_environments_say_and_shows_all_of_them():
    for package in ("gymnasium_robotics", "minigrid"):
        pytest.importorskip(package)
    script = load_script("write_gallery")
    page = (DOCS / "gallery.md").read_text()
    assert page == script.page(), "run scripts/write_gallery.py"
    named = set(re.findall(r"`metarl_envs:(metarl/[\w-]+)`", page))
    ours = {it for it, spec in gym.registry.items() if "metarl_envs." in str(spec.entry_point)}
    assert named == ours
    pictures = re.findall(r"^!\[\w+\]\((.*)\)$", page, re.M)
    assert len(pictures) == len(named) - len(metarl_envs.NEEDS)
    assert {DOCS / it for it in pictures} == set((DOCS / script.FOLDER).glob("*"))


def test_the_committed_drawings_are_those_of_the_script():
    script = load_script("draw_concepts")
    page = (DOCS / "concepts.md").read_text()
    for name, draw in script.PICTURES.items():
        assert (DOCS / "images" / f"concept-{name}.svg").read_text() == draw(), name
        assert page.count(f"(images/concept-{name}.svg)") == 1


def literals():
    """Give the texts of the code, with … where a value stands."""
    for source in SOURCES:
        for file in (ROOT / source).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
                elif isinstance(node, ast.JoinedStr):
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )


def test_every_message_of_the_page_of_troubles_is_one_of_the_code():
    page = (DOCS / "troubleshooting.md").read_text().partition("## No message")[0]
    messages = re.findall(r"^\| `(.*?)` \|", page, re.M)
    assert len(messages) == page.count("\n| ") - page.count("| message |") > 40
    texts = list(literals())
    missing = [message for message in messages if not any(says(it, message) for it in texts)]
    assert missing == []


def says(text, message):
    """Tell whether the pieces of a message stand in a text, one after the other."""
    for piece in filter(None, message.split("…")):
        _, found, text = text.partition(piece)
        if not found:
            return False
    return True


def test_the_protocol_that_a_page_shows_is_a_preset(tmp_path):
    page = (DOCS / "reproducing.md").read_text()
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "mine.toml").write_text(text)
    assert load_preset(str(tmp_path / "mine.toml")).adaptation_steps == 2


def test_what_the_pages_load_comes_with_them():
    """A build checks the rest; these are the files that are written by hand."""
    for file in [*(DOCS / "_static").iterdir(), *(DOCS / "_front").iterdir()]:
        assert "//" not in re.sub(r"^\s*//.*$", "", file.read_text(), flags=re.M), file
