"""Any numeric observation as a flat vector, against Gymnasium's own flattening."""

import gymnasium as gym
import numpy as np
import pytest
from building import tiny_config
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from strange_spaces import Cells, Line, OnlyWords, Parts, Picture, WrongChoice, WrongShape, identify

from metarl.experiments.build import build_experiment
from metarl.foundation import messages
from metarl.foundation.errors import ConfigError, TaskError
from metarl.tasks.distribution import make_environment
from metarl.tasks.environment_batches import SingleEnvironments, make_batch
from metarl.tasks.observations import (
    FlatObservations,
    Image,
    flat_layout,
    flat_observations,
    observation_layout,
)
from metarl.tasks.policy_environment import observed_environment
from metarl.workers.shards import Shard, ShardSpec

BOX = spaces.Box(-2.0, 3.0, (2, 3), np.float64)
NUMERIC = [
    BOX,
    spaces.Box(0, 255, (4, 5, 3), np.uint8),
    spaces.Box(-1.0, 1.0, (), np.float64),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[0, 1], [-3, 7]]),
    spaces.MultiBinary((2, 3)),
    spaces.Tuple([BOX, spaces.Discrete(2)]),
    spaces.Dict({"z": spaces.Discrete(3), "a": BOX, "m": spaces.Dict({"x": spaces.Tuple([BOX])})}),
]


class Shows(gym.Env):
    """An environment of any observation space."""

    def __init__(self, space):
        self.observation_space = space


@pytest.mark.parametrize("space", NUMERIC, ids=str)
def test_flat_observations_equal_gymnasiums(space):
    environment = flat_observations(Shows(space), "shows")
    space.seed(3)
    for _ in range(20):
        sample = space.sample()
        flat = environment.observation(sample)
        np.testing.assert_array_equal(flat, gym.spaces.flatten(space, sample).astype(np.float32))
        assert environment.observation_space.contains(flat)
    expected = gym.spaces.flatten_space(space)
    np.testing.assert_array_equal(environment.observation_space.low, expected.low)
    np.testing.assert_array_equal(environment.observation_space.high, expected.high)
    assert observation_layout(environment).size == flat.size


def test_each_number_knows_its_part_and_its_place_there():
    environment = make_environment(identify(Parts), {})
    layout = observation_layout(environment)
    sizes = {part.name: part.size for part in layout.parts}
    assert sizes == {"near.0": 4, "near.1": 2, "cells": 5, "side": 2}
    observation, _ = environment.reset(seed=1)
    raw = environment.unwrapped.observe()
    place = next(place for part, place in layout.slices() if part.name == "near.0")
    expected = raw["near"][0].astype(np.float32).ravel()
    np.testing.assert_array_equal(observation[place], expected)
    assert layout.name_elements([place.start + 2]) == "[near.0[1, 0]]"
    assert "and 1 more]" in layout.name_elements(range(13))


def test_what_is_no_number_is_left_out_and_said_once(capsys, monkeypatch):
    monkeypatch.setattr(messages, "_said", set())
    config = tiny_config(env_id=identify(Parts))
    for _ in range(2):
        experiment = build_experiment(config)
    assert experiment.policy.layout.left_out[0].startswith("mission (Text)")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "left out: mission (Text)" in error
    with pytest.raises(ConfigError, match="hold no fixed list of numbers for a policy to read"):
        make_environment(identify(OnlyWords), {})


def test_flat_observations_stay_as_they_are():
    plain = make_environment(identify(Line), {})
    assert not isinstance(plain, FlatObservations)
    assert observation_layout(plain) == flat_layout(plain.observation_space)
    assert plain.reset(seed=0)[0].dtype == np.float64
    # Whatever an environment calls observation_layout is its own affair.
    plain.unwrapped.observation_layout = "rows"
    assert observation_layout(plain).size == 1


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((84, 84, 3), np.uint8, (84, 84, 3, False)),
        ((3, 84, 84), np.uint8, (84, 84, 3, True)),
        ((7, 7, 20), np.uint8, (7, 7, 20, False)),
        ((64, 48, 3), np.uint8, (64, 48, 3, False)),
        ((4, 64, 48), np.float32, (64, 48, 4, True)),
        ((5, 5, 5), np.float32, (5, 5, 5, False)),
        ((84, 84), np.uint8, (84, 84, 1, False)),
        ((84, 84), np.float32, None),
        ((2, 2, 9), np.float32, None),
        ((4, 84, 84, 3), np.uint8, None),
        ((12,), np.uint8, None),
    ],
)
def test_images_are_known_by_their_shape(shape, dtype, expected):
    space = spaces.Box(0, 255, shape, dtype)
    layout = observation_layout(flat_observations(Shows(space), "shows"))
    image = layout.parts[0].image
    assert image == (None if expected is None else Image(*expected, 255.0))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (WrongShape, r"cells has shape \(3,\) where the observation space says \(2,\)"),
        (WrongChoice, "side = 2 is not one of the choices of Discrete"),
    ],
)
def test_an_observation_outside_its_space_is_named_by_its_part(kind, words):
    batch = make_batch(tiny_config(env_id=identify(kind)), 1, 1)
    with pytest.raises(TaskError, match=words):
        batch.reset([np.zeros(1)], [0])


def test_an_oracle_has_the_task_behind_the_other_parts():
    environment = observed_environment(tiny_config(env_id=identify(Cells), observe_task=True))
    layout = observation_layout(environment)
    assert [(part.name, part.size) for part in layout.parts] == [("observation", 4), ("task", 1)]
    observation, _ = environment.reset(seed=1, options={"task": np.array([0.7])})
    assert observation[-1] == 0.7
    assert observation[:4].sum() == 1


def test_a_native_batch_of_other_observations_is_passed_over():
    class Vector(gym.vector.VectorEnv):
        metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012
        num_envs = 6
        single_observation_space = Picture().observation_space
        task_space = Line().task_space

    def vector(num_envs, max_episode_steps):
        return Vector()

    gym.register("tests/Native-v0", entry_point=Picture, vector_entry_point=vector)
    try:
        batch = make_batch(tiny_config(env_id="tests/Native-v0"), 2, 3)
        assert isinstance(batch, SingleEnvironments)
        assert batch.reset([np.zeros(1)] * 2, [0, 1]).shape == (2, 108)
    finally:
        del gym.registry["tests/Native-v0"]


@pytest.mark.parametrize("kind", [Line, Cells, Parts, Picture])
def test_a_batch_shows_what_single_environments_do(kind):
    config = tiny_config(env_id=identify(kind))
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, 2, range(1)))
    given = shard.environments.reset([np.zeros(1)] * 2, [4, 5])
    for row, seed in zip(given, (4, 5), strict=True):
        expected, _ = experiment.environment.reset(seed=seed, options={"task": np.zeros(1)})
        np.testing.assert_array_equal(row, expected)
