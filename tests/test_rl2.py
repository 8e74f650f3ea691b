"""RL²: what the network sees, what it carries, what gets credit, and the same bits everywhere."""

import contextlib
import itertools
import os
import signal

import numpy as np
import pytest
import torch
from building import pool, run, without_times
from rl2_toy import config_of, met
from shard_functions import ask_for_pid

import metarl
from metarl.api.policy import AdaptedPolicy
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.learning.stacking import BLOCK
from metarl.runs.checkpoints import Checkpoints
from metarl.training import train
from metarl_agents import rl2
from metarl_agents.trial_ppo import estimate, gradient, loaded, prepare

pytestmark = pytest.mark.whole_runs
KINDS = pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])


@KINDS
def test_the_step_after_an_episodes_end_sees_what_it_paid_and_that_it_was_the_last(discrete):
    with met(config_of(discrete)) as (shard, state, _):
        trials = shard.trials
        _, last = rl2.inputs_of(shard, state, trials)
        assert trials.ended.sum() == 3 * len(trials)  # three episodes each
        for trial in range(len(trials)):
            steps = int(trials.mask[:, trial].sum())
            assert not last[0, trial].any()  # the trial's start
            for time in range(1, steps):
                action = trials.actions[time - 1, trial]
                told = np.eye(3)[action] if discrete else action
                paid, ended = trials.rewards[time - 1, trial], trials.ended[time - 1, trial]
                assert last[time, trial].tolist() == [*told, paid, ended]
        # The negative control: zeros after an episode's end are something else.
        zeroed = np.where(np.roll(trials.ended, 1, axis=0)[..., None], 0.0, last)
        assert not np.array_equal(zeroed, last)


@pytest.mark.parametrize(
    "settings", [{}, {"observe_before": True, "input_embedding": 8, "normalise_observations": True}]
)
def test_what_acted_saw_the_same(monkeypatch, settings):
    """The actor's inputs, step by step, are those that it is trained on."""
    seen = []
    choose = rl2.RL2Actor.choose

    def listening(self, observations, memory, noise):
        seen.append(memory[-1].copy())
        return choose(self, observations, memory, noise)

    monkeypatch.setattr(rl2.RL2Actor, "choose", listening)
    config = config_of(env_id="metarl_envs:metarl/GridNavi-v0", env_kwargs={}, settings=settings)
    with met(config) as (shard, state, _):
        _, last = rl2.inputs_of(shard, state, shard.trials)
        assert np.array_equal(np.stack(seen), last)


def test_the_memory_goes_through_episodes_and_begins_anew_with_a_trial(monkeypatch):
    begun, carried = [], []
    begin, choose = rl2.RL2Actor.begin, rl2.RL2Actor.choose

    def beginning(self, rows):
        begun.append(rows)
        return begin(self, rows)

    def choosing(self, observations, memory, noise):
        carried.append(memory[0].any(axis=1))
        return choose(self, observations, memory, noise)

    monkeypatch.setattr(rl2.RL2Actor, "begin", beginning)
    monkeypatch.setattr(rl2.RL2Actor, "choose", choosing)
    with met(config_of()) as (shard, state, workers):
        assert begun == [14]  # seven tasks of two trials: once, for all three episodes
        assert not carried[0].any()
        assert all(carries.all() for carries in carried[1:])
        tasks, key = [task * 0 for task in shard.tasks], (Split.TRAIN, 2)
        carried.clear()
        workers.map(rl2.meet, state, tasks, key)
        assert begun == [14, 14]
        assert not carried[0].any()


def test_credit_runs_through_the_ends_of_episodes():
    """With γ = λ = 1 and values of 0 an advantage is all that is still to come in the trial."""
    config = config_of(discount=1.0, gae_lambda=1.0)
    with met(config) as (shard, state, _):
        theta = np.zeros_like(state.theta)
        prepare(shard, state, rl2.LEARNER)
        estimate(shard, theta, 1.0, rl2.LEARNER)
        for part in shard.scratch:
            rewards = part.trials.rewards
            to_come = np.cumsum(rewards[::-1], axis=0)[::-1]
            taken = part.trials.mask
            assert part.advantages.numpy()[taken] == pytest.approx(to_come[taken])
            # The negative control: cut at the ends of episodes it is something else.
            cut = np.zeros_like(rewards)
            running = np.zeros(rewards.shape[1])
            for time in reversed(range(len(rewards))):
                running = rewards[time] + running * ~part.trials.ended[time]
                cut[time] = running
            assert not np.allclose(cut[taken], part.advantages.numpy()[taken])


def test_the_policy_sees_the_observation_beside_its_memory_if_asked():
    for directly in (True, False):
        config = config_of(settings={"observe_directly": directly})
        with met(config) as (shard, state, _):
            prepare(shard, state, rl2.LEARNER)
            network = loaded(shard, rl2.LEARNER, state.theta)
            with torch.no_grad():  # a memory that remembers and passes on nothing
                for weight in network.memory.parameters():
                    weight.zero_()
            observations, last = shard.scratch[0].inputs
            (mean, _), values = network.unroll(observations, last)
            (moved, _), other_values = network.unroll(observations + 1.0, last)
            assert torch.equal(mean, moved) != directly
            assert torch.equal(values, other_values) != directly


def test_rows_do_not_depend_on_their_company():
    """In the last bit, at sizes at which kernels could differ: wide layers, odd observations."""
    config = config_of(dtype="float32", hidden_sizes=(33,), settings={"memory_size": 64})
    experiment = build_experiment(config)
    actor = experiment.actor(experiment.first_state().agent)
    generator = np.random.default_rng(1)
    seen, last = generator.standard_normal((200, 2)), generator.standard_normal((200, 4))
    memory = (generator.standard_normal((200, 64)).astype(np.float32), last)
    noise = generator.standard_normal((200, 2))
    together, (hidden, _) = actor.choose(seen, memory, noise)
    for rows in (slice(3, 4), slice(17, 49), slice(5, 200), slice(0, BLOCK + 1)):
        own, (its, _) = actor.choose(seen[rows], tuple(each[rows] for each in memory), noise[rows])
        assert np.array_equal(own, together[rows])
        assert np.array_equal(its, hidden[rows])


@KINDS
def test_bits_do_not_depend_on_workers(discrete):
    settings = {"memory_size": 32, "normalise_observations": True, "normalise_rewards": True}
    config = config_of(discrete, settings, dtype="float32", hidden_sizes=(16,))
    state, records = run(config)
    for workers in (1, 2, 3, 5):  # five are too many: there are three parts
        other, others = run(config, workers)
        assert without_times(others) == without_times(records)
        assert other.agent.theta.tobytes() == state.agent.theta.tobytes()


def test_a_worker_that_is_killed_in_the_middle_of_an_update_changes_no_bit():
    config = config_of(iterations=2, dtype="float32")
    whole, records = run(config)
    experiment = build_experiment(config)
    with pool(experiment, 2) as workers:
        mapping, count = workers.map, itertools.count()

        def killing(function, *args):
            if function is gradient and next(count) == 2:
                os.kill(mapping(ask_for_pid)[0], signal.SIGKILL)
            return mapping(function, *args)

        workers.map = killing
        *found, (state, _) = train(experiment, workers, experiment.first_state())
    assert next(count) > 3
    assert state.agent.theta.tobytes() == whole.agent.theta.tobytes()
    assert without_times([found[0][1]]) == without_times(records[:1])


def test_a_resumed_run_has_the_bits_of_one_that_was_never_interrupted(tmp_path):
    config = config_of(settings={"normalise_observations": True, "decay_iterations": 3})
    experiment = build_experiment(config)
    whole, _ = run(config)
    with pool(experiment) as workers:
        state, _ = next(train(experiment, workers, experiment.first_state()))
    Checkpoints(tmp_path).save(state, experiment.initial, {})
    state, *_ = Checkpoints(tmp_path).load_newest(experiment.initial)
    with pool(experiment) as workers:
        *_, (resumed, _) = train(experiment, workers, state)
    assert resumed.agent.theta.tobytes() == whole.agent.theta.tobytes()
    for name, value in whole.agent.others.items():
        assert resumed.agent.others[name].tobytes() == value.tobytes()


def test_running_moments_are_those_of_all_that_was_seen():
    config = config_of(settings={"normalise_observations": True}, iterations=1)
    experiment = build_experiment(config)
    with met(config) as (shard, _, _):
        trials = shard.trials
    state, _ = run(config)
    count, mean, squares = state.agent.others["observation_moments"]
    seen = trials.observations[trials.mask]
    assert count[0] == len(seen)
    assert mean == pytest.approx(seen.mean(0))
    assert np.sqrt(squares / count) == pytest.approx(seen.std(0))
    assert state.env_steps == len(seen)
    assert experiment.first_state().agent.others == {}


def test_a_state_after_some_episodes_goes_on_where_they_ended():
    """Frozen evaluation: the same start from the same memory gives the same episode."""
    config = config_of(test_tasks=3, test_episodes_per_task=2, test_adaptation_steps=2)
    experiment = build_experiment(config)
    state = experiment.first_state().agent
    tasks = experiment.held_out_tasks({}, 3)
    shard = experiment.test_shards().build()
    with contextlib.closing(shard):
        states = experiment.states_after(shard, state, tasks)
        trials = shard.trials
        for position, (first, _, last) in enumerate(states):
            assert not first.others["memory/00"].any()
            ends = np.flatnonzero(trials.ended[:, 2 * position])
            told = last.others["memory/01"][0]
            action = trials.actions[ends[1], 2 * position]
            assert told == pytest.approx([*action, trials.rewards[ends[1], 2 * position], 1.0])
            actor = experiment.actor(last)
            rows = np.zeros((1, 2))
            once, again = (actor.act(rows, actor.begin(1))[0] for _ in range(2))
            assert np.array_equal(once, again)


def test_predict_of_an_exported_policy_carries_the_memory(tmp_path):
    config = config_of(test_tasks=1, test_episodes_per_task=1, test_adaptation_steps=1)
    experiment = build_experiment(config)
    with contextlib.closing(experiment.test_shards().build()) as shard:
        ((_, state),) = experiment.states_after(
            shard, experiment.first_state().agent, [np.zeros(1)]
        )
    policy = AdaptedPolicy(experiment, state)
    copy = metarl.load_policy(policy.save(tmp_path / "policy.safetensors"))
    state = other = None
    for _ in range(3):
        action, state = policy.predict(np.zeros(2), state, deterministic=True)
        same, other = copy.predict(np.zeros(2), other, deterministic=True)
        assert np.array_equal(action, same)
        state, other = (each.observe(s, 1.0, False) for each, s in ((policy, state), (copy, other)))
    assert all(np.array_equal(*pair) for pair in zip(state, other, strict=True))


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"discount": 0.2}, {}, "discount = 0.2 makes the episodes of a trial invisible"),
        ({"adaptation_steps": -1}, {}, "adaptation_steps = -1"),
        ({}, {"memory_size": 6}, "memory_size = 6 must be a multiple of 4"),
        ({}, {"action_embedding": 3}, "action_embedding = 3 must be a multiple of 4"),
        ({}, {"epochs": 0}, "epochs = 0 must be at least 1"),
        ({}, {"clip_ratio": 0.0}, "clip_ratio = 0.0 must be positive"),
        ({}, {"truncation": -1}, "truncation = -1 must be 0 or more"),
        (
            {"env_id": "strange_spaces:strange/PictureAndPlace-v0", "env_kwargs": {}},
            {"normalise_observations": True},
            "normalise_observations = True: observations are images",
        ),
    ],
)
def test_nonsense_is_refused(changes, settings, message):
    with pytest.raises(ConfigError, match=message):
        build_experiment(config_of(settings=settings, **changes))


def test_a_discount_that_is_refused_does_for_trials_of_one_episode():
    build_experiment(config_of(discount=0.2, adaptation_steps=0))


@pytest.mark.parametrize("steps", [-1, 1, 2])
def test_times_that_nothing_can_be_kept_for_are_refused(steps):
    with pytest.raises(ConfigError, match=f"remembered_steps = {steps} must be 0 or more than 2"):
        build_experiment(config_of(settings={"remembered_steps": steps}))
