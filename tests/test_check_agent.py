"""The conformance kit of agents: ours pass, and each check catches what it is there for."""

from dataclasses import dataclass, replace

import agents_conforming_and_not as agents
import pytest
from our_agents import OURS, SMALL

from metarl.cli import main
from metarl.config.plugins import AgentSpec, load_agent
from metarl.config.settings import NoSettings
from metarl.foundation.errors import ConfigError
from metarl.testing import AGENT_CHECKS, check_agent
from metarl.testing.agent_checks import AgentSubject
from metarl.testing.playing import Failure

pytestmark = pytest.mark.whole_runs


def spec_of(kind, settings=NoSettings):
    return AgentSpec(f"{kind.__module__}:{kind.__name__}", settings, "", "")


def test_these_are_all():
    assert OURS == [
        "cavia",
        "e-maml-trpo",
        "fomaml-trpo",
        "maml-trpo",
        "meta-sgd-trpo",
        "multitask",
        "pearl",
        "promp",
        "reptile",
        "rl2",
        "varibad",
    ]


@pytest.mark.parametrize("name", OURS)
def test_our_agents_pass(name):
    verdicts = check_agent(name, SMALL.get(name))
    assert len(verdicts) == len(AGENT_CHECKS)
    assert all(verdict.passed for verdict in verdicts), verdicts


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (agents.OtherStart, "protocol", "initial_state changed θ"),
        (agents.NotFinite, "sound steps", "θ is not finite after iteration 1"),
        (agents.OtherType, "sound steps", "came back as float64"),
        (agents.Stays, "sound steps", "left θ where it was"),
        (agents.Random, "repeatable", "metarl.foundation.seeding"),
        (agents.CountsWorkers, "repeatable", "2 workers"),
        (agents.Remembers, "resumable", "must be in AgentState"),
        (agents.WritesIntoTheState, "states kept", "wrote into the state"),
        (agents.DividesByTheSpread, "equal rewards", "not finite"),
        (agents.Climbs, "learns", "is the sign right?"),
    ],
)
def test_a_broken_promise_is_told(kind, check, words):
    with pytest.raises(Failure, match=words):
        AGENT_CHECKS[check](AgentSubject("mine", spec_of(kind), {}, 1))
    AGENT_CHECKS[check](AgentSubject("mine", spec_of(agents.Mover), {}, 1))


def test_the_family_that_is_listed_is_the_one_of_the_class():
    spec = replace(spec_of(agents.Mover), family="memory")
    with pytest.raises(Failure, match="AgentSpec says family 'memory', its class 'gradient'"):
        AGENT_CHECKS["protocol"](AgentSubject("mine", spec, {}, 1))


@dataclass
class Changeable:
    size: int = 1


@dataclass(frozen=True)
class WithoutDefault:
    size: int


@pytest.mark.parametrize(
    ("settings", "words"), [(Changeable, "frozen dataclass"), (WithoutDefault, "no default")]
)
def test_settings_must_be_a_record(settings, words):
    with pytest.raises(Failure, match=words):
        AGENT_CHECKS["settings"](
            AgentSubject("mine", spec_of(agents.Mover, settings), {"size": 2}, 1)
        )


def test_whatever_an_agent_raises_is_a_finding_about_it():
    verdicts = {verdict.name: verdict for verdict in check_agent(spec_of(agents.Raises))}
    assert verdicts["protocol"].passed
    assert not verdicts["sound steps"].passed
    assert "the agent raised WorkerError" not in verdicts["sound steps"].explanation
    assert "the agent raised RuntimeError: out of cheese" in verdicts["sound steps"].explanation


def test_an_agent_that_steps_its_own_environments_is_told_that_the_kit_is_not_for_it():
    pytest.importorskip("sb3_contrib")
    *_, last = check_agent("pretrained")
    assert last.name == "protocol"
    assert "no agent that steps environments of its own" in last.explanation


def test_the_command_line_prints_the_verdicts(capsys):
    assert main(["check", "--agent", "agents_conforming_and_not:RAISES"]) == 1
    printed = capsys.readouterr().out
    assert "out of cheese" in printed
    assert f"agents_conforming_and_not:RAISES: {len(AGENT_CHECKS) - 3} of" in printed
    assert main(["check"]) == 2
    assert main(["check", "navigation-2d", "--agent", "reptile"]) == 2
    assert "name an environment or a preset" in capsys.readouterr().err


def test_agents_are_found_by_module_and_name_and_settings_are_read():
    with pytest.raises(ConfigError, match="no_such_module"):
        check_agent("no_such_module:SPEC")
    with pytest.raises(ConfigError, match="is no AgentSpec but type"):
        check_agent("agents_conforming_and_not:Mover")
    with pytest.raises(ConfigError, match="unknown key 'size'"):
        check_agent("reptile", {"size": 1})
    assert load_agent("metarl_agents:REPTILE") is load_agent("reptile")
