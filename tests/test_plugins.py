"""A stranger's package: what it brings is found, and what is broken in it stops nothing else."""

import shutil

import pytest

from metarl.cli import main
from metarl.config import plugins
from metarl.config.comparability import baselines_of
from metarl.foundation.entry_points import installed_entries, package_of
from metarl.foundation.errors import ConfigError

ENTRY_POINTS = """\
[metarl.environments]
good = stranger_envs
broken = stranger_broken
missing = stranger_missing

[metarl.presets]
presets = stranger_presets
gone = stranger_gone

[metarl.agents]
mine = stranger_agents:MINE
maml-trpo = stranger_agents:MINE
wrong = stranger_agents:WRONG
broken = stranger_broken:AGENT
"""
ENVIRONMENTS = """\
import gymnasium as gym
import numpy as np


class Still(gym.Env):
    task_space = gym.spaces.Box(-1, 1, (1,), np.float64)
    observation_space = action_space = gym.spaces.Box(-1, 1, (1,), np.float64)
    task = np.zeros(1)


gym.register("stranger/Still-v0", entry_point="stranger_envs:Still")
gym.register("stranger/Called-v0", entry_point=Still)
gym.register("stranger/Other-v0", entry_point="stranger_envs_of_another:Still")
"""
AGENTS = """\
from metarl.config.plugins import AgentSpec
from metarl.config.settings import NoSettings

MINE = AgentSpec("stranger:Agent", NoSettings, "does as I like", "nobody 1999")
WRONG = 3
"""
PRESET = """\
description = "stand still"
source = "nobody"
env_id = "stranger_envs:stranger/Still-v0"
horizon = 5
iterations = 1
"""


@pytest.fixture(autouse=True)
def stranger(tmp_path, monkeypatch):
    about = tmp_path / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "stranger_envs.py").write_text(ENVIRONMENTS)
    (tmp_path / "stranger_agents.py").write_text(AGENTS)
    (tmp_path / "stranger_broken.py").write_text("raise OSError('no licence')\n")
    presets = tmp_path / "stranger_presets"
    presets.mkdir()
    (presets / "__init__.py").write_text("")
    (presets / "stand.toml").write_text(PRESET)
    (presets / "bad.toml").write_text("horizon = \n")
    (presets / "navigation-2d.toml").write_text(PRESET)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_named", set())


def test_all_that_is_whole_is_listed_under_the_packages_name():
    assert plugins.Origin("stranger_envs:stranger/Still-v0", "stranger") in (
        found := plugins.environment_ids()
    )
    assert "stranger_envs:stranger/Called-v0" in [origin.name for origin in found]
    assert not any("Other" in origin.name for origin in found)
    assert plugins.Origin("stand", "stranger") in plugins.preset_names()
    assert plugins.load_preset("stand").horizon == 5
    assert plugins.load_agent("mine").source == "nobody 1999"


@pytest.mark.fault(
    37,
    "a plug-in that cannot be imported",
    "named with its package and left out",
    group="platform",
)
def test_what_is_broken_is_named_once_and_left_out(capsys):
    for _ in range(2):
        plugins.environment_ids()
        plugins.preset_names()
    said = capsys.readouterr().err.splitlines()
    of = "of package stranger:"
    assert f"metarl: left out broken (metarl.environments) {of} OSError: no licence" in said
    assert any(line.startswith("metarl: left out missing (metarl.environments)") for line in said)
    assert any(line.startswith("metarl: left out gone (metarl.presets)") for line in said)
    assert len(said) == len(set(said))


def test_a_name_that_is_taken_stays_whose_it_was(capsys):
    assert plugins.load_preset("navigation-2d").horizon == 100
    assert plugins.load_agent("maml-trpo").entry_point == "metarl_agents.maml_trpo:MamlTrpo"
    owners = [it.package for it in plugins.agent_names() if it.name == "maml-trpo"]
    assert owners == ["metarl-suite"]
    said = capsys.readouterr().err
    assert "metarl-suite has a preset named 'navigation-2d'" in said
    assert "metarl-suite has an agent of that name" in said


def test_who_asks_for_a_broken_agent_is_told_why():
    with pytest.raises(ConfigError, match="package stranger cannot be loaded: OSError: no licence"):
        plugins.load_agent("broken")
    with pytest.raises(ConfigError, match="stranger_agents:WRONG is no AgentSpec but int"):
        plugins.load_agent("wrong")
    baselines = baselines_of(plugins.load_preset("navigation-2d"))
    assert [each.agent for each in baselines] == ["oracle", "pretrained", "random"]


def test_a_broken_package_spoils_no_listing(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for words in ("presets of stranger", "environments of stranger", "agents of stranger"):
        assert words in printed
    assert "no licence" in printed
    assert "is not valid TOML" in printed
    assert "half-cheetah-dir" in printed


def test_what_is_installed_or_removed_meanwhile_is_noticed(tmp_path):
    before = installed_entries("metarl.agents")
    about = tmp_path / "newcomer-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomer\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[metarl.agents]\nnew = newcomer:SPEC\n")
    *ours, new = installed_entries("metarl.agents")
    assert tuple(ours) == before
    assert (new.name, package_of(new)) == ("new", "newcomer")
    shutil.rmtree(about)
    assert installed_entries("metarl.agents") == before
