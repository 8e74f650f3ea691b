"""What the README and its page of presets tell a newcomer to do works."""

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


def test_the_environment_of_the_readme_trains(tmp_path):
    (tmp_path / "steer.py").write_text(snippet("class Steer"))
    command = "from metarl.cli import main; import sys; sys.exit(main())"
    arguments = "train navigation-2d --env-id steer:Steer-v0 --horizon 50 --run-dir runs/steer"
    small = "--iterations 1 --tasks-per-batch 4 --episodes-per-task 3 --workers 2"
    assert arguments in " ".join(README.split())
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments.split(), *small.split()],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/steer/metrics.jsonl").exists()


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
