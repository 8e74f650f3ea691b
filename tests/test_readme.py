"""What the README tells a newcomer to do works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.config.plugins import preset_names

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_environment_of_the_readme_trains(tmp_path):
    (tmp_path / "steer.py").write_text(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1])
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


def test_the_readme_lists_every_preset():
    table = README.partition("## Presets")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)
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
