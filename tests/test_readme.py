"""What the README and its page of presets tell a newcomer to do works."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.config.plugins import preset_names

pytestmark = pytest.mark.whole_runs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PRESETS = (ROOT / "docs" / "presets.md").read_text()
TINY = {
    "iterations=40": "iterations=1, tasks_per_batch=3, episodes_per_task=3, horizon=6, workers=2",
    "tasks=40, adaptation_steps=3": "tasks=4, adaptation_steps=3, episodes_per_task=3, workers=2",
    "task=goal": "task=goal, episodes=3",
}
"""What the snippet of Python says, each once, and what is said in its place to take seconds."""


def _of_the_paper(folder, agent):
    return (f"paper/{folder}/evaluation.json", ("curves", agent, "mean_return"), 1)


MEASURED = {
    "2D navigation,": _of_the_paper("navigation-2d", "maml-trpo"),
    "half-cheetah direction,": _of_the_paper("half-cheetah-dir", "maml-trpo"),
    "half-cheetah velocity,": _of_the_paper("half-cheetah-vel", "maml-trpo"),
    "ant velocity,": ("paper/ant-vel/evaluation.json", ("mean_return",), 1),
    "ant direction,": ("paper/ant-dir/evaluation.json", ("mean_return",), 1),
    "half-cheetah direction in ProMP's protocol": _of_the_paper(
        "half-cheetah-dir-promp-protocol-maml", "maml-trpo"
    ),
    "the same by ProMP": _of_the_paper("half-cheetah-dir-promp-protocol-promp", "promp"),
    "random MDP,": ("memory/mdp-10-episodes/summary.json", ("agents", "rl2", "trial_return"), 1),
    "bandit of 5 arms,": (
        "memory/bandit-5-arms-100-pulls/summary.json",
        ("agents", "rl2", "trial_return"),
        1,
    ),
    "sinusoid": ("sinusoid/evaluation.json", ("curves", 0, "mean", (1, 5, 10)), 2),
    "PEARL on half-cheetah velocity": (
        "inference/half-cheetah-vel/evaluation.json",
        ("curves", "pearl", "mean_return"),
        1,
    ),
}
"""Rows of the table of results: file, the way to the numbers in it, and decimals."""


def snippet(word):
    """Give the only block of Python with a word in it."""
    (found,) = (it for it in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in it)
    return found


def test_the_snippet_of_python_trains_evaluates_adapts_and_saves(tmp_path):
    """As a script, with worker processes; what is named in TINY is all that is changed."""
    pytest.importorskip("stable_baselines3")
    code = snippet("import metarl")
    for said, small in TINY.items():
        assert code.count(said) == 1, said
        code = code.replace(said, small)
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        # This checkout, as pytest itself found it.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"-?\d+\.\d*", done.stdout)) == 4 + 4 * 2  # means, and intervals
    assert (tmp_path / "runs/navigation-2d/evaluation.json").exists()
    assert zipfile.is_zipfile(tmp_path / "adapted.zip")


def test_the_page_that_starts_shows_the_same_snippet():
    assert snippet("import metarl") in (ROOT / "docs" / "start.md").read_text()


@pytest.mark.parametrize("row", sorted(MEASURED))
def test_the_numbers_of_the_readme_are_those_of_the_results(row):
    (cells,) = (line.split("|")[2:4] for line in README.splitlines() if line.startswith(f"| {row}"))
    file, path, decimals = MEASURED[row]
    found = json.loads((ROOT / "results" / file).read_text())
    for key in path:
        found = found[key] if isinstance(key, str | int) else [found[it] for it in key]
    numbers = found if isinstance(found, list) else [found]
    shown = " / ".join(f"{number:.{decimals}f}".replace("-", "−") for number in numbers)
    assert cells[0].strip() == shown


def test_every_row_of_the_readmes_results_is_compared():
    table = README.partition("| experiment |")[2].partition("\n\n")[0]
    rows = [line[2:] for line in table.splitlines()[2:]]
    assert len(rows) == len(MEASURED)
    assert all(row.startswith(tuple(MEASURED)) for row in rows)


def test_the_page_of_presets_lists_every_one():
    assert "(docs/presets.md)" in README
    first_cells = re.findall(r"^\| (`[^|]*)\|", PRESETS, re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", " ".join(first_cells))) == {
        origin.name for origin in preset_names()
    }


@pytest.mark.parametrize(
    "verb", sorted(set(re.findall(r"^    metarl (\w+)", README, re.MULTILINE)))
)
def test_every_verb_of_the_readme_exists(verb, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([verb, "--help"])
    assert leaving.value.code == 0
