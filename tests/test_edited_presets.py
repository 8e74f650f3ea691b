"""A preset that was edited after a run began: what is said when the run is resumed."""

import re
from pathlib import Path

import pytest

import metarl
from metarl.cli import main
from metarl.config.plugins import load_preset
from metarl.config.preset_text import preset_text

pytestmark = pytest.mark.whole_runs

SMALL = {"tasks_per_batch": 2, "episodes_per_task": 2, "horizon": 3, "hidden_sizes": [2]}
RESUME = ["--run-dir", "r", "--resume", "--workers", "0", "--no-tensorboard"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_preset(**fields):
    text = preset_text(load_preset("navigation-2d"))
    for name, value in {**SMALL, "iterations": 1, **fields}.items():
        said = str(value).lower() if isinstance(value, bool) else str(value)
        text, found = re.subn(rf"^{name} = .*$", f"{name} = {said}", text, flags=re.M)
        assert found == 1, name
    Path("mine.toml").write_text(text)


def begin(*flags):
    arguments = ["mine.toml", "--run-dir", "r", "--workers", "0", "--no-tensorboard", *flags]
    assert main(["train", *arguments]) == 0


def notes_on(capsys):
    said = capsys.readouterr().err.splitlines()
    return [line for line in said if "differs from the configuration" in line]


def test_what_was_edited_is_named_and_the_run_keeps_its_configuration(capsys):
    write_preset()
    begin("--seed", "7", "--max-kl", "0.02")
    write_preset(iterations=3, discount=0.5, seed=9, description='"other words"')
    assert main(["train", "mine.toml", *RESUME, "--iterations", "2"]) == 0
    (note,) = notes_on(capsys)
    # Not what flags have set, then or now, nor words.
    assert note == (
        "metarl train: preset mine.toml differs from the configuration of r, which keeps its own: "
        "discount was 0.99 and is now 0.5"
    )
    assert metarl.load("r").config.discount == 0.99
    assert main(["train", "mine.toml", *RESUME, "--iterations", "2"]) == 0  # it has them already
    assert notes_on(capsys) == []


def test_nothing_is_said_of_what_is_as_it_was_or_is_not_known(capsys):
    write_preset()
    begin("--no-first-order", "--inner-learning-rate", "0.2")
    assert main(["train", "mine.toml", *RESUME, "--iterations", "2"]) == 0
    write_preset(discount=0.5)
    Path("r/sessions.jsonl").unlink()  # which fields were set by flags is not known
    assert main(["train", "mine.toml", *RESUME, "--iterations", "3"]) == 0
    Path("mine.toml").unlink()
    assert main(["train", "mine.toml", *RESUME, "--iterations", "4"]) == 0
    assert notes_on(capsys) == []


def test_it_is_said_to_a_caller_in_python(capsys):
    write_preset()
    options = {"run_dir": "r", "workers": 0, "tensorboard": False}
    metarl.train("mine.toml", agent="fomaml-trpo", max_kl=0.02, **options)
    write_preset(adaptation_steps=2)
    metarl.train("mine.toml", resume=True, iterations=2, **options)
    (note,) = notes_on(capsys)
    assert note.endswith("its own: adaptation_steps was 1 and is now 2")
