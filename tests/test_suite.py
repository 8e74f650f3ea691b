"""Suites: what a TOML file may say, and what is said of one that is wrong."""

import dataclasses
import re
from pathlib import Path

import pytest

from metarl.api.benchmark import cells_of
from metarl.config.suite import Comparison, HeldOut, Scale, SuiteAgent, read_suite
from metarl.foundation.errors import ConfigError
from metarl.runs.benchmark_cells import state_of
from metarl.runs.run_folder import write_config

ROOT = Path(__file__).parent.parent
SMALLEST = """\
[[comparison]]
name = "nav"
preset = "navigation-2d"
agents = ["maml-trpo", "random"]
seeds = [1, 2]
env_steps = 1000
"""


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        file = tmp_path / "suite.toml"
        file.write_text(text)
        return read_suite(file)

    return read_text


def test_the_smallest_suite_leaves_the_rest_to_the_preset(read):
    (comparison,) = read(SMALLEST).comparisons
    assert [(it.name, it.agent, it.preset) for it in comparison.agents] == [
        ("maml-trpo", "maml-trpo", "navigation-2d"),
        ("random", "random", "navigation-2d"),
    ]
    assert comparison.seeds == (1, 2)
    assert comparison.evaluation == HeldOut()
    assert comparison.scale == Scale()
    assert comparison.experience is None
    assert comparison.reach is None


def test_agents_may_have_presets_names_and_fields_of_their_own(read, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'description = "d"\nsource = "s"\nenv_id = "metarl_envs:metarl/Navigation2D-v0"\n'
        'agent = "reptile"\nhorizon = 5\niterations = 1\n'
    )
    (comparison,) = read(
        """\
        [[comparison]]
        name = "nav"
        preset = "navigation-2d"
        agents = [
            {agent = "maml-trpo", name = "small", fields = {hidden_sizes = [8]}, env_steps = 4},
            {preset = "mine.toml"},
            {agent = "metarl_agents:RANDOM"},
        ]
        seeds = [3]
        env_steps = 5
        experience = 400
        reach = -20
        fields = {horizon = 7}
        evaluation = {tasks = 9, adaptation_steps = 0, task_range = "training", seed = 4}
        scale = {zero = "small", one = -1}
        """
    ).comparisons
    small, mine, random = comparison.agents
    assert (small.name, small.agent, small.fields) == ("small", "maml-trpo", {"hidden_sizes": [8]})
    assert (small.env_steps, mine.env_steps) == (4, None)
    assert (mine.name, mine.agent, mine.preset) == (
        "reptile",
        "reptile",
        str(tmp_path / "mine.toml"),
    )
    assert (random.name, random.agent) == ("metarl_agents-RANDOM", "metarl_agents:RANDOM")
    assert comparison.fields == {"horizon": 7}
    assert comparison.evaluation == HeldOut(tasks=9, adaptation_steps=0, seed=4)
    assert comparison.scale == Scale(zero="small", one=-1)
    assert comparison.reach == -20.0


def changed(before, after):
    assert before in SMALLEST
    return SMALLEST.replace(before, after)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names no [[comparison]]"),
        ("comparison = 3", "names no [[comparison]]"),
        ("[[comparison]", "is not valid TOML"),
        ("title = 1\n" + SMALLEST, "unknown key 'title'"),
        (changed("seeds", "seed"), "comparison 'nav': unknown key 'seed'; did you mean 'seeds'?"),
        (changed("seeds = [1, 2]", ""), "comparison 'nav': missing seeds"),
        (changed("[1, 2]", "[]"), "seeds = () must not be empty"),
        (changed("[1, 2]", "[1, 1]"), "seeds = (1, 1) must be different numbers, 0 or more"),
        (changed("[1, 2]", "[-1]"), "seeds = (-1,) must be different numbers, 0 or more"),
        (changed("[1, 2]", '["1"]'), "seeds = '1' must be of type int"),
        (changed("1000", "0"), "env_steps = 0 must be at least 1"),
        (changed("1000", "-5"), "env_steps = -5 must be at least 1"),
        (changed("1000", "1.5"), "env_steps = 1.5 must be of type int"),
        (changed('"nav"', '"a/b"'), "name = 'a/b' must consist of letters"),
        (changed('"nav"', '"all"'), "name = 'all' is what the results call"),
        (changed('"navigation-2d"', '"navigation2d"'), "did you mean 'navigation-2d'?"),
        (changed('"navigation-2d"', '"no.toml"'), "there is no preset file"),
        (changed('"navigation-2d"', '"sinusoid"'), "is of a supervised problem"),
        (
            changed('"maml-trpo"', '"mamltrpo"'),
            "unknown agent 'mamltrpo'; did you mean 'maml-trpo'",
        ),
        (changed('"maml-trpo"', "3"), "agents: 3 must be a table"),
        (changed('"maml-trpo"', "{agnet = 'random'}"), "unknown key 'agnet'; did you mean 'agent'"),
        (changed('"maml-trpo"', '"random"'), "two agents are called 'random'"),
        (changed('"maml-trpo"', '{name = "../x"}'), "name = '../x' must consist of letters"),
        (changed('"maml-trpo"', "{fields = {seed = 3}}"), "fields: seed is not set here"),
        (SMALLEST + "fields = {iterations = 3}", "fields: iterations is not set here"),
        (SMALLEST + SMALLEST, "two comparisons are called 'nav'"),
        (
            changed('"maml-trpo"', '{agent = "maml-trpo", env_steps = 0}'),
            "env_steps = 0 of 'maml-trpo'",
        ),
        (
            changed('"maml-trpo"', '{agent = "maml-trpo", env_steps = 1001}'),
            "env_steps = 1001 of 'maml-trpo' must lie between 1 and the comparison's 1000",
        ),
        (SMALLEST + "experience = -1", "experience = -1 must be at least 0"),
        (SMALLEST + "reach = nan", "reach = nan must be a return: a finite number"),
        (SMALLEST + 'reach = "-10"', "reach = '-10' must be of type float"),
        (SMALLEST + "evaluation = 3", "evaluation: 3 must be a table"),
        (
            SMALLEST + "evaluation = {task = 3}",
            "evaluation: unknown key 'task'; did you mean 'tasks'",
        ),
        (SMALLEST + "evaluation = {tasks = 0}", "tasks = 0 must be at least 1"),
        (SMALLEST + "evaluation = {seed = -1}", "seed = -1 must be at least 0"),
        (
            SMALLEST + 'scale = {zero = "rendom"}',
            "there is no agent 'rendom'; did you mean 'random'",
        ),
        (
            SMALLEST + "scale = {zero = true}",
            "zero = True must be a return or the name of an agent",
        ),
        (SMALLEST + "scale = {one = nan}", "one = nan must be a return"),
        (SMALLEST + "scale = {zero = 1, one = 1.0}", "zero = 1 must lie below one = 1.0"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(read, tmp_path, text, complaint):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert complaint in str(error.value)
    assert str(tmp_path / "suite.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the suite .*no\.toml"):
        read_suite(tmp_path / "no.toml")


def test_the_suites_that_come_along_and_those_of_the_page_can_be_run(tmp_path):
    page = (ROOT / "docs" / "benchmark.md").read_text()
    texts = [it.read_text() for it in (ROOT / "benchmarks" / "suites").glob("*.toml")]
    texts += re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(texts) == 5
    file = tmp_path / "suite.toml"
    for number, text in enumerate(texts):
        file.write_text(text)
        suite = read_suite(file)
        cells = cells_of(suite, tmp_path / str(number))
        assert len(cells) == sum(len(it.agents) * len(it.seeds) for it in suite.comparisons)
        for cell in {(cell.comparison, cell.agent): cell for cell in cells}.values():
            cell.folder.mkdir(parents=True, exist_ok=True)
            write_config(cell.folder, cell.config)
            assert state_of(cell).standing == "begun", state_of(cell).reason


def test_the_page_names_every_key():
    page = (ROOT / "docs" / "benchmark.md").read_text()
    for kind in (Comparison, SuiteAgent, HeldOut, Scale):
        for item in dataclasses.fields(kind):
            assert f"`{item.name}`" in page
