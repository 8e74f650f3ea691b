"""A family whose package is not installed says what to install, and stops nothing else."""

import sys
from pathlib import Path

import pytest

import metarl
from metarl.cli import main
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import make_environment


@pytest.fixture
def _without_meta_world(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("meta_world", "meta_world_tasks", "meta_world_worlds"):
        monkeypatch.delitem(sys.modules, f"metarl_envs.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "metaworld", None)


@pytest.mark.usefixtures("_without_meta_world")
@pytest.mark.parametrize("name", ["MetaWorldML1", "MetaWorldML10", "MetaWorldML45"])
def test_making_its_environment_names_the_extra(name: str) -> None:
    with pytest.raises(ConfigError, match=r'pip install "metarl-suite\[metaworld\]"'):
        make_environment(f"metarl_envs:metarl/{name}-v0", {})


@pytest.mark.usefixtures("_without_meta_world")
def test_training_its_preset_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "metaworld-ml10", "--run-dir", "runs/never"]) == 2
    said = capsys.readouterr().err
    assert "metarl-suite[metaworld]" in said
    assert "Traceback" not in said


def test_tuning_names_its_extra_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "metarl.runs.study", raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", "navigation-2d", "--vary", "max-kl=0.01..0.1"]) == 2
    said = capsys.readouterr().err
    assert 'metarl tune needs the package Optuna: pip install "metarl-suite[tune]"' in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert callable(metarl.tune)
