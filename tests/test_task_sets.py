"""Named sets of tasks: kept apart, drawn evenly, and named in errors and listings."""

import dataclasses
from collections import Counter
from typing import Any

import gymnasium as gym
import pytest
from building import tiny_config
from kinds import ENV_ID, SETS

from metarl.api.catalogue import preset_tasks
from metarl.config.comparability import published_returns
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.tasks.distribution import make_environment, sample_tasks
from metarl.tasks.policy_environment import DrawTasks
from metarl.tasks.training_sets import draw_different_tasks

pytestmark = pytest.mark.whole_runs

TRAIN = {"set": "train"}


@pytest.fixture
def environment() -> Any:
    return make_environment(ENV_ID, {})


def config_with_sets() -> Config:
    return tiny_config(env_id=ENV_ID, train_range=TRAIN, test_ranges={"test": {"set": "test"}})


def test_as_many_draws_as_tasks_give_each_once(environment: Any) -> None:
    for seed in range(5):
        drawn = sample_tasks(environment, seed, (Split.TRAIN, 1), 6, TRAIN)
        assert drawn == SETS["train"]
    assert sample_tasks(environment, 1, (Split.TEST, 0), 2, {"set": "test"}) == SETS["test"]


def test_each_draw_is_uniform_over_its_share_and_every_task_as_likely(environment: Any) -> None:
    # Four draws from six tasks: shares of one and a half, which the tasks 1 and 4 lie across.
    draws = [sample_tasks(environment, seed, (0, 1), 4, TRAIN) for seed in range(600)]
    assert {task for drawn in draws for task in drawn[:1]} == {0, 1}
    assert {task for drawn in draws for task in drawn[1:2]} == {1, 2}
    counts = Counter(task for drawn in draws for task in drawn)
    for task in SETS["train"]:
        assert counts[task] == pytest.approx(400, abs=60)
    assert draws[3] == sample_tasks(environment, 3, (0, 1), 4, TRAIN)


class ManyTasks(gym.Wrapper):
    """Has a set of 500 tasks: ten kinds, fifty of each, one after the other."""

    task_space = gym.spaces.Discrete(500)
    task_sets = ("train",)

    def tasks_of(self, name: str) -> list[int]:
        return list(range(500))


@pytest.mark.parametrize("count", [20, 300])
def test_training_tasks_lie_evenly_over_their_whole_set(environment: Any, count: int) -> None:
    many = ManyTasks(environment)
    drawn = [draw_different_tasks(many, seed, (Split.TRAIN,), count, TRAIN) for seed in range(9)]
    for tasks in drawn:
        assert len(set(tasks)) == count
        assert Counter(task // 50 for task in tasks) == dict.fromkeys(range(10), count // 10)
    assert drawn[0] == draw_different_tasks(many, 0, (Split.TRAIN,), count, TRAIN)
    assert drawn[0] != drawn[1]


def test_a_set_trains_on_each_of_its_tasks_once_and_on_no_more(environment: Any) -> None:
    assert draw_different_tasks(environment, 3, (Split.TRAIN,), 6, TRAIN) == SETS["train"]
    with pytest.raises(ConfigError, match="training_tasks = 7: set 'train' has only 6 different"):
        draw_different_tasks(environment, 3, (Split.TRAIN,), 7, TRAIN)


def test_one_environment_of_all_tasks_draws_from_the_set(environment: Any) -> None:
    drawing = DrawTasks(environment, {"set": "test"})
    drawing.reset(seed=1)
    seen = set()
    for _ in range(30):
        drawing.reset()
        seen.add(environment.get_wrapper_attr("task"))
    assert seen == set(SETS["test"])


def test_a_set_that_is_not_there_is_an_error_that_names_those_that_are(environment: Any) -> None:
    with pytest.raises(ConfigError, match=r"'trian': the environment's sets of .* train, test"):
        sample_tasks(environment, 1, (0, 1), 1, {"set": "trian"})
    navigation = make_environment("metarl_envs:metarl/Navigation2D-v0", {})
    with pytest.raises(ConfigError, match="'train': the environment has no sets"):
        sample_tasks(navigation, 1, (0, 1), 1, TRAIN)


@pytest.mark.parametrize("task_range", [{"set": 3}, {"set": "train", "low": [0], "high": [1]}])
def test_an_impossible_set_is_refused_on_construction(task_range: Any) -> None:
    with pytest.raises(ConfigError, match="train_range = "):
        dataclasses.replace(config_with_sets(), train_range=task_range)


def test_listing_names_the_sets() -> None:
    assert preset_tasks(config_with_sets()) == "{0 … 7}\nset train\ntest test: set test"


def test_published_numbers_belong_to_the_set_they_were_published_for() -> None:
    config = tiny_config(horizon=100)
    assert published_returns(config)
    assert published_returns(dataclasses.replace(config, train_range=TRAIN)) == {}
