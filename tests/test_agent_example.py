"""The agent of docs/agents.md is the one in examples/, and it does what the page says."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.cli import main

pytestmark = pytest.mark.whole_runs

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "own_agent"
PAGE = (ROOT / "docs" / "agents.md").read_text()


METARL = ("-c", "from metarl.cli import main; import sys; sys.exit(main())")


def test_the_page_shows_the_files():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    files = [EXAMPLE / "first_order_sgd.py", EXAMPLE / "test_first_order_sgd.py"]
    assert blocks == [file.read_text() for file in files]


def test_it_trains_by_the_command_of_the_page_and_resumes(tmp_path, monkeypatch):
    command = "train navigation-2d --agent first_order_sgd:SPEC --step-size 0.5"
    assert f"metarl {command}" in PAGE
    small = "--iterations 2 --tasks-per-batch 4 --episodes-per-task 3 --horizon 10 --workers 2"
    done = subprocess.run(
        [sys.executable, *METARL, *command.split(), *small.split()],
        cwd=tmp_path,
        env={"PYTHONPATH": str(EXAMPLE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "runs" / "navigation-2d-first_order_sgd-SPEC"
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert '"step_size": 0.5' in (folder / "config.json").read_text()

    monkeypatch.syspath_prepend(EXAMPLE)
    again = ["--run-dir", str(folder), "--resume", "--iterations", "3", "--workers", "2"]
    assert main([*command.split()[:4], *again]) == 0
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3


def test_its_own_test_passes(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    importlib.import_module("test_first_order_sgd").test_the_agent_keeps_what_training_relies_on()
