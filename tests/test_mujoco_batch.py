"""The native batch of MuJoCo tasks as a vector environment."""

import gymnasium as gym
import numpy as np
import pytest
from mujoco_episodes import actions_of, heavily_damped, tasks_of

import metarl_envs  # noqa: F401

HOPPER = "metarl/HopperRandParams-v0"
ANT = "metarl/AntGoal-v0"

# A MuJoCo older than 3.17 has no native batch, and then there is nothing to collect here.
__test__ = gym.spec(ANT).vector_entry_point is not None


def batch_of(env_id, slots, **options):
    return gym.make_vec(env_id, num_envs=slots, vectorization_mode="vector_entry_point", **options)


def test_spaces_and_time_limit_are_those_of_one():
    vector, single = batch_of(ANT, 3), gym.make(ANT)
    assert vector.single_observation_space == single.observation_space
    assert vector.single_action_space == single.action_space
    assert vector.task_space == single.get_wrapper_attr("task_space")
    assert vector.observation_space.shape == (3, 29)
    observations, _ = vector.reset(seed=0)
    assert vector.observation_space.contains(observations)
    vector = batch_of("metarl/SwimmerVel-v0", 2, max_episode_steps=3)
    vector.reset(seed=0)
    outcomes = [vector.step(np.zeros((2, 2)))[2:4] for _ in range(3)]
    assert [truncated.tolist() for _, truncated in outcomes] == [[False] * 2] * 2 + [[True] * 2]
    assert not any(terminated.any() for terminated, _ in outcomes)
    last, *_ = vector.step(np.ones((2, 2)))
    still, rewards, *_ = vector.step(np.ones((2, 2)))
    assert np.array_equal(still, last)
    assert not rewards.any()


def test_an_integer_seed_gives_each_slot_its_own():
    vector = batch_of(ANT, 3)
    counted, _ = vector.reset(seed=40)
    listed, _ = vector.reset(seed=[40, 41, 42])
    assert np.array_equal(counted, listed)
    unseeded, _ = vector.reset()
    assert not np.array_equal(unseeded, listed)
    assert len(np.unique(listed[:, 0])) == 3


def test_only_the_slots_of_the_mask_start_anew():
    vector, undisturbed = batch_of(HOPPER, 4), batch_of(HOPPER, 4)
    tasks = tasks_of(HOPPER, 5)
    actions = actions_of(HOPPER, 8, 4)
    for each in (vector, undisturbed):
        each.set_attr("task", tasks[:4])
        each.reset(seed=0)
        for action in actions[:4]:
            each.step(action)
    mask = np.array([False, True, False, False])
    observations, _ = vector.reset(seed=[9] * 4, options={"reset_mask": mask, "task": tasks[4]})
    alone = gym.make(HOPPER)
    start, _ = alone.reset(seed=9, options={"task": tasks[4]})
    assert np.array_equal(observations[1], start)
    assert [np.array_equal(task, tasks[4]) for task in vector.get_attr("task")] == mask.tolist()
    for action in actions[4:]:
        observations, rewards, *_ = vector.step(action)
        expected, expected_rewards, *_ = undisturbed.step(action)
        assert np.array_equal(observations[~mask], expected[~mask])
        assert np.array_equal(rewards[~mask], expected_rewards[~mask])
        observation, reward, *_ = alone.step(action[1])
        assert np.array_equal(observations[1], observation)
        assert rewards[1] == reward


@pytest.mark.fault(
    9,
    "MuJoCo's simulation diverges in one of many slots",
    "that episode ends, the others keep their bits; no message, no log file in the user's folder",
    group="environments",
)
def test_an_unstable_simulation_ends_and_leaves_the_others_untouched(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vector, undisturbed = batch_of(HOPPER, 3), batch_of(HOPPER, 3)
    tasks = tasks_of(HOPPER, 3)
    actions = actions_of(HOPPER, 20, 3)
    for each in (vector, undisturbed):
        each.set_attr("task", tasks)
        each.reset(seed=0)
        each.step(actions[0])
    mask = np.array([False, True, False])
    options = {"reset_mask": mask, "task": heavily_damped()}
    start, _ = vector.reset(seed=0, options=options)
    infos = []
    for action in actions[1:]:
        observations, rewards, terminated, truncated, info = vector.step(action)
        expected, expected_rewards, expected_terminated, *_ = undisturbed.step(action)
        infos.append(info)
        assert np.array_equal(observations[~mask], expected[~mask])
        assert np.array_equal(rewards[~mask], expected_rewards[~mask])
        assert np.array_equal(terminated[~mask], expected_terminated[~mask])
        assert np.array_equal(observations[1], start[1])
        assert (rewards[1], terminated[1], truncated[1]) == (0.0, True, False)
    assert infos[0]["_unstable"].tolist() == mask.tolist()
    assert infos[0]["unstable"][1] in {"position", "velocity", "acceleration"}
    assert infos[0]["unstable"][0] is None
    assert not any(infos[1:])
    again, _ = vector.reset(seed=4, options={"task": np.zeros(37)})
    assert np.array_equal(again, undisturbed.reset(seed=4, options={"task": np.zeros(37)})[0])
    moved, *_, info = vector.step(actions[0])
    assert np.array_equal(moved, undisturbed.step(actions[0])[0])
    assert info == {}
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_slot_whose_episode_ended_stands_still():
    vector = batch_of("metarl/Walker2dDir-v0", 5)
    vector.reset(seed=0)
    ended = np.zeros(5, dtype=bool)
    last = np.zeros((5, 17))
    for action in actions_of("metarl/Walker2dDir-v0", 120, 5):
        observations, rewards, terminated, truncated, _ = vector.step(action)
        assert np.array_equal(observations[ended], last[ended])
        assert np.array_equal(vector._worlds.fields["qpos"][ended, 1:], last[ended, :8])
        assert not rewards[ended].any()
        assert terminated[ended].all()
        assert not truncated.any()
        last[~ended] = observations[~ended]
        ended = ended | terminated
    assert ended.all()


def test_what_is_given_out_is_not_written_again():
    vector = batch_of(ANT, 2)
    given = [vector.reset(seed=0)[0]]
    copies = [given[0].copy()]
    for action in actions_of(ANT, 3, 2):
        observations, rewards, terminated, truncated, _ = vector.step(action)
        given += [observations, rewards, terminated, truncated]
        copies += [part.copy() for part in given[-4:]]
    for one, copy in zip(given, copies, strict=True):
        assert np.array_equal(one, copy)
    given[-4][:] = np.nan
    kept, _ = vector.reset(options={"reset_mask": np.array([True, False])})
    assert np.isfinite(kept).all()


def test_threads_do_not_change_results():
    one, two = batch_of(ANT, 9, threads=1), batch_of(ANT, 9, threads=2)
    assert (one._worlds._batch.nthread, two._worlds._batch.nthread) == (1, 2)
    assert np.array_equal(one.reset(seed=0)[0], two.reset(seed=0)[0])
    for action in actions_of(ANT, 10, 9):
        for part, same in zip(one.step(action)[:4], two.step(action)[:4], strict=True):
            assert np.array_equal(part, same)


def test_what_cannot_be_set_is_refused():
    vector = batch_of(ANT, 2)
    with pytest.raises(ValueError, match="3 tasks for 2 slots"):
        vector.set_attr("task", [np.zeros(2)] * 3)
    with pytest.raises(AttributeError, match="no settable attribute 'goal'"):
        vector.set_attr("goal", [np.zeros(2)] * 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'legs'"):
        batch_of(ANT, 2, legs=6)
