"""What authors of environments and agents misspell or leave out is one error in words."""

import json
import sys
from pathlib import Path

import pytest
from slips_of_authors import HERE

from metarl.cli import main
from metarl.testing import check_agent

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "2", "--episodes-per-task", "2", "--horizon", "3"]
SMALL += ["--iterations", "1", "--workers", "0", "--no-tensorboard", "--run-dir", "r"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def error_of(arguments, capsys):
    assert main(arguments) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "DrawsWithoutGenerator",
            "sample_task must take one argument, the generator that it draws",
        ),
        ("Misspelt", f"its entry_point '{HERE}:DrawsWithoutGenerater' cannot be loaded: Attribute"),
        ("NoModule", "its entry_point 'slips_of_nobody:Reach' cannot be loaded: ModuleNotFound"),
        ("NoClass", f"its entry_point '{HERE}' cannot be loaded: ValueError"),
        ("NoEntry", "its entry_point None cannot be loaded"),
    ],
)
def test_an_environment(name, complaint, capsys):
    env_id = f"{HERE}:{name}-v0"
    for arguments in (["check", env_id], ["train", "--env-id", env_id, *SMALL]):
        assert f"environment '{env_id}': {complaint}" in error_of(arguments, capsys)
    assert not Path("r").exists()


def test_a_module_that_raises_as_it_is_imported(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("registers_nothing.py").write_text('import gymnasium\ngymnasium.register("Nothing-v0")\n')
    error = error_of(["check", "registers_nothing:Nothing-v0"], capsys)
    assert "its module 'registers_nothing' cannot be imported: ValueError: Either" in error
    sys.modules.pop("registers_nothing", None)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("MISSPELT", "its entry_point 'agents_conforming_and_not:Moover' cannot be loaded: Attr"),
        ("NO_MODULE", "its entry_point 'agents_of_nobody:Mover' cannot be loaded: ModuleNotFound"),
        ("NO_CLASS", "its entry_point 'agents_conforming_and_not' cannot be loaded: Attribute"),
        ("TAKEN", "its setting 'seed' has the name of a field that every run has; give it another"),
    ],
)
def test_an_agent(name, complaint, capsys):
    agent = f"{HERE}:{name}"
    error = error_of(["train", "navigation-2d", "--agent", agent, *SMALL], capsys)
    assert f"agent '{agent}': {complaint}" in error
    assert not Path("r").exists()
    assert complaint in " ".join(verdict.explanation for verdict in check_agent(agent))


def test_metrics_may_be_numbers_of_numpy_and_nothing_larger(capsys):
    train = ["train", "navigation-2d", *SMALL, "--agent"]
    assert main([*train, f"{HERE}:NUMPY_METRICS"]) == 0
    assert json.loads(Path("r/metrics.jsonl").read_text())["norm"] == 1.0
    capsys.readouterr()
    error = error_of([*train, f"{HERE}:ARRAY_METRICS", "--run-dir", "other"], capsys)
    assert "the agent's metric 'norms' is of type ndarray; it must be one number, a text" in error
