"""What PEARL learns of ends that an environment declares, at whatever step, and of cuts."""

import pytest
from building import run
from pearl_toy import config_of

HORIZON = 3


@pytest.mark.parametrize(
    ("ends", "terminal"),
    [
        ({"last_step": 2}, [False, True]),
        ({"last_step": HORIZON}, [False, False, True]),
        ({"last_step": 2, "truncates": True}, [False, False]),
        ({"last_step": HORIZON, "truncates": True}, [False, False, False]),
        ({}, [False, False, False]),
    ],
    ids=["itself", "itself, at the horizon", "cut off", "cut off at the horizon", "the horizon"],
)
def test_a_transition_is_terminal_where_the_environment_ended_by_itself(ends, terminal):
    config = config_of(
        env_id="degenerate_environments:Degenerate-v0",
        env_kwargs=ends,
        horizon=HORIZON,
        iterations=1,
    )
    found = run(config)[0].agent.experience["terminal"].reshape(-1, len(terminal))
    assert len(found) == config.tasks_per_batch * (config.adaptation_steps + 1)
    assert (found == terminal).all()
