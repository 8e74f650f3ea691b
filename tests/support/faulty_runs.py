"""Runs of an environment that fails as it is told."""

from dataclasses import replace
from pathlib import Path

from building import FORKED, tiny_config, without_times


def config_of(fault="none", **kwargs):
    return tiny_config(
        env_id="faulty_environments:Faulty-v0",
        horizon=5,
        tasks_per_batch=4,
        iterations=2,
        env_kwargs={"fault": fault, **kwargs},
    )


def listening(**changes):
    """Supervision that writes down what it is told."""
    heard = []
    return heard, replace(FORKED, report=heard.append, **changes)


def assert_same(result, expected):
    (state, records), (other_state, other_records) = result, expected
    assert without_times(records) == without_times(other_records)
    assert state.agent.theta.tobytes() == other_state.agent.theta.tobytes()


def shared_memory():
    """The blocks of shared memory that Python makes (Ray, in tests beside these, has others)."""
    return sorted(
        file.name
        for file in Path("/dev/shm").glob("*")
        if file.name.startswith(("psm_", "pym-", "sem.", "torch_"))
    )
