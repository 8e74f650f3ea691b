"""PEARL: how it acts, and the promises of a run."""

import dataclasses
from itertools import chain

import gymnasium as gym
import numpy as np
import pytest
import torch
from building import pool, run, same, without_times
from pearl_toy import config_of

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.foundation.seeding import Purpose, Split, stream
from metarl.learning.layers import filled
from metarl.runs.checkpoints import Checkpoints
from metarl.tasks.training_sets import order_of_training
from metarl.training import train
from metarl.workers.shards import Shard
from metarl_agents.pearl import PearlActor, meet
from metarl_agents.pearl_learning import Drawer
from metarl_agents.replay import transitions_of


def test_training_goes_through_all_tasks_before_any_comes_again():
    met = [order_of_training(3, iteration, 2, 5) for iteration in range(1, 7)]
    first, second = (list(chain(*part)) for part in (met[:3], met[3:]))
    assert sorted(first[:5]) == sorted(second[:5]) == [0, 1, 2, 3, 4]
    assert first[5] == first[0]
    assert first != second


# Acting


def shard_and_state(**changes):
    config = config_of(**changes)
    experiment = build_experiment(config)
    state = experiment.first_state().agent
    generator = np.random.default_rng(2)
    moved = state.theta + 0.2 * generator.standard_normal(len(state.theta)).astype(
        state.theta.dtype
    )
    return experiment, dataclasses.replace(state, theta=moved)


@pytest.mark.parametrize("following", [False, True])
def test_an_episode_acts_by_one_sample_of_the_posterior_of_all_transitions_before(following):
    experiment, state = shard_and_state(settings={"infer_from_following": following})
    config = experiment.config
    key = (Split.TEST, 0)
    tasks = experiment.held_out_tasks({}, 3)
    shard = Shard(experiment.test_shards())
    meet(shard, state, tasks, key)
    trials = shard.trials
    actor = PearlActor(experiment.policy, config, state)
    encoder = actor._acting.encoder
    horizon = config.horizon
    for task in range(3):
        log = transitions_of(trials.of(slice(task, task + 1)), 0, horizon, 1)
        parts = [log["observations"], log["actions"], log["rewards"][:, None]]
        if following:
            parts.append(log["following"])
        told = filled(torch.as_tensor(np.concatenate(parts, axis=1)))
        for episode in range(3):
            noise = stream(config.seed, Purpose.ACTION, *key, episode, task, 0).standard_normal(
                (horizon, 2 + 3)
            )[0, 2:]
            latent = noise
            if episode:  # all but the first act by the posterior
                before = told[: episode * horizon]
                if following:  # what came after an episode's last step is not seen
                    before = before[[i for i in range(len(before)) if (i + 1) % horizon]]
                with torch.no_grad():
                    factors = encoder(before)
                precision = factors.precision.double().sum(0).numpy()
                mean = factors.weighted_mean.double().sum(0).numpy() / precision
                latent = mean + noise / np.sqrt(precision)
            for step in range(horizon):
                place = episode * horizon + step
                seen = np.concatenate([log["observations"][place], latent])
                with torch.no_grad():
                    mean, _ = actor._acting.policy.parameters_at(
                        filled(torch.as_tensor(seen[None], dtype=torch.float32))
                    )
                np.testing.assert_allclose(
                    log["actions"][place], torch.tanh(mean)[0].numpy(), rtol=1e-3, atol=1e-5
                )


@pytest.mark.parametrize("inform", [False, True])
def test_in_training_actions_are_sampled_and_later_episodes_inform_where_wanted(inform):
    settings = {"infer_from_posterior": inform}
    experiment, state = shard_and_state(adaptation_steps=2, settings=settings)
    config = experiment.config
    actor = PearlActor(experiment.policy, config, state, trains=True)
    memory = actor.begin(2)
    ends = np.array([False, True])
    sums = []
    for step in range(6):
        _, memory = actor.choose(np.ones((2, 2)), memory, np.full((2, 5), 0.1 * step))
        memory = actor.observe(memory, np.ones(2), ends)
        sums.append(memory[1].copy())
    assert (np.diff([each[0, 0] for each in sums]) > 0).all()  # still in its first episode
    later = np.diff([each[1, 0] for each in sums])  # by then in later ones
    assert (later > 0).all() if inform else (later == 0).all()
    one, _ = actor.choose(np.ones((2, 2)), memory, np.full((2, 5), 0.5))
    other, _ = actor.choose(np.ones((2, 2)), memory, np.full((2, 5), 0.7))
    assert not np.array_equal(one, other)
    most_likely, _ = actor.choose(np.ones((2, 2)), memory, None)
    assert np.abs(most_likely).max() <= 1


def test_in_training_some_episodes_hold_an_action_drawn_evenly():
    settings = {"held_episodes": 2, "latent_size": 3, "infer_from_posterior": True}
    experiment, state = shard_and_state(adaptation_steps=3, settings=settings)
    without, _ = shard_and_state(adaptation_steps=3, settings={**settings, "held_episodes": 0})
    rows, ends = 4000, np.array([False, True])

    def actions_of(config, trains):
        actor = PearlActor(experiment.policy, config, state, trains=trains)
        generator = np.random.default_rng(1)
        memory, taken = actor.begin(rows), []
        for step in range(8):  # four episodes of two steps
            noise = generator.standard_normal((rows, 5))
            chosen, memory = actor.choose(np.ones((rows, 2)), memory, noise)
            memory = actor.observe(memory, np.ones(rows), np.full(rows, ends[step % 2]))
            taken.append(chosen)
        return np.reshape(taken, (4, 2, rows, 2))

    episodes = actions_of(experiment.config, trains=True)
    held = (episodes[:, 0] == episodes[:, 1]).all((1, 2))
    assert held.tolist() == [False, True, True, False]
    for each in np.concatenate(episodes[1:3, 0].transpose(0, 2, 1)):
        deciles = np.histogram(each, 10, (-1, 1))[0]
        np.testing.assert_allclose(deciles, rows / 10, atol=5 * np.sqrt(rows / 10))
    evaluated = actions_of(experiment.config, trains=False)
    np.testing.assert_array_equal(evaluated, actions_of(without.config, trains=False))


def test_a_trials_actions_do_not_depend_on_its_company():
    experiment, state = shard_and_state()
    actor = PearlActor(experiment.policy, experiment.config, state)
    generator = np.random.default_rng(0)
    seen, noise = generator.standard_normal((7, 2)), generator.standard_normal((7, 5))
    many, memory = actor.choose(seen, actor.begin(7), noise)
    alone, its_memory = actor.choose(seen[3:4], actor.begin(1), noise[3:4])
    assert many[3].tobytes() == alone[0].tobytes()
    after = actor.observe(memory, np.arange(7.0), np.zeros(7, dtype=bool))
    its_after = actor.observe(its_memory, np.array([3.0]), np.zeros(1, dtype=bool))
    for part, own in zip(after, its_after, strict=True):
        assert part[3].tobytes() == own[0].tobytes()


# The run


@pytest.mark.parametrize("inform", [False, True])
def test_the_encoder_learns_from_episodes_by_the_posterior_where_wanted(inform):
    config = config_of(settings={"infer_from_posterior": inform})
    state, _ = run(config)
    replay, trial = state.agent.experience, (config.adaptation_steps + 1) * config.horizon
    newest = slice(-config.tasks_per_batch * config.episodes_per_task * trial, None)
    told = replay["context"][newest].reshape(-1, trial)
    first = config.agent_settings["prior_episodes"] * config.horizon
    assert told[:, :first].all()
    assert told[:, first:].all() if inform else not told[:, first:].any()


def test_runs_repeat_for_any_number_of_workers_and_resume_to_the_last_bit(tmp_path):
    config = config_of()
    state, records = run(config)
    assert [record["gradient_steps"] for record in records] == [0, 0, 0, 3, 3]
    assert np.isfinite(state.agent.theta).all()
    for workers in (1, 2):
        other, its_records = run(config, workers)
        assert same(state, other)
        assert without_times(records) == without_times(its_records)

    half, _ = run(dataclasses.replace(config, iterations=4))
    experiment = build_experiment(config)
    checkpoints = Checkpoints(tmp_path, carried_bytes=experiment.agent.family.carried_bytes)
    checkpoints.save(half, experiment.initial, {})
    assert (tmp_path / "checkpoints/iteration-000004/experience.safetensors").exists()
    loaded, _, _ = checkpoints.load_newest(experiment.initial, experience=True)
    assert same(half, loaded)
    with pool(experiment) as started:
        *_, (resumed, _) = train(experiment, started, loaded)
    assert same(state, resumed)


def test_an_evaluation_reads_no_experience_and_does_without_the_file(tmp_path):
    config = config_of()
    state, _ = run(config)
    experiment = build_experiment(config)
    checkpoints = Checkpoints(tmp_path, carried_bytes=experiment.agent.family.carried_bytes)
    checkpoints.save(state, experiment.initial, {})
    file = tmp_path / "checkpoints/iteration-000005/experience.safetensors"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    loaded, _, skipped = checkpoints.load_newest(experiment.initial)
    assert not skipped
    assert not loaded.agent.experience
    with pytest.raises(RunFolderError, match=r"experience\.safetensors is damaged"):
        checkpoints.load_newest(experiment.initial, experience=True)
    file.unlink()
    assert checkpoints.load_newest(experiment.initial)[0].iteration == 5


def test_critics_may_learn_from_shaped_rewards_that_the_encoder_never_sees():
    config = config_of(settings={"shaped_rewards": True})
    state, _ = run(config)
    replay = state.agent.experience
    experiment = build_experiment(config)
    angles = np.array([float(experiment.training_set[task][0]) for task in replay["task"]])
    goals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    distance = np.linalg.norm(replay["following"] - goals, axis=1)
    np.testing.assert_allclose(replay["learned_rewards"], -distance, rtol=1e-5)
    assert not replay["rewards"].any()  # nobody was near a goal
    drawer = Drawer(replay, experiment.agent._settings, torch.zeros(1))
    drawn, _ = drawer.draw(np.random.default_rng(0))
    assert drawn.rewards.max() < 0
    assert not drawn.context[..., 4].any()


def test_dense_and_sparse_rewards_of_the_semicircle_are_the_same_tasks():
    import metarl_envs  # noqa: F401

    dense = gym.make("metarl/NavigationSemicircle-v0", reward="dense")
    sparse = gym.make("metarl/NavigationSemicircle-v0", reward="sparse")
    task = np.array([0.7])
    dense.reset(seed=1, options={"task": task})
    for _ in range(4):
        seen, reward, *_ = dense.step(np.array([0.1, 0.05]))
        shaped = sparse.get_wrapper_attr("shaped_rewards")(task, seen[None])
        np.testing.assert_allclose(shaped, [reward])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training_tasks": 0}, "training_tasks = 0: agent pearl remembers"),
        ({"training_tasks": 1, "tasks_per_batch": 1}, "training_tasks = 1: agent pearl remembers"),
        ({"training_tasks": 1}, "training_tasks = 1 are fewer than tasks_per_batch = 2"),
        ({"preset": "bernoulli-bandit", "horizon": 1}, "needs actions that are numbers"),
        ({"settings": {"prior_episodes": 3}}, "prior_episodes = 3: a trial in training has only"),
        (
            {"settings": {"prior_episodes": 1, "held_episodes": 3}},
            "prior_episodes = 1 and held_episodes = 3: a trial in training has only",
        ),
        (
            {"settings": {"held_episodes": 1, "latent_size": 1, "prior_episodes": 1}},
            "held_episodes = 1: .* set latent_size = 1 to 2 or more",
        ),
        ({"settings": {"held_episodes": -1}}, "held_episodes = -1 must be 0 or more"),
        ({"settings": {"meta_batch": 0}}, "meta_batch = 0 must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        build_experiment(config_of(**changes))


def test_a_finite_distribution_has_only_so_many_tasks():
    config = config_of("half-cheetah-dir", training_tasks=3)
    with pytest.raises(ConfigError, match="training_tasks = 3: only 2 different tasks"):
        build_experiment(config).first_state()


def test_held_out_tasks_among_those_of_training_are_told(capsys):
    config = config_of("half-cheetah-dir", training_tasks=2, tasks_per_batch=2)
    build_experiment(config).first_state()
    assert "3 of the 3 held-out tasks are among the 2 of training" in capsys.readouterr().err


def test_an_environment_without_shaped_rewards_is_told():
    config = config_of("navigation-2d", settings={"shaped_rewards": True}, iterations=1)
    with pytest.raises(ConfigError, match="has no shaped_rewards"):
        run(config)


def test_a_replay_larger_than_the_memory_is_refused():
    config = config_of(settings={"replay_mebibytes": 10**9})
    with pytest.raises(ConfigError, match=r"what agent pearl remembers of tasks .* _mebibytes"):
        build_experiment(config).require_memory(0)
