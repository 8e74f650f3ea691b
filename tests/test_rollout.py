"""Policy × environments → trajectories."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from building import tiny_config

from metarl.experiments.build import build_experiment
from metarl.foundation.seeding import Purpose, integer_seed, stream
from metarl.learning.objectives import act
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import sample_tasks
from metarl.workers.shards import Shard, ShardSpec, to_vector

KEY = (0, 1, 0)


def shard_of(config, tasks):
    experiment = build_experiment(config)
    shard = Shard(ShardSpec(config, experiment.policy, config.episodes_per_task, range(len(tasks))))
    shard.tasks = tasks
    return shard


@pytest.mark.fault(
    10,
    "huge actions of a Gaussian policy",
    "clipped to the space's bounds; log-probabilities take what the policy chose",
    group="environments",
)
def test_actions_are_scaled_linearly_to_the_bounds_and_clipped():
    space = gym.spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 1.0]), dtype=np.float64)
    actions = np.array([[-10.0, -10.0], [0.0, 0.0], [5.0, 5.0], [10.0, 10.0], [99.0, -99.0]])
    expected = [[-2, 0], [0, 0.5], [1, 0.75], [2, 1], [2, 0]]
    np.testing.assert_allclose(ActionMap(space, scale=10.0)(actions), expected)


def test_actions_without_two_bounds_are_clipped_only():
    space = gym.spaces.Box(np.array([-np.inf, -1.0]), np.array([np.inf, np.inf]), dtype=np.float64)
    actions = np.array([[-7.0, -7.0], [7.0, 7.0]])
    np.testing.assert_allclose(ActionMap(space, scale=10.0)(actions), [[-7, -1], [7, 7]])


def test_discrete_actions_pass_as_they_are():
    actions = np.array([0, 3, 1])
    assert ActionMap(gym.spaces.Discrete(4), 10.0)(actions) is actions


def test_a_rollout_equals_a_naive_loop_over_episodes():
    """Each episode alone, one step after the other, from the same streams."""
    config = tiny_config(dtype="float64", horizon=40, hidden_sizes=(8, 8), action_scale=2.0)
    tasks = [np.array([0.1, 0.02]), np.array([-0.3, 0.4])]
    shard = shard_of(config, tasks)
    parameters = [
        {name: value + 0.2 * index for name, value in shard.template.items()} for index in (0, 1)
    ]
    trajectories = shard.collect(parameters, KEY)
    lengths = set()
    for task in range(2):
        for episode in range(config.episodes_per_task):
            env = gym.make(config.env_id, max_episode_steps=config.horizon)
            noise = stream(config.seed, Purpose.ACTION, *KEY, task, episode)
            noise = torch.as_tensor(noise.standard_normal((config.horizon, 2)))
            seed = integer_seed(config.seed, Purpose.RESET, *KEY, task, episode)
            observation, _ = env.reset(seed=seed, options={"task": tasks[task]})
            for time in range(config.horizon):
                recorded = trajectories[task].observations[episode, time]
                np.testing.assert_allclose(recorded, observation, rtol=1e-12)
                mean, log_std = act(shard.policy, parameters[task], torch.tensor(observation))
                action = mean + log_std.exp() * noise[time]
                torch.testing.assert_close(trajectories[task].actions[episode, time], action)
                move = np.clip(action.numpy() * 0.1 / 2.0, -0.1, 0.1)
                observation, reward, terminated, truncated, _ = env.step(move)
                assert float(trajectories[task].rewards[episode, time]) == pytest.approx(reward)
                if terminated or truncated:
                    break
            lengths.add(time + 1)
            assert trajectories[task].mask[episode].tolist() == [
                step <= time for step in range(config.horizon)
            ]
            assert not trajectories[task].rewards[episode, time + 1 :].any()
            assert not trajectories[task].actions[episode, time + 1 :].any()
            assert not trajectories[task].observations[episode, time + 1 :].any()
    assert len(lengths) > 1  # some episodes ended early: the masks were put to the test


def test_single_environments_and_the_native_batch_give_the_same_trajectories(monkeypatch):
    config = tiny_config(horizon=20)
    tasks = [np.array([0.05, 0.05]), np.array([-0.3, 0.4])]
    native = shard_of(config, tasks)
    monkeypatch.setattr(gym.spec("metarl/Navigation2D-v0"), "vector_entry_point", None)
    single = shard_of(config, tasks)
    assert type(native.environments) is not type(single.environments)
    parameters = [native.template] * 2
    for one, other in zip(
        native.collect(parameters, KEY), single.collect(parameters, KEY), strict=True
    ):
        for field in ("observations", "actions", "rewards", "mask"):
            assert torch.equal(getattr(one, field), getattr(other, field))


def test_episodes_of_one_step_end_after_it():
    config = tiny_config("one-step-target", horizon=6, hidden_sizes=())
    shard = shard_of(config, [np.array([0.5])])
    (episodes,) = shard.collect([shard.template], KEY)
    assert episodes.mask.sum(-1).tolist() == [1] * config.episodes_per_task
    assert episodes.env_steps == config.episodes_per_task


def test_discrete_actions_are_recorded_as_integers():
    config = tiny_config("bernoulli-bandit")
    shard = shard_of(config, [np.linspace(0, 1, 5)])
    (episodes,) = shard.collect([shard.template], KEY)
    assert episodes.actions.dtype == torch.int64
    assert episodes.actions.shape == (config.episodes_per_task, config.horizon)
    assert set(episodes.rewards.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("preset", "episodes", "hidden_sizes"),
    [
        ("half-cheetah-vel", 2, (64, 64)),  # 17 observations: rows that share no alignment
        ("half-cheetah-vel", 3, (100, 100)),
        ("navigation-2d", 5, (33,)),
        ("bernoulli-bandit", 1, (7,)),
    ],
)
def test_a_tasks_trajectories_have_the_same_bits_in_any_company(preset, episodes, hidden_sizes):
    config = tiny_config(preset, episodes_per_task=episodes, hidden_sizes=hidden_sizes)
    experiment = build_experiment(config)
    tasks = sample_tasks(experiment.environment, config.seed, KEY[:2], 5)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        together = collected(config, experiment, tasks, range(5))
        for part in (range(1), range(1, 2), range(3, 4), range(3, 5), range(1, 4)):
            for index, alone in zip(part, collected(config, experiment, tasks, part), strict=True):
                for field in ("observations", "actions", "rewards", "mask"):
                    assert torch.equal(getattr(together[index], field), getattr(alone, field))
    finally:
        torch.set_num_threads(threads)


def collected(config, experiment, tasks, indices):
    shard = Shard(ShardSpec(config, experiment.policy, config.episodes_per_task, indices))
    shard.tasks = [tasks[index] for index in indices]
    # Parameters that differ by task, as after adaptation.
    parameters = [
        {name: value * (1 + 0.1 * index) for name, value in shard.template.items()}
        for index in indices
    ]
    return shard.collect(parameters, KEY)


@pytest.mark.parametrize("offset", [1, 3, 7])
def test_parameters_do_not_keep_the_alignment_they_came_with(offset):
    config = tiny_config()
    shard = shard_of(config, [np.zeros(2)])
    vector = to_vector(shard.template)
    buffer = np.zeros(len(vector) + offset, dtype=vector.dtype)
    buffer[offset:] = vector
    first = next(iter(shard.parameters(buffer[offset:]).values()))
    assert first.data_ptr() % 64 == 0
