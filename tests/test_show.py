"""`metarl show`: all that is listed can be shown; numbers are those of the protocol."""

import json
from dataclasses import asdict, dataclass
from functools import cache

import pytest

from metarl.api import catalogue, descriptions
from metarl.api.descriptions import describe
from metarl.api.environment_pages import rows_of_table
from metarl.cli import main, output
from metarl.config.fields import meanings
from metarl.config.plugins import (
    agent_names,
    preset_names,
    problem_names,
    readable_presets,
    trained_names,
)
from metarl.foundation.errors import ConfigError

PRESET = """\
description = "stand still"
source = "nobody"
env_id = "metarl_envs:metarl/Navigation2D-v0"
horizon = 7
iterations = 11
tasks_per_batch = 3
episodes_per_task = 5
adaptation_steps = 2
inner_learning_rate = 0.25
"""
PRESETS, TRAINED = cache(readable_presets), cache(catalogue.trained)


@pytest.fixture
def _no_environment_is_made(monkeypatch):
    """And what takes a while to read is read once for all tests."""
    for module in (catalogue, descriptions):
        monkeypatch.setattr(module, "describe_tasks", lambda env_id, env_kwargs: "[0, 1]")
    monkeypatch.setattr(descriptions, "readable_presets", PRESETS)
    monkeypatch.setattr(descriptions, "trained", TRAINED)


@pytest.mark.usefixtures("_no_environment_is_made")
def test_all_that_is_listed_can_be_shown():
    others = {it.name for it in (*agent_names(), *problem_names(), *trained_names())}
    for name in sorted(others | {it.name for it in preset_names()[::4]}):
        found = describe(name)
        assert found.name == name
        assert found.package == "metarl-suite"
        assert found.description
        assert all(setting.meaning for setting in found.settings)
        assert json.loads(json.dumps(asdict(found)))["kind"] == found.kind


@pytest.mark.usefixtures("_no_environment_is_made")
def test_env_steps_are_those_of_the_protocol(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(PRESET)
    found = describe(str(file))
    assert found.env_steps_per_iteration == 3 * 5 * 7 * 3  # before, and after each of two steps
    assert found.env_steps == 11 * found.env_steps_per_iteration
    assert found.facts["training"] == (
        "11 iterations of 3 tasks; on each task 5 episodes of at most 7 steps before adaptation, "
        "and as many after each of 2 gradient steps (α 0.25)"
    )
    assert found.commands[0] == f"metarl train {file}"
    trials = describe("grid-navi-rl2")
    assert trials.env_steps_per_iteration == 128 * 4 * 15
    assert "1 trial of 4 episodes of at most 15 steps" in trials.facts["training"]
    assert describe("sinusoid").env_steps is None


@pytest.mark.usefixtures("_no_environment_is_made")
def test_what_a_preset_changes_is_told_from_defaults():
    settings = {setting.name: setting for setting in describe("half-cheetah-dir").settings}
    assert settings["action_scale"].changed
    assert (settings["action_scale"].value, settings["action_scale"].default) == (10.0, 1.0)
    assert settings["curvature_fraction"].value == 0.05  # of the agent
    assert not settings["seed"].changed


@pytest.mark.usefixtures("_no_environment_is_made")
def test_what_stands_beside_a_preset():
    found = describe("half-cheetah-dir-rl2")
    assert "half-cheetah-dir-varibad (varibad)" in found.facts["same tasks"]
    assert found.facts["same environment"] == ["half-cheetah-dir (maml-trpo)"]  # another horizon
    trained = describe("navigation-2d")
    assert trained.facts["comes trained as"] == ["navigation-2d"]
    assert "metarl evaluate navigation-2d" in trained.commands
    assert describe("ant-vel-finn2017").published["oracle"] == [107.89]


def test_an_environment_tells_its_own_docstring(capsys):
    assert main(["show", "HalfCheetahDir-v0"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "metarl_envs:metarl/HalfCheetahDir-v0: environment of metarl-suite" in printed
    assert "Run forward or backward." in printed
    assert "reward d·v − 0.05·Σa²" in printed
    assert "control step 0.05 s" in printed
    assert "presets half-cheetah-dir, half-cheetah-dir-pearl" in printed


@pytest.mark.usefixtures("_no_environment_is_made")
@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("name", ["half-cheetah-dir-rl2", "sinusoid", "pearl", "characters"])
def test_it_fits_the_width(name, width, capsys, monkeypatch):
    monkeypatch.setattr(output, "WIDTH_WITHOUT_TERMINAL", width)
    assert main(["show", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(0 < len(line.strip()) < 4 for line in lines) <= 0.05 * len(lines)


@pytest.mark.usefixtures("_no_environment_is_made")
def test_json_holds_all_settings(capsys):
    assert main(["show", "sinusoid", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        "kind", "name", "package", "description", "source", "facts", "settings",
        "env_steps_per_iteration", "env_steps", "published", "commands",
    ]  # fmt: skip
    settings = {each["name"]: each for each in found["settings"]}
    assert settings["test_shots"]["value"] == [5, 10, 20]
    assert settings["largest_amplitude"].keys() == {"name", "value", "default", "meaning"}
    assert found["published"]["5"]["maml"]["measures"] == [0.67, 0.38, 0.35]


def test_what_is_no_plug_in_is_shown_by_its_module():
    agent = describe("memory_toy:SPEC")
    assert (agent.kind, agent.package, agent.facts["family"]) == ("agent", "", "memory")
    environment = describe("metarl.tasks:metarl/Wrapped-v0")
    assert (environment.kind, environment.package) == ("environment", "")
    with pytest.raises(ConfigError, match="no environment 'metarl_envs:metarl/Nothing-v0'"):
        describe("metarl_envs:metarl/Nothing-v0")


def test_an_unknown_name_is_one_clear_error():
    with pytest.raises(ConfigError, match="nothing is named 'half-cheeta-dir'; did you mean"):
        describe("half-cheeta-dir")
    with pytest.raises(ConfigError, match="there is no preset file"):
        describe("nowhere.toml")


def test_the_texts_under_fields_are_their_meanings():
    @dataclass(frozen=True)
    class Base:
        first: int = 1
        """What comes
        first."""
        silent: int = 2

    @dataclass(frozen=True)
    class Extended(Base):
        second: int = 2
        """And then."""

    assert meanings(Extended) == {"first": "What comes first.", "second": "And then."}


def test_a_table_of_two_columns_is_read_and_no_other():
    text = "It is.\n\n=======  ====\nreward   much\n         more\nthe step 0.1 s\n=======  ====\n"
    assert rows_of_table(text) == {"reward": "much more", "the step": "0.1 s"}
    assert rows_of_table("no table") == {}
