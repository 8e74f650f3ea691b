"""Policies that come trained: found by name, copied out of their package, evaluated, never hurt."""

from importlib.resources import as_file

import pytest

from metarl.cli import main
from metarl.config.plugins import trained_policies
from metarl.experiments.build import build_experiment
from metarl.foundation.files import read_json
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.run_folder import read_config
from metarl.runs.trained_policies import FOLDER

QUICK = ["--tasks", "2", "--episodes-per-task", "2", "--workers", "0", "--adaptation-steps", "1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", sorted(trained_policies()))
def test_every_trained_policy_is_of_its_preset_and_loads(name):
    with as_file(trained_policies()[name][1]) as folder:
        config = read_config(folder)
        experiment = build_experiment(config)
        state, _, skipped = Checkpoints(folder, experiment.about).load_newest(experiment.initial)
    assert config.preset == name
    assert state.iteration > 0
    assert skipped == []


def test_a_name_is_evaluated_and_drawn_in_a_copy(capfd):
    assert main(["evaluate", "navigation-2d", *QUICK]) == 0
    assert f"copied the trained policy navigation-2d of metarl-suite to {FOLDER}" in (
        capfd.readouterr().err
    )
    before, after = read_json(FOLDER / "navigation-2d" / "evaluation.json")["mean_return"]
    assert before < after
    assert main(["report", "navigation-2d"]) == 0
    assert "is the trained policy in" in capfd.readouterr().err
    assert (FOLDER / "navigation-2d" / "report.html").exists()
    assert sorted(it.name for it in FOLDER.iterdir()) == ["navigation-2d"]
    with as_file(trained_policies()["navigation-2d"][1]) as folder:
        assert sorted(it.name for it in folder.iterdir()) == ["checkpoints", "config.json"]


def test_a_folder_of_that_name_goes_first(tmp_path, capfd):
    (tmp_path / "navigation-2d").mkdir()
    assert main(["evaluate", "navigation-2d", *QUICK]) == 2
    assert "navigation-2d is not a run folder: it has no config.json" in capfd.readouterr().err
    assert not FOLDER.exists()


def test_a_policy_that_cannot_be_copied_is_said_so(tmp_path, capfd):
    (tmp_path / "runs").write_text("a file where the folder should be")
    assert main(["render", "navigation-2d"]) == 2
    assert "cannot copy the trained policy navigation-2d to runs" in capfd.readouterr().err


def test_they_are_listed(capfd):
    assert main(["list"]) == 0
    listed = capfd.readouterr().out
    assert "trained policies of metarl-suite" in listed
