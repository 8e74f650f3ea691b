"""A task that somebody names, as JSON or as a value of the space, is read as that value."""

import json

import numpy as np
import pytest
from building import tiny_config
from gymnasium import spaces

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import from_json

PARTS = spaces.Dict(
    {
        "mass": spaces.Box(0.0, 1.0, (2,), np.float64),
        "way": spaces.Tuple((spaces.Discrete(3, start=1), spaces.MultiBinary(2))),
        "inside": spaces.Dict({"turns": spaces.MultiDiscrete([2, 3])}),
    }
)


def test_a_task_with_parts_is_read_part_by_part() -> None:
    read = from_json(PARTS, {"mass": [0.5, 1], "way": [3, [0, 1]], "inside": {"turns": [1, 2]}})
    assert PARTS.contains(read)
    np.testing.assert_array_equal(read["mass"], [0.5, 1.0])
    assert read["way"][0] == 3
    np.testing.assert_array_equal(read["inside"]["turns"], [1, 2])


@pytest.mark.parametrize(
    ("space", "task", "words"),
    [
        (PARTS, {"mass": [0.5, 1]}, "must have 'inside', 'mass', 'way' and nothing else"),
        (PARTS["way"], [1], "must be a list of 2 values"),
        (PARTS["way"], 1, "must be a list of 2 values"),
        (spaces.Discrete(3), 1.5, "a whole number"),
        (spaces.Discrete(3), True, "a whole number"),
        (spaces.Discrete(3), "1", "a whole number"),
    ],
)
def test_other_parts_and_fractions_are_refused(space, task, words) -> None:
    with pytest.raises(ValueError, match=words):
        from_json(space, task)


def test_a_value_of_the_space_is_read_as_its_json_is(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = build_experiment(tiny_config())
    monkeypatch.setattr(experiment.environment.unwrapped, "task_space", PARTS, raising=False)
    PARTS.seed(1)
    task = PARTS.sample()
    text = {"mass": task["mass"].tolist(), "way": [int(task["way"][0]), task["way"][1].tolist()]}
    text["inside"] = {"turns": task["inside"]["turns"].tolist()}
    for given in (task, json.loads(json.dumps(text))):
        read = experiment.read_task(given)
        assert PARTS.contains(read)
        np.testing.assert_array_equal(read["mass"], task["mass"])
        assert read["way"][0] == task["way"][0]
    with pytest.raises(ConfigError, match="is not a task: it must have"):
        experiment.read_task([1.0])
