"""The examples for authors of environments run, and the page about them shows these very files."""

import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.config import plugins
from metarl.config.plugins import load_preset
from metarl.testing import CHECKS, check_task_env

pytestmark = pytest.mark.whole_runs

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PAGE = "".join(
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("environments", "wrapped-environments")
)
SMALL = {
    "iterations": 1,
    "tasks-per-batch": 2,
    "episodes-per-task": 2,
    "horizon": 5,
    "workers": 0,
}
KINDS = {".py", ".toml"}
SHOWN_WHOLE = {"own_environment", "wrapped_environment"}


def train(run_dir, *arguments):
    """Train for an iteration; give its record."""
    small = [f"--{name}={value}" for name, value in SMALL.items()]
    assert main(["train", *arguments, *small, "--no-tensorboard", "--run-dir", str(run_dir)]) == 0
    (record,) = (run_dir / "metrics.jsonl").read_text().splitlines()
    return json.loads(record)


def test_an_environment_of_ones_own_conforms_and_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES / "own_environment"))
    importlib.import_module("test_reach").test_reach_conforms()
    assert main(["check", "reach:examples/Reach-v0"]) == 0
    record = train(tmp_path / "run", "navigation-2d", "--env-id", "reach:examples/Reach-v0")
    assert record["env_steps"] == 2 * 2 * 5 * 2


@pytest.mark.parametrize(
    "file", sorted((EXAMPLES / "wrapped_environment").glob("*.toml")), ids=lambda file: file.stem
)
def test_a_file_alone_wraps_somebody_elses_environment(file, tmp_path, capsys):
    assert main(["check", str(file), "--horizon", "10"]) == 0, capsys.readouterr().out
    assert train(tmp_path / "run", str(file))["env_steps"] > 0
    for name in load_preset(str(file)).test_ranges:
        small = ["--tasks", "2", "--episodes-per-task", "2", "--workers", "0"]
        assert main(["evaluate", str(tmp_path / "run"), "--task-range", name, *small]) == 0


def test_python_gives_the_wrapped_environment_an_id(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES / "wrapped_environment"))
    env_id = "pendulum_tasks:examples/PendulumTasks-v0"
    assert [it for it in check_task_env(env_id, horizon=10) if not it.passed] == []
    assert train(tmp_path / "run", "navigation-2d", "--env-id", env_id)["env_steps"] == 40


def test_an_installed_package_brings_its_environment_and_preset(tmp_path, monkeypatch, capsys):
    install(EXAMPLES / "plugin_package", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    origin = plugins.Origin("lighthouse:lighthouse/Beam-v0", "lighthouse")
    assert origin in plugins.environment_ids()
    assert plugins.Origin("lighthouse", "lighthouse") in plugins.preset_names()
    assert main(["check", "lighthouse"]) == 0
    assert train(tmp_path / "run", "lighthouse")["env_steps"] == 40


def install(package: Path, target: Path) -> None:
    """Put a package where Python finds it, with the metadata that pip writes of its project."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    (target / name).symlink_to(package / name)
    about = target / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )


def test_the_page_shows_the_files_as_they_are():
    blocks = re.findall(r"(?:^`([^`\n]+)`:\n\n)?^```(python|toml)\n(.*?)^```", PAGE, re.M | re.S)
    assert {name.partition("/")[0] for name, _, _ in blocks} == {"examples", "envs"}
    for name, _, code in blocks:
        assert code == (ROOT / name).read_text(), name
    shown = {name for name, _, _ in blocks}
    kept = {str(file.relative_to(ROOT)) for file in EXAMPLES.rglob("*") if file.suffix in KINDS}
    assert {name for name in kept if name.split("/")[1] in SHOWN_WHOLE} <= shown


def test_the_page_explains_every_check():
    explained = re.findall(r"^\| ([a-z ]+) +\|", PAGE, re.M)
    assert [name for name in CHECKS if name not in {row.strip() for row in explained}] == []
