"""The environments: what they declare, what they reward, and their native batches."""

import json

import gymnasium as gym
import numpy as np
import pytest
from building import tiny_config
from conforming_and_not import Reach
from gymnasium.utils.env_checker import check_env
from installed import environments_here
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from metarl.config.plugins import load_preset
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import (
    describe_task,
    make_environment,
    sample_tasks,
    task_space,
    to_json,
)
from metarl.tasks.environment_batches import NativeBatch, SingleEnvironments, make_batch
from metarl.testing.playing import same

IDS = environments_here()


@pytest.fixture(params=IDS)
def environment(request):
    made = make_environment(request.param, {})
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore:.*recommend.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*infinity.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*precision lowered.*:UserWarning")
def test_the_checkers_of_gymnasium_and_stable_baselines3_pass(environment):
    check_env(environment.unwrapped, skip_render_check=True)
    sb3_check_env(environment)


def test_a_task_is_taken_kept_and_shown(environment):
    first, second = sample_tasks(environment, 1, (0, 1), 2)
    environment.reset(seed=0, options={"task": first})
    assert same(environment.get_wrapper_attr("task"), first)
    environment.reset(seed=1)
    assert same(environment.get_wrapper_attr("task"), first)
    environment.set_wrapper_attr("task", second)
    environment.reset(seed=1)
    assert same(environment.get_wrapper_attr("task"), second)


def test_tasks_lie_in_their_space_and_survive_json(environment):
    space = task_space(environment)
    tasks = sample_tasks(environment, 1, (0, 1), 3)
    assert all(task in space for task in tasks)
    again = space.from_jsonable(json.loads(json.dumps(to_json(space, tasks))))
    assert same(tasks, again)
    assert all(describe_task(task) for task in tasks)


def test_a_task_depends_on_its_own_key_alone(environment):
    five = sample_tasks(environment, 1, (0, 1), 5)
    three = sample_tasks(environment, 1, (0, 1), 3)
    assert same(five[:3], three)


def test_constructing_an_environment_prints_nothing_and_leaves_no_file(
    tmp_path, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for env_id in IDS:
        make_environment(env_id, {}).close()
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_navigation_by_hand():
    environment = gym.make("metarl_envs:metarl/Navigation2D-v0")
    start, _ = environment.reset(seed=0, options={"task": np.array([0.15, -0.2])})
    assert start.tolist() == [0.0, 0.0]
    # A move is cut to 0.1 in each direction: (0.1, -0.05), 0.05 and 0.15 from the goal.
    position, reward, terminated, truncated, _ = environment.step(np.array([0.3, -0.05]))
    np.testing.assert_allclose(position, [0.1, -0.05])
    assert reward == pytest.approx(-np.hypot(0.05, 0.15))
    assert not terminated
    assert not truncated
    environment.step(np.array([0.0, -0.1]))
    _, reward, terminated, _, _ = environment.step(np.array([0.045, -0.055]))
    assert reward == pytest.approx(-np.hypot(0.005, 0.005))
    assert terminated


def test_navigation_ends_at_its_time_limit():
    environment = gym.make("metarl_envs:metarl/Navigation2D-v0")
    environment.reset(seed=0, options={"task": np.array([0.5, 0.5])})
    outcomes = [environment.step(np.zeros(2))[2:4] for _ in range(100)]
    assert outcomes[-1] == (False, True)
    assert not any(ended for outcome in outcomes[:-1] for ended in outcome)


def test_the_native_batch_of_navigation_is_bit_equal_to_single_environments():
    tasks = sample_tasks(make_environment(load_preset("navigation-2d").env_id, {}), 1, (0, 0), 7)
    tasks[3] = np.array([0.1, 0.0])  # reached within the episode
    vector = gym.make_vec(
        "metarl_envs:metarl/Navigation2D-v0",
        num_envs=7,
        vectorization_mode="vector_entry_point",
    )
    singles = [gym.make("metarl_envs:metarl/Navigation2D-v0") for _ in tasks]
    vector.set_attr("task", tasks)
    np.testing.assert_array_equal(vector.get_attr("task"), tasks)
    together, _ = vector.reset(seed=list(range(7)))
    alone = [env.reset(options={"task": task})[0] for env, task in zip(singles, tasks, strict=True)]
    assert np.array_equal(together, alone)
    generator = np.random.default_rng(0)
    running = set(range(7))
    for _ in range(100):
        actions = generator.uniform(-0.12, 0.12, (7, 2))
        actions[3] = np.clip(tasks[3] - together[3], -0.1, 0.1)
        together, *outcome, _ = vector.step(actions)
        for slot in sorted(running):
            observation, *single_outcome, _ = singles[slot].step(actions[slot])
            assert np.array_equal(together[slot], observation)
            assert [part[slot] for part in outcome] == single_outcome
            if any(single_outcome[1:]):
                running.discard(slot)
    assert not running


def test_the_native_batch_resets_only_the_slots_of_its_mask():
    vector = gym.make_vec(
        "metarl_envs:metarl/Navigation2D-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
    )
    vector.reset()
    vector.step(np.full((3, 2), 0.05))
    mask = np.array([False, True, False])
    positions, _ = vector.reset(options={"reset_mask": mask, "task": np.array([0.2, 0.1])})
    np.testing.assert_allclose(positions, [[0.05, 0.05], [0, 0], [0.05, 0.05]])
    assert vector.get_attr("task")[1].tolist() == [0.2, 0.1]
    assert vector.get_attr("task")[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "task", "expected"),
    [
        ("HalfCheetahDir", 1, lambda v: v),
        ("HalfCheetahDir", 0, lambda v: -v),
        ("HalfCheetahVel", np.array([1.5]), lambda v: -abs(v - 1.5)),
    ],
)
def test_half_cheetah_is_gymnasiums_body_with_the_tasks_reward(name, task, expected):
    ours = gym.make(f"metarl_envs:metarl/{name}-v0")
    theirs = gym.make("HalfCheetah-v5")
    generator = np.random.default_rng(0)
    observation, _ = ours.reset(seed=4, options={"task": task})
    reference, _ = theirs.reset(seed=4)
    assert observation.shape == (17,)
    assert np.array_equal(observation, reference)
    for _ in range(50):
        action = generator.uniform(-1, 1, 6).astype(np.float32)
        observation, reward, terminated, _, _ = ours.step(action)
        reference, _, _, _, info = theirs.step(action)
        assert np.array_equal(observation, reference)
        control_cost = 0.05 * float((action.astype(np.float64) ** 2).sum())
        assert reward == pytest.approx(expected(info["x_velocity"]) - control_cost, abs=1e-6)
        assert not terminated


def test_one_step_target_rewards_the_squared_distance():
    environment = gym.make("metarl_envs:metarl/OneStepTarget-v0")
    environment.reset(options={"task": np.array([0.25])})
    _, reward, terminated, _, _ = environment.step(np.array([-0.5]))
    assert (reward, terminated) == (-0.5625, True)


def test_bandit_arms_pay_with_their_probability():
    environment = gym.make("metarl_envs:metarl/BernoulliBandit-v0", max_episode_steps=5000)
    environment.reset(seed=0, options={"task": np.array([0.0, 1.0, 0.3, 0.5, 0.5])})
    paid = {arm: np.mean([environment.step(arm)[1] for _ in range(1500)]) for arm in range(3)}
    assert paid[0] == 0
    assert paid[1] == 1
    assert paid[2] == pytest.approx(0.3, abs=0.04)


def config_of(env_id, **changes) -> Config:
    return tiny_config(env_id=env_id, **changes)


def test_a_native_batch_is_used_where_there_is_one():
    native = make_batch(config_of("metarl_envs:metarl/Navigation2D-v0"), 4, 3)
    gym.register("tests/Reach-v0", entry_point=Reach, max_episode_steps=8)
    single = make_batch(config_of("tests/Reach-v0"), 4, 3)
    del gym.registry["tests/Reach-v0"]
    assert isinstance(native, NativeBatch)
    assert isinstance(single, SingleEnvironments)
    assert native.tasks_at_once == single.tasks_at_once == 3


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("metarl_envs:metarl/Navigatoin2D-v0", "did you mean 'metarl_envs:metarl/Navigation2D-v0'"),
        ("no_such_module:Env-v0", "needs the module 'no_such_module'"),
        ("Nonsense-v0", "no environment 'Nonsense-v0' is registered"),
        ("CartPole-v1", "not task-distributed: it has no attribute 'task_space'"),
    ],
)
def test_what_is_no_task_distributed_environment_is_refused_with_the_reason(env_id, message):
    with pytest.raises(ConfigError, match=message):
        make_environment(env_id, {})


def test_a_task_space_that_is_no_space_is_refused():
    class Listed(Reach):
        def __init__(self):
            super().__init__()
            self.task_space = [0, 1]

    gym.register("tests/Listed-v0", entry_point=Listed)
    try:
        with pytest.raises(ConfigError, match=r"task_space = \[0, 1\] is no space of Gymnasium's"):
            make_environment("tests/Listed-v0", {})
    finally:
        del gym.registry["tests/Listed-v0"]


def test_a_module_that_lies_in_this_folder_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_reach.py").touch()
    with pytest.raises(ConfigError, match=r"it lies in this folder: set PYTHONPATH=\."):
        make_environment("my_reach:my/Reach-v0", {})


def test_an_unknown_constructor_argument_is_refused():
    with pytest.raises(ConfigError, match=r"does not take env_kwargs.*legs"):
        make_environment("metarl_envs:metarl/BernoulliBandit-v0", {"legs": 3})
