"""Which environments can be simulated by which physics."""

import pytest
from building import tiny_config

from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.tasks import physics as physics_of_tasks


@pytest.mark.parametrize("preset", ["navigation-2d", "pendulum-wrapped"])
def test_an_environment_without_bodies_has_no_warp_physics(preset):
    with pytest.raises(ConfigError, match="is not simulated by it; the families of MuJoCo bodies"):
        build_experiment(tiny_config(preset, physics="warp"))


def test_warp_physics_without_its_package_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(physics_of_tasks, "find_spec", lambda name: None)
    run_dir = tmp_path / "run"
    flags = ["--physics", "warp", "--run-dir", str(run_dir)]
    assert main(["train", "half-cheetah-vel", *flags]) == 2
    said = capsys.readouterr().err
    assert 'pip install "metarl-suite[gpu]"' in said
    assert "Traceback" not in said
    assert not run_dir.exists()
