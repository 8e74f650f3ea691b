"""The network of RL²: its memory, step by step and unrolled, and what it can be."""

import dataclasses

import numpy as np
import pytest
import torch
from building import run, without_times
from rl2_toy import FIRST, config_of, met

from metarl.experiments.build import build_experiment
from metarl.learning.memory_policy import what_came_before
from metarl_agents import rl2
from metarl_agents.trial_ppo import estimate, gradient, loaded, prepare

pytestmark = pytest.mark.whole_runs
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
