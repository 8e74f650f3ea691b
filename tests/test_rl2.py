"""RL²: what the network sees, what it carries, what gets credit, and the same bits everywhere."""

import contextlib
import dataclasses
import itertools
import os
import signal

import numpy as np
import pytest
import torch
from building import pool, run, tiny_config, without_times
from shard_functions import ask_for_pid

import metarl
from metarl.api.policy import AdaptedPolicy
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.learning.memory_policy import what_came_before
from metarl.learning.stacking import BLOCK
from metarl.runs.checkpoints import Checkpoints
from metarl.training import train
from metarl_agents import rl2
from metarl_agents.trial_ppo import Part, Weights, estimate, gradient, loaded, prepare

pytestmark = pytest.mark.whole_runs

SIZES = {"memory_size": 12, "gradient_parts": 3, "minibatches": 2, "epochs": 2}


def config_of(discrete=False, settings=None, **changes):
    """Trials of three episodes of one to five steps."""
    small = {
        "env_id": "early_ends:EarlyEnds-v0",
        "env_kwargs": {"discrete": discrete},
        "agent": "rl2",
        "horizon": 5,
        "adaptation_steps": 2,
        "tasks_per_batch": 7,
        "episodes_per_task": 2,
        "hidden_sizes": (5,),
        "dtype": "float64",
        "discount": 0.9,
        "gae_lambda": 0.8,
    }
    settings = {**SIZES, **(settings or {})}
    return tiny_config(**{**small, **changes}, agent_settings=settings)


@contextlib.contextmanager
def met(config, state=None):
    """A shard that has met the tasks of the first iteration; with the state it acted by."""
    experiment = build_experiment(config)
    state = state or experiment.first_state().agent
    with pool(experiment) as workers:
        tasks, key = experiment.sample_tasks(1)
        workers.map(rl2.meet, state, tasks, key)
        yield workers._shard, state, workers


KINDS = pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])


@KINDS
def test_stepping_and_unrolling_give_the_same_probabilities(discrete):
    """So the first ratios of an update are 1, also where normalisation has begun."""
    settings = {"normalise_observations": True, "normalise_rewards": True}
    config = config_of(discrete, settings)
    moments = {
        "observation_moments": np.array([[9.0, 9.0], [0.1, 2.0], [3.0, 8.0]]),
        "reward_moments": np.array([[9.0], [0.2], [4.0]]),
    }
    state = build_experiment(config).first_state().agent
    noisy = state.theta + 0.1 * np.random.default_rng(1).standard_normal(len(state.theta))
    state = dataclasses.replace(state, theta=noisy, others=moments)
    with met(config, state) as (shard, state, _):
        prepare(shard, state, rl2.LEARNER)
        estimate(shard, state.theta, 1.0, rl2.LEARNER)
        network = loaded(shard, rl2.LEARNER, state.theta)
        actor = rl2.RL2Actor(shard.spec.policy, config, state)
        for part in shard.scratch:
            memory = actor.begin(len(part.trials))
            distribution, _ = network.unroll(*part.inputs)
            for time, seen in enumerate(part.trials.observations):
                scales = actor._scales.observations(seen)
                with torch.no_grad():
                    blocks = actor._blocks(scales), actor._blocks(memory[-1])
                    hidden = tuple(actor._blocks(each) for each in memory[:-1])
                    stepped, following = network.step(*blocks, hidden)
                taken = part.taken[time]
                for one, other in zip(stepped, distribution, strict=True):
                    assert torch.allclose(one[: len(taken)][taken], other[time][taken], atol=1e-9)
                told = rl2.told_actions(shard.spec.policy, part.trials.actions[time])
                memory = (*(each[: len(taken)].numpy() for each in following), np.zeros(0))
                last = np.concatenate([told, np.zeros((len(taken), 2))], 1)
                memory = actor.observe(
                    (*memory[:-1], last), part.trials.rewards[time], part.trials.ended[time]
                )
        (slope, *_) = (each for each in gradient(shard, state.theta, FIRST, rl2.LEARNER) if each)
        clipped, kl, *_ = slope.sums
        assert clipped == 0
        assert kl == pytest.approx(0, abs=1e-12)


FIRST = Weights(0, 0, 0.0, 1.0, 0.0)


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


def test_a_memory_may_see_what_the_last_action_answered():
    config = config_of(settings={"observe_before": True})
    with met(config) as (shard, state, _):
        trials = shard.trials
        seen, last = rl2.inputs_of(shard, state, trials)
        plain = what_came_before(trials.actions, trials.rewards, trials.ended)
        size = plain.shape[-1]
        assert np.array_equal(last[..., :size], plain)
        assert not last[0, :, size:].any()
        assert np.array_equal(last[1:, :, size:], seen[:-1])
        # It is no copy of what is seen now.
        assert not np.array_equal(last[1:, :, size:], seen[1:])


def test_a_memory_may_begin_by_keeping_what_it_sees():
    keeping = build_experiment(config_of(settings={"remembered_steps": 30})).initial
    assert not keeping["memory.cell.bias_hh_l0"].any()
    reset, update, new = keeping["memory.cell.bias_ih_l0"].chunk(3)
    assert not reset.any()
    assert not new.any()
    # Without other input, a hidden number keeps the share u / (1 + u) of itself in a step.
    kept = torch.sigmoid(update)
    times = kept / (1 - kept)
    assert times.min() >= 1
    assert times.max() <= 29
    assert len(set(times.tolist())) == len(times)


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


def test_advantages_are_those_of_a_naive_loop():
    config = config_of()
    with met(config) as (shard, state, _):
        prepare(shard, state, rl2.LEARNER)
        estimate(shard, state.theta, 2.0, rl2.LEARNER)
        for part in shard.scratch:
            for trial in range(len(part.trials)):
                steps = int(part.trials.mask[:, trial].sum())
                values = [*part.old_values[:steps, trial].tolist(), 0.0]
                for time in range(steps):
                    expected = sum(
                        (0.9 * 0.8) ** (later - time)
                        * (
                            part.trials.rewards[later, trial] / 2.0
                            + 0.9 * values[later + 1]
                            - values[later]
                        )
                        for later in range(time, steps)
                    )
                    assert part.advantages[time, trial].item() == pytest.approx(expected)
                    assert part.targets[time, trial].item() == pytest.approx(
                        values[time] + expected
                    )


def test_values_may_learn_plain_returns():
    with met(config_of(settings={"value_targets": "returns"})) as (shard, state, _):
        prepare(shard, state, rl2.LEARNER)
        estimate(shard, state.theta, 2.0, rl2.LEARNER)
        for part in shard.scratch:
            to_come = np.zeros(len(part.trials))
            for time in reversed(range(len(part.trials.rewards))):
                to_come = part.trials.rewards[time] / 2.0 + 0.9 * to_come
                taken = part.trials.mask[time]
                assert part.targets[time].numpy()[taken] == pytest.approx(to_come[taken])


@pytest.mark.parametrize("truncation", [0, 2])
def test_what_comes_later_changes_nothing_before(truncation):
    config = config_of(settings={"truncation": truncation})
    with met(config) as (shard, state, _):
        prepare(shard, state, rl2.LEARNER)
        network = loaded(shard, rl2.LEARNER, state.theta)
        part = shard.scratch[0]
        before, values = network.unroll(*part.inputs)
        changed = tuple(each.clone() for each in part.inputs)
        for each in changed:
            each[4:] += 1.0
        after, other_values = network.unroll(*changed)
        assert torch.equal(values[:4], other_values[:4])
        assert all(torch.equal(*pair) for pair in zip(before[0][:4], after[0][:4], strict=True))
        assert not torch.equal(values[4:], other_values[4:])


def test_truncation_changes_gradients_alone():
    whole, cut = (config_of(settings={"truncation": steps}) for steps in (0, 3))
    found = []
    for config in (whole, cut):
        with met(config) as (shard, state, _):
            prepare(shard, state, rl2.LEARNER)
            estimate(shard, state.theta, 1.0, rl2.LEARNER)
            values = [part.old_values for part in shard.scratch]
            slopes = [
                each.gradient for each in gradient(shard, state.theta, FIRST, rl2.LEARNER) if each
            ]
            found.append((values, slopes))
    (values, slopes), (cut_values, cut_slopes) = found
    assert all(torch.allclose(*pair) for pair in zip(values, cut_values, strict=True))
    assert not np.allclose(slopes[0], cut_slopes[0])


def test_padding_changes_nothing():
    with met(config_of()) as (shard, state, _):
        prepare(shard, state, rl2.LEARNER)
        estimate(shard, state.theta, 1.0, rl2.LEARNER)
        padded = []
        for part in shard.scratch:
            fields = {item.name: getattr(part, item.name) for item in dataclasses.fields(Part)}
            for name in (
                "actions",
                "taken",
                "old_log_probs",
                "old_values",
                "advantages",
                "targets",
            ):
                fields[name] = longer(fields[name], 0)
            fields["inputs"] = tuple(longer(each, 7.0) for each in part.inputs)
            padded.append(Part(**fields))
        slopes = [each for each in gradient(shard, state.theta, FIRST, rl2.LEARNER) if each]
        shard.scratch = padded
        others = [each for each in gradient(shard, state.theta, FIRST, rl2.LEARNER) if each]
        for one, other in zip(slopes, others, strict=True):
            assert one.steps == other.steps
            assert one.gradient == pytest.approx(other.gradient)
            assert one.sums == pytest.approx(other.sums)


def longer(tensor, value):
    return torch.cat([tensor, torch.full_like(tensor[:3], value)])


def test_minibatches_are_of_almost_equal_size():
    """Whatever the parts: of six, six and two trials four minibatches of three or four are made."""
    settings = {"minibatches": 4}
    config = config_of(
        True, settings, env_id="metarl_envs:metarl/BernoulliBandit-v0", env_kwargs={}
    )
    with met(config) as (shard, state, _):
        prepare(shard, state, rl2.LEARNER)
        estimate(shard, state.theta, 1.0, rl2.LEARNER)
        assert [len(part.trials) for part in shard.scratch] == [6, 6, 2]
        sizes = []
        for minibatch in range(4):
            weights = dataclasses.replace(FIRST, minibatch=minibatch)
            slopes = gradient(shard, state.theta, weights, rl2.LEARNER)
            sizes.append(sum(slope.steps for slope in slopes if slope) / 15)
        assert sorted(sizes) == [3, 3, 4, 4]


@KINDS
def test_the_gradient_equals_finite_differences(discrete):
    config = config_of(discrete, {"minibatches": 1, "value_clip": 0.3, "value_huber": 0.7})
    weights = Weights(0, 0, 0.1, 1.3, 0.2)
    with met(config) as (shard, state, _):
        prepare(shard, state, rl2.LEARNER)
        estimate(shard, state.theta, 1.0, rl2.LEARNER)
        generator = np.random.default_rng(2)
        theta = state.theta + 0.02 * generator.standard_normal(len(state.theta))

        def loss(at):
            total = 0.0
            for part in shard.scratch:
                network = loaded(shard, rl2.LEARNER, at)
                distribution, values = network.unroll(*part.inputs)
                ratio = torch.exp(
                    network.policy.log_prob(distribution, part.actions) - part.old_log_probs
                )
                gain = (part.advantages - 0.1) / 1.3
                objective = torch.minimum(ratio * gain, ratio.clamp(0.9, 1.1) * gain)
                near = part.old_values + (values - part.old_values).clamp(-0.3, 0.3)
                target = part.targets
                huber = torch.nn.HuberLoss(reduction="none", delta=0.7)
                error = 2 * torch.maximum(huber(values, target), huber(near, target))
                each = -objective + 0.5 * error - 0.2 * network.policy.entropy(distribution)
                total += each[part.taken].sum().item()
            return total

        slopes = [each for each in gradient(shard, theta, weights, rl2.LEARNER) if each]
        slope = np.sum([each.gradient for each in slopes], axis=0)
        for direction in generator.standard_normal((4, len(theta))):
            difference = (loss(theta + 1e-6 * direction) - loss(theta - 1e-6 * direction)) / 2e-6
            assert slope @ direction == pytest.approx(difference, rel=1e-4)


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


def test_images_are_read_by_the_torso():
    config = config_of(
        env_id="strange_spaces:strange/PictureAndPlace-v0",
        env_kwargs={},
        dtype="float32",
        iterations=2,
    )
    state, records = run(config)
    again, others = run(config, 2)
    assert without_times(records) == without_times(others)
    assert state.agent.theta.tobytes() == again.agent.theta.tobytes()


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


def test_zeros_stand_before_the_first_step():
    told = np.arange(6.0).reshape(3, 1, 2)
    last = what_came_before(told, np.array([[1.0], [2.0], [3.0]]), np.array([[0], [1], [0]]) > 0)
    assert last[:, 0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [2, 3, 2, 1]]


ARMS, PULLS = 5, 10


def pull_by_index(pays, rewards):
    """Pull the arm of the largest posterior mean; give arms and rewards, (pull, trial)."""
    trials = np.arange(len(pays))
    paid, pulled = np.ones((len(pays), ARMS)), np.full((len(pays), ARMS), 2.0)
    arms, earned = [], []
    for pull in range(PULLS):
        arm = np.argmax(paid / pulled, axis=1)
        reward = rewards[pull, trials, arm]
        paid[trials, arm] += reward
        pulled[trials, arm] += 1
        arms.append(arm)
        earned.append(reward)
    return np.array(arms), np.array(earned)


def test_the_network_can_be_an_index_policy():
    """Cloned by supervised learning, the same network reaches the index policy's score.

    So a shortfall of RL² lies in how it is trained, not in what it can be (Duan et al. 2016, 3.1).
    """
    config = config_of(
        env_id="metarl_envs:metarl/BernoulliBandit-v0",
        env_kwargs={"arms": ARMS},
        dtype="float32",
        hidden_sizes=(),
        settings={"memory_size": 32},
    )
    experiment = build_experiment(config)
    network = rl2.network_of(experiment.policy, config)
    generator = np.random.default_rng(1)

    def bandits(count):
        pays = generator.random((count, ARMS))
        return pays, (generator.random((PULLS, count, ARMS)) < pays).astype(np.float64)

    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    steps = 250
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    for _ in range(steps):
        arms, earned = pull_by_index(*bandits(400))
        before = what_came_before(np.eye(ARMS)[arms], earned, np.zeros_like(earned) > 0)
        seen = torch.zeros(PULLS, 400, 1)
        (logits,), _ = network.unroll(seen, torch.tensor(before, dtype=torch.float32))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(arms).flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    theta = torch.nn.utils.parameters_to_vector(network.parameters()).detach().numpy()
    actor = experiment.actor(dataclasses.replace(experiment.first_state().agent, theta=theta))
    pays, rewards = bandits(4000)
    memory, total = actor.begin(4000), 0.0
    for pull in range(PULLS):
        arm, memory = actor.act(np.zeros((4000, 1)), memory)
        reward = rewards[pull, np.arange(4000), arm]
        memory = actor.observe(memory, reward, np.zeros(4000, dtype=bool))
        total += reward.mean()
    _, earned = pull_by_index(pays, rewards)
    assert total == pytest.approx(earned.sum(0).mean(), rel=0.01)
    assert total > 6.5
