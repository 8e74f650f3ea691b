"""What makes an agent what it is: fields of the configuration, and what its parameters are."""

import json
import re

import numpy as np
import pytest
from building import tiny_config

from metarl.api.starting_point import starting_point, with_fields
from metarl.config.preset_text import preset_text
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.tasks.action_map import ActionMap


def test_pearls_largest_actions_reach_the_bounds_whatever_scale_a_preset_has():
    config = starting_point("navigation-corners", agent="pearl").config
    space = build_experiment(config).environment.action_space
    largest = np.ones((1, *space.shape))  # of a hyperbolic tangent
    own = ActionMap(space, config.action_scale)
    np.testing.assert_array_equal(own(largest)[0], space.high)
    np.testing.assert_array_equal(own(-largest)[0], space.low)


@pytest.mark.parametrize(
    ("agent", "field", "value", "own"),
    [
        ("oracle", "observe_task", False, True),
        ("fomaml-trpo", "first_order", False, True),
        ("multitask", "adaptation_steps", 2, 0),
        ("pearl", "action_scale", 10.0, 1.0),
    ],
)
def test_no_flag_makes_an_agent_something_else(agent, field, value, own):
    start = starting_point("navigation-2d", agent=agent)
    build_experiment(with_fields(start, {field: own}))
    said = f"{field} = {value}: agent {agent} is what it is by {field} = {own}; leave it away"
    with pytest.raises(ConfigError, match=said):
        build_experiment(with_fields(start, {field: value}))


@pytest.mark.parametrize(
    ("agent", "field", "other", "own"),
    [
        ("oracle", "observe_task", "false", "true"),  # which is also what others have by default
        ("multitask", "adaptation_steps", "2", "0"),
    ],
)
def test_a_preset_does_not_say_otherwise_of_its_agent(agent, field, other, own, tmp_path):
    preset = tmp_path / "mine.toml"
    text = preset_text(starting_point("navigation-2d").config).replace("maml-trpo", agent, 1)
    text = text.partition("[agent_settings]")[0]
    preset.write_text(re.sub(rf"^{field} = .*$", f"{field} = {other}", text, flags=re.M))
    said = f"{field} = {other.title()}: agent {agent} is what it is by .*; leave it away"
    with pytest.raises(ConfigError, match=said):
        starting_point(str(preset))
    starting_point(str(preset), agent="maml-trpo")  # whose it may be
    preset.write_text(re.sub(rf"^{field} = .*$", f"{field} = {own}", text, flags=re.M))
    starting_point(str(preset))
    preset.write_text(re.sub(rf"^{field} = .*$", "", text, flags=re.M))
    assert getattr(starting_point(str(preset)).config, field) == json.loads(own)


@pytest.mark.parametrize(
    ("preset", "tasks"), [("navigation-2d", 100), ("semicircle-dense-rl2", 128)]
)
def test_pearl_has_a_hundred_training_tasks_or_as_many_as_a_meta_batch(preset, tasks):
    assert starting_point(preset, agent="pearl").config.training_tasks == tasks


@pytest.mark.parametrize("agent", ["rl2", "varibad", "uniform", "cavia", "pearl"])
def test_a_saved_policy_is_no_beginning_for_parameters_of_another_kind(agent):
    changes = {"discount": 0.99, "training_tasks": 3 if agent == "pearl" else 0}
    config = tiny_config(agent=agent, initial_policy="model.zip", **changes)
    said = f"initial_policy = 'model.zip': the parameters of agent {agent} are not a plain policy's"
    with pytest.raises(ConfigError, match=said):
        build_experiment(config)


@pytest.mark.parametrize("agent", ["maml-trpo", "meta-sgd-trpo", "reptile", "pretrained"])
def test_a_saved_policy_may_be_a_beginning_for_others(agent):
    build_experiment(tiny_config(agent=agent, initial_policy="model.zip"))
