"""Runs of strangers on the hub: no code is run that nobody trusts."""

import json
from pathlib import Path

import pytest
from runs_on_hub import RUN, hostile, one_line_error

import metarl
from metarl.cli import main
from metarl.runs.hub_runs import ORIGIN_FILE

pytestmark = [
    pytest.mark.whole_runs,
    # The library's own, of what carries its requests.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

WRAPPED = "metarl.tasks:metarl/Wrapped-v0"
TASK = {"g": {"attribute": "g", "low": 9.0, "high": 10.0}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"agent": "canary_of_the_hub:AGENT"}, "agent 'canary_of_the_hub:AGENT'"),
        ({"env_id": "canary_of_the_hub:Env-v0"}, "environment 'canary_of_the_hub:Env-v0'"),
        ({"env_id": "Nothing-v0"}, "environment 'Nothing-v0'"),
        (
            {"env_id": WRAPPED, "env_kwargs": {"env_id": "canary_of_the_hub:E-v0", "task": TASK}},
            "environment 'canary_of_the_hub:E-v0'",
        ),
        (
            {
                "env_id": WRAPPED,
                "env_kwargs": {
                    "env_id": "Pendulum-v1",
                    "task": TASK,
                    "wrappers": [{"wrapper": "canary_of_the_hub:Wrapper"}],
                },
            },
            "'canary_of_the_hub:Wrapper'",
        ),
        (
            {
                "env_id": WRAPPED,
                "env_kwargs": {
                    "env_id": "Pendulum-v1",
                    "task": TASK,
                    "wrappers": ["gymnasium.wrappers:RecordVideo"],
                },
            },
            "'gymnasium.wrappers:RecordVideo'",
        ),
        (
            {
                "env_id": "metarl_envs:metarl/HalfCheetahDir-v0",
                "env_kwargs": {"family": "os:system", "command": "touch harm"},
            },
            "'os:system'",
        ),
        (
            {
                "env_id": "metarl_envs:metarl/HalfCheetahDir-v0",
                "env_kwargs": {"family": "canary_of_the_hub"},
            },
            "family = 'canary_of_the_hub' in the place of code",
        ),
        ({"agent": "no-such-agent"}, "unknown agent 'no-such-agent'"),
        ({"description": "\x1b]0;mine\x07"}, "control characters"),
    ],
)
def test_a_stranger_s_run_names_no_code_but_that_of_installed_plug_ins(
    hub, trained, canary, capsys, changes, named
):
    hub.add(RUN, hostile(trained, **changes))
    assert main(["evaluate", f"hf://{RUN}"]) == 2
    told = one_line_error(capsys)
    assert f"metarl evaluate: error: hf://{RUN}: " in told
    assert named in told
    assert f"metarl pull hf://{RUN} --trust" in told
    assert not canary()
    assert not Path("harm").exists()
    assert not list(Path().rglob("config.json"))


def test_a_stranger_s_problem_is_refused_likewise(hub, canary, capsys):
    options = {"tasks_per_batch": 3, "hidden_sizes": (4,), "record_interval": 1, "workers": 0}
    run = metarl.train(
        "sinusoid", iterations=1, run_dir="s", progress=False, checkpoint_interval=1, **options
    )
    hub.add(RUN, hostile(run, problem="canary_of_the_hub:AGENT"))
    assert main(["evaluate", f"hf://{RUN}"]) == 2
    assert "names code of no installed plug-in: problem 'canary" in one_line_error(capsys)
    assert not canary()


def test_code_of_one_s_own_is_taken_on_trust_and_the_copy_keeps_it(hub, trained, canary, capsys):
    hub.add(RUN, hostile(trained, agent="canary_of_the_hub:AGENT"))
    run = metarl.load(f"hf://{RUN}", trust=True)
    assert not canary()  # until something is done with it
    with pytest.raises(metarl.MetarlError, match="AGENT is no AgentSpec but NoneType"):
        metarl.load(f"hf://{RUN}").adapt(steps=0)
    assert canary()
    assert json.loads((run.run_dir / ORIGIN_FILE).read_text())["trusted"] is True


@pytest.mark.parametrize("preset", ["navigation-2d", "minigrid-four-rooms", "point-maze"])
def test_runs_of_installed_presets_need_no_trust(hub, trained, preset):
    changes = {}
    if preset != "navigation-2d":
        config = metarl.api.starting_point.load_preset(preset)
        changes = {"env_id": config.env_id, "env_kwargs": config.env_kwargs}
    hub.add(RUN, hostile(trained, **changes))
    assert metarl.load(f"hf://{RUN}").config.env_id
