"""The conformance kit: does a plug-in keep the promises that meta-training builds on?

For authors of environments and agents, in a test of theirs::

    from metarl.testing import check_agent, check_task_env

    def test_my_environment_conforms():
        verdicts = check_task_env("my_package:mine/Reach-v0")
        assert all(verdict.passed for verdict in verdicts), verdicts

    def test_my_agent_conforms():
        verdicts = check_agent("my-agent")
        assert all(verdict.passed for verdict in verdicts), verdicts

`metarl check ENV_ID` and `metarl check --agent NAME` print the same verdicts. Three things that
are usually mistakes may be meant; an environment says so by an attribute:

========================  =======================================================================
``observes_task``         True: an oracle, whose observation shows the task; or the indices of
                          observation elements that may show a part of it, as where an object lies
``fixed_start``           True: every episode starts in the same state
``constant_observation``  indices of observation elements that may stay constant for long, or True
                          for all; elements with equal bounds in the observation space need none.
                          Of a dictionary or tuple: indices in the flattened observation
========================  =======================================================================
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from metarl.config.fields import read_fields
from metarl.config.plugins import AgentSpec, load_agent
from metarl.tasks.distribution import make_environment, registered
from metarl.testing import agent_checks, episode_checks, observation_checks, task_checks
from metarl.testing.agent_checks import AgentSubject
from metarl.testing.playing import Failure, Subject

LONGEST_EPISODE = 40


@dataclass(frozen=True)
class Verdict:
    """What one check found."""

    name: str
    """What was checked, in two or three words."""
    passed: bool
    explanation: str
    """What was seen, and for a failure what to do about it."""


CHECKS: dict[str, Callable[[Subject], str]] = {
    "spaces": observation_checks.spaces_fit,
    "tasks sampled": task_checks.tasks_are_members,
    "tasks written": task_checks.tasks_survive_json,
    "task set": task_checks.task_is_settable,
    "task kept": task_checks.task_persists,
    "observations": observation_checks.observations_are_members,
    "deterministic": episode_checks.episodes_repeat,
    "task decides": task_checks.same_task_same_episode,
    "tasks differ": task_checks.tasks_differ,
    "task hidden": task_checks.task_is_hidden,
    "memory": observation_checks.observations_are_fresh,
    "elements vary": observation_checks.elements_vary,
    "random starts": episode_checks.starts_are_random,
    "time limit": episode_checks.time_limit_is_apart,
    "native batch": episode_checks.native_batch_agrees,
}
"""The checks of an environment; each explains what it saw, or raises `Failure` with what is wrong.
"""

AGENT_CHECKS: dict[str, Callable[[AgentSubject], str]] = {
    "settings": agent_checks.settings_are_a_record,
    "protocol": agent_checks.protocol_is_there,
    "tasks met": agent_checks.tasks_are_met,
    "sound steps": agent_checks.steps_are_sound,
    "repeatable": agent_checks.runs_repeat,
    "resumable": agent_checks.states_resume,
    "states kept": agent_checks.states_are_kept,
    "equal rewards": agent_checks.equal_rewards_do_no_harm,
    "learns": agent_checks.agents_learn,
}
"""The checks of an agent."""


def check_task_env(
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    horizon: int | None = None,
    seed: int = 1,
) -> list[Verdict]:
    """Check a task-distributed environment, and give a verdict for every check.

    Where the spaces are not ones that a policy can have, that is the only verdict.

    Args:
        env_id: a Gymnasium id with its module, `package:namespace/Name-v0`.
        env_kwargs: keyword arguments of the environment's constructor.
        horizon: the time limit to check with, in steps; None: the registered one, at most 40.
        seed: the tasks, episodes and actions tried all come from it.

    Raises:
        ConfigError: there is no such environment, or it is not task-distributed.

    """
    kwargs = dict(env_kwargs or {})
    limit = registered(env_id).max_episode_steps
    if horizon is None:
        horizon = min(limit or LONGEST_EPISODE, LONGEST_EPISODE)
    make_environment(env_id, kwargs, horizon).close()
    subject = Subject(env_id, kwargs, horizon, seed)
    verdicts = []
    for name, check in CHECKS.items():
        verdicts.append(_judge(name, "environment", partial(check, subject)))
        if name == "spaces" and not verdicts[-1].passed:
            break
    return verdicts


def check_agent(
    agent: str | AgentSpec, settings: Mapping[str, Any] | None = None, *, seed: int = 1
) -> list[Verdict]:
    """Check an agent on a tiny task distribution, and give a verdict for every check.

    Where it does not have the members of an agent, that is the last verdict.

    Args:
        agent: an installed agent's name, "module:NAME" of an `AgentSpec`, or the spec itself.
        settings: of the agent, by field; the others keep their defaults.
        seed: of all runs that are tried.

    Raises:
        ConfigError: there is no such agent, or it has no such settings.

    """
    spec = load_agent(agent) if isinstance(agent, str) else agent
    name = agent if isinstance(agent, str) else spec.entry_point
    read_fields(spec.settings, settings or {}, f"agent {name!r}")
    subject = AgentSubject(name, spec, dict(settings or {}), seed)
    verdicts = []
    for check_name, check in AGENT_CHECKS.items():
        verdicts.append(_judge(check_name, "agent", partial(check, subject)))
        if check_name == "protocol" and not verdicts[-1].passed:
            break
    return verdicts


def _judge(name: str, what: str, check: Callable[[], str]) -> Verdict:
    try:
        return Verdict(name, True, check())
    except Failure as failure:
        return Verdict(name, False, str(failure))
    except Exception as error:  # whatever a plug-in raises is a finding about it
        return Verdict(name, False, f"the {what} raised {type(error).__name__}: {error}")
