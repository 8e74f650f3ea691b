"""Meta-World's benchmarks, where it is installed: its own numbers, bit for bit; its protocol."""

import pickle
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from building import tiny_config

from metarl.config.plugins import load_preset
from metarl.experiments.build import build_experiment
from metarl.experiments.interface import EvaluationCase
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.tasks.distribution import make_environment, sample_tasks, tasks_of_set
from metarl.tasks.rendering import render
from metarl.testing import CHECKS, check_task_env

metaworld = pytest.importorskip("metaworld")

from metaworld.env_dict import ALL_V3_ENVIRONMENTS, ML10_V3, ML45_V3  # noqa: E402
from metaworld.types import Task  # noqa: E402

from metarl_envs.meta_world_tasks import Benchmark, tasks_of  # noqa: E402
from metarl_envs.meta_world_worlds import World  # noqa: E402

ML1 = "metarl_envs:metarl/MetaWorldML1-v0"
ML10 = "metarl_envs:metarl/MetaWorldML10-v0"
ML45 = "metarl_envs:metarl/MetaWorldML45-v0"
STEPS = 25
# One of them has two objects, one steps physics in its reset, some move bodies that are seen.
SOME = ["reach-v3", "push-v3", "box-close-v3", "door-lock-v3", "button-press-v3", "stick-pull-v3"]


def actions() -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (STEPS, 4)).astype(np.float32)


def theirs(name: str, task: Any) -> list[Any]:
    """Play an episode in Meta-World's own environment, with a model of its own."""
    world = ALL_V3_ENVIRONMENTS[name]()
    world.set_task(task)
    episode: list[Any] = [world.reset()[0]]
    for action in actions():
        observation, reward, _, _, info = world.step(action)
        episode += [observation, reward, float(info["success"])]
    return episode


def played(environment: Any, task: Any) -> list[Any]:
    episode: list[Any] = [environment.reset(seed=3, options={"task": task})[0]]
    for action in actions():
        observation, reward, _, _, info = environment.step(action)
        episode += [observation, reward, float(info["success"])]
    return episode


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", SOME)
def test_episodes_have_the_bits_of_meta_worlds_own(name: str) -> None:
    built = metaworld.ML1(name, seed=4)
    kwargs = {"env_name": name, "benchmark_seed": 4}
    with (
        closing(make_environment(ML1, kwargs)) as environment,
        closing(make_environment(ML1, kwargs)) as another,
    ):
        train, test = (tasks_of_set(environment, it) for it in ("train", "test"))
        expected = theirs(name, built.train_tasks[7]), theirs(name, built.test_tasks[7])
        assert not same(*expected)
        assert same(played(environment, train[7]), expected[0])
        assert same(played(environment, test[7]), expected[1])
        # Two share a model and take turns at it.
        starts = [
            each.reset(options={"task": task})[0]
            for each, task in ((environment, train[7]), (another, test[7]))
        ]
        for start, episode in zip(starts, expected, strict=True):
            assert np.array_equal(start, episode[0])
        for time, action in enumerate(actions()):
            for each, episode in zip((environment, another), expected, strict=True):
                observation, reward, *_ = each.step(action)
                assert np.array_equal(observation, episode[3 * time + 1])
                assert reward == episode[3 * time + 2]


@pytest.mark.parametrize(
    ("benchmark", "build"),
    [
        (Benchmark("ML1", 3, "push-v3"), lambda: metaworld.ML1("push-v3", seed=3)),
        (Benchmark("ML10", 3), lambda: metaworld.ML10(seed=3)),
    ],
)
def test_tasks_are_those_that_meta_world_draws(benchmark: Benchmark, build: Any) -> None:
    built, before = build(), theirs("reach-v3", _a_task())
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    own = tasks_of(benchmark)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    for given, expected in ((own["train"], built.train_tasks), (own["test"], built.test_tasks)):
        for task, theirs_ in zip(given, expected, strict=True):
            drawn = pickle.loads(theirs_.data)["rand_vec"]
            assert benchmark.environments[task["environment"]] == theirs_.env_name
            assert np.array_equal(task["placement"][: len(drawn)], drawn)
            assert not task["placement"][len(drawn) :].any()
    # Meta-World has its physics back.
    assert same(theirs("reach-v3", _a_task()), before)


def _a_task() -> Any:
    data = {
        "rand_vec": np.array([0.0, 0.6, 0.02, 0.0, 0.8, 0.2]),
        "env_cls": ALL_V3_ENVIRONMENTS["reach-v3"],
        "partially_observable": True,
    }
    return Task("reach-v3", pickle.dumps(data))


@pytest.mark.parametrize(("env_id", "names"), [(ML10, ML10_V3), (ML45, ML45_V3)])
def test_environments_of_training_and_test_are_kept_apart(env_id: str, names: Any) -> None:
    with closing(make_environment(env_id, {})) as environment:
        for name in ("train", "test"):
            tasks = tasks_of_set(environment, name)
            groups = [environment.get_wrapper_attr("task_group")(task) for task in tasks]
            assert list(dict.fromkeys(groups)) == list(names[name])
            assert all(groups.count(group) == 50 for group in set(groups))
        assert not set(names["train"]) & set(names["test"])
        spread = sample_tasks(environment, 1, (Split.TEST, 0), 10, {"set": "test"})
        kinds = [int(task["environment"]) for task in spread]
        assert all(kinds.count(kind) == 2 for kind in set(kinds))
        # Without a set, tasks are those of training.
        drawn = sample_tasks(environment, 1, (Split.TRAIN, 1), 40)
        assert max(int(task["environment"]) for task in drawn) < len(names["train"])


def test_the_placements_of_ml1_are_kept_apart() -> None:
    with closing(make_environment(ML1, {})) as environment:
        train, test = (
            {tuple(task["placement"]) for task in tasks_of_set(environment, name)}
            for name in ("train", "test")
        )
    assert len(train) == len(test) == 50
    assert not train & test


@pytest.mark.parametrize(
    ("env_id", "env_kwargs"), [(ML1, {"env_name": "stick-push-v3"}), (ML10, {})]
)
def test_the_benchmarks_conform(env_id: str, env_kwargs: dict[str, Any]) -> None:
    verdicts = check_task_env(env_id, env_kwargs, horizon=20)
    assert [verdict for verdict in verdicts if not verdict.passed] == []
    assert [verdict.name for verdict in verdicts] == list(CHECKS)


def test_the_goal_is_hidden_and_spaces_are_meta_worlds() -> None:
    with closing(make_environment(ML1, {})) as environment:
        space = World("reach-v3")._theirs.observation_space
        assert environment.observation_space == space
        for task in tasks_of_set(environment, "test")[:3]:
            observation, _ = environment.reset(options={"task": task})
            assert not observation[36:].any()
            # The object, whose place is the task's too, is to be seen; the goal never.
            assert np.allclose(observation[4:6], task["placement"][:2], atol=0.01)
            assert not np.isin(task["placement"][3:], observation).any()


def test_a_placement_that_meta_world_would_not_draw_is_an_error() -> None:
    task = {"environment": 0, "placement": np.array([0.0, 0.6, 0.02, 0.0, 0.6, 0.2])}
    with (
        closing(make_environment(ML1, {})) as environment,
        pytest.raises(ValueError, match=r"of reach-v3: object and goal are too close"),
    ):
        environment.reset(options={"task": task})


def test_an_unknown_environment_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no environment 'reach'; did you mean 'reach-v3'\?"):
        make_environment(ML1, {"env_name": "reach"})


def test_an_episode_ends_after_500_steps() -> None:
    with closing(make_environment(ML1, {}, 600)) as environment:
        environment.reset(options={"task": tasks_of_set(environment, "train")[0]})
        ends = [environment.step(np.zeros(4, dtype=np.float32))[2:4] for _ in range(500)]
    assert ends == [(False, False)] * 499 + [(False, True)]


def test_an_environment_can_be_seen() -> None:
    with closing(make_environment(ML10, {"render_mode": "rgb_array"})) as environment:
        frames = []
        for task in (tasks_of_set(environment, "train")[0], tasks_of_set(environment, "test")[0]):
            environment.reset(options={"task": task})
            frames.append(render(environment))
    assert frames[0].shape == (480, 480, 3)
    assert not np.array_equal(*frames)


def test_evaluation_follows_meta_worlds_protocol_for_any_number_of_workers() -> None:
    preset = load_preset("metaworld-ml10")
    assert (preset.test_episodes_per_task, preset.test_query_episodes) == (10, 3)
    assert (preset.horizon, preset.test_adaptation_steps) == (500, 1)
    config = tiny_config("metaworld-ml10", horizon=4, test_tasks=2)
    experiment = build_experiment(config)
    state = experiment.first_state().agent
    curves = []
    for workers in (0, 2):
        with closing(experiment.start_test_workers(workers)) as pool:
            case = EvaluationCase("", {"set": "test"})
            curves.append(experiment.evaluate(pool, state, case))
    one, two = curves
    assert one.env_steps == 2 * (10 + 3) * 4
    assert one.success is not None
    assert one.success.mean.tolist() == [0.0, 0.0]
    assert np.array_equal(one.per_task_return, two.per_task_return)
