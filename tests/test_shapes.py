"""Shapes hold in the training of every agent.

Modules marked `whole_runs` train without these checks (tests/conftest.py); here they are on.
"""

import pytest
from our_agents import OURS, SMALL

from metarl.config.plugins import load_agent
from metarl.testing import AGENT_CHECKS
from metarl.testing.agent_checks import AgentSubject


@pytest.mark.parametrize("name", OURS)
def test_shapes_hold_in_an_iteration_and_on_held_out_tasks(name):
    subject = AgentSubject(name, load_agent(name), SMALL.get(name, {}), seed=1)
    AGENT_CHECKS["states kept"](subject)
    AGENT_CHECKS["tasks met"](subject)
