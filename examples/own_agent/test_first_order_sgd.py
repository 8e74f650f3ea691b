"""The conformance kit on the agent."""

from metarl.testing import check_agent


def test_the_agent_keeps_what_training_relies_on():
    verdicts = check_agent("first_order_sgd:SPEC")
    assert all(verdict.passed for verdict in verdicts), verdicts
