"""The environment keeps the promises that meta-training builds on."""

from metarl.testing import check_task_env


def test_reach_conforms():
    """Every check passes; a failure says in words what is wrong."""
    verdicts = check_task_env("reach:examples/Reach-v0")
    assert [verdict for verdict in verdicts if not verdict.passed] == []
