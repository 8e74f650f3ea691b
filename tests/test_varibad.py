"""VariBAD: what is believed when, whose gradient goes where, and the same bits everywhere."""

import dataclasses

import numpy as np
import pytest
import torch
from building import pool, run, same, tiny_config, without_times
from meeting_by_varibad import AGENT, config_of, met

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.learning.memory_policy import told_actions
from metarl.learning.stacking import BLOCK
from metarl.runs.checkpoints import Checkpoints
from metarl.training import train
from metarl_agents import varibad, varibad_networks
from metarl_agents.trial_ppo import Weights as PPOWeights
from metarl_agents.trial_ppo import estimate, gradient, loaded, prepare
from metarl_agents.trial_settings import VariBADSettings

KINDS = pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])


def begun_state(config):
    """A state whose weights say something, and whose normalisation has begun."""
    experiment = build_experiment(config)
    state = experiment.first_state().agent
    noisy = state.theta + 0.1 * np.random.default_rng(1).standard_normal(len(state.theta))
    moments = {
        "observation_moments": np.array([[9.0, 9.0], [0.1, 2.0], [3.0, 8.0]]),
        varibad_networks.BELIEFS: np.random.default_rng(2).uniform(1.0, 2.0, (3, 6)),
    }
    return dataclasses.replace(state, theta=noisy.astype(state.theta.dtype), others=moments)


def seen_by_policy(config, state):
    """The state by which PPO works on a policy, as `improve` makes it."""
    experiment = build_experiment(config)
    size = varibad_networks.network_of(experiment.policy, config).model_size
    others = {**state.others, "model": state.theta[:size]}
    return dataclasses.replace(state, theta=state.theta[size:], others=others)


@KINDS
def test_stepping_and_unrolling_give_the_same_beliefs_and_probabilities(discrete):
    """So the first ratios of an update are 1, also where normalisation has begun."""
    config = config_of(discrete)
    with met(config, begun_state(config)) as (shard, state, _):
        policy_state = seen_by_policy(config, state)
        prepare(shard, policy_state, varibad.LEARNER)
        estimate(shard, policy_state.theta, 1.0, varibad.LEARNER)
        network = loaded(shard, varibad.LEARNER, policy_state.theta)
        actor = varibad.VariBADActor(shard.spec.policy, config, state)
        for part in shard.scratch:
            rows = len(part.trials)
            memory = actor.begin(rows)
            distribution, _ = network.unroll(*part.inputs)
            for time, seen in enumerate(part.trials.observations):
                taken = part.trials.mask[time]
                believed = actor.believe(seen, memory)
                assert bool(np.any(believed)) == (time > 0)  # the first belief is the prior
                scaled = actor._belief_scales.observations(believed)
                assert scaled[taken] == pytest.approx(part.inputs[1][time].numpy()[taken], abs=1e-9)
                with torch.no_grad():
                    observed = actor._blocks(actor._scales.observations(seen))
                    stepped = actor._acting.step(observed, actor._blocks(scaled))
                for one, other in zip(stepped, distribution, strict=True):
                    expected = other[time].detach()[taken]
                    assert torch.allclose(one[:rows][taken], expected, atol=1e-9)
                _, (hidden, last, begun) = actor.choose(seen, memory, None)
                last[:, :-2] = told_actions(shard.spec.policy, part.trials.actions[time])
                memory = actor.observe(
                    (hidden, last, begun), part.trials.rewards[time], part.trials.ended[time]
                )
        weights = PPOWeights(0, 0, 0.0, 1.0, 0.0)
        slopes = gradient(shard, policy_state.theta, weights, varibad.LEARNER)
        for slope in (each for each in slopes if each):
            clipped, kl, *_ = slope.sums
            assert clipped == 0
            assert kl == pytest.approx(0, abs=1e-12)


def parts_of(experiment, state):
    size = varibad_networks.network_of(experiment.policy, experiment.config).model_size
    return state.theta[:size], state.theta[size:]


def test_the_policys_loss_moves_no_encoder_and_the_beliefs_moves_no_policy():
    first = {}
    for steps in (0, 2):
        config = config_of(settings={"model_steps": steps}, iterations=2)
        experiment = build_experiment(config)
        state, _ = run(config)
        model, heads = parts_of(experiment, experiment.first_state().agent)
        after, heads_after = parts_of(experiment, state.agent)
        # By PPO alone it stays to the last bit; the negative control: its own loss moves it.
        assert np.array_equal(model, after) == (steps == 0)
        assert not np.array_equal(heads, heads_after)
        first[steps] = model
    assert np.array_equal(first[0], first[2])


def test_a_warm_up_trains_encoder_and_decoder_alone():
    config = config_of(settings={"warm_up_iterations": 2}, iterations=3)
    experiment = build_experiment(config)
    with pool(experiment) as workers:
        states = [state.agent for state, _ in train(experiment, workers, experiment.first_state())]
    start = experiment.first_state().agent
    models, heads = zip(*(parts_of(experiment, state) for state in [start, *states]), strict=True)
    assert [np.array_equal(heads[0], each) for each in heads] == [True, True, True, False]
    assert len({each.tobytes() for each in models}) == 4


def test_rows_do_not_depend_on_their_company():
    """In the last bit, at sizes at which kernels could differ: wide layers, odd observations."""
    config = config_of(
        dtype="float32", hidden_sizes=(33,), settings={"memory_size": 64, "latent_size": 5}
    )
    experiment = build_experiment(config)
    actor = experiment.actor(experiment.first_state().agent)
    generator = np.random.default_rng(1)
    seen, last = generator.standard_normal((200, 2)), generator.standard_normal((200, 4))
    hidden = generator.standard_normal((200, 64)).astype(np.float32)
    memory = (hidden, last, generator.random((200, 1)) < 0.8)
    noise = generator.standard_normal((200, 2))
    together, (following, _, _) = actor.choose(seen, memory, noise)
    for rows in (slice(3, 4), slice(17, 49), slice(5, 200), slice(0, BLOCK + 1)):
        own, (its, _, _) = actor.choose(
            seen[rows], tuple(each[rows] for each in memory), noise[rows]
        )
        assert np.array_equal(own, together[rows])
        assert np.array_equal(its, following[rows])


@KINDS
def test_any_number_of_workers_and_a_resume_give_the_same_bits(tmp_path, discrete):
    """Also of what is remembered; the buffer has gone round once before the resume."""
    changes = {
        "reward_decoder": "regression",
        "decode_observations": discrete,
        "buffer_trials": 20,
    }
    config = config_of(discrete, changes, dtype="float32", iterations=4)
    state, records = run(config)
    for workers in (1, 2):
        other, its_records = run(config, workers)
        assert same(state, other)
        assert without_times(records) == without_times(its_records)

    half, _ = run(dataclasses.replace(config, iterations=2))
    assert half.agent.experience["met"].tolist() == [28]
    assert len(half.agent.experience["steps"]) == 20
    experiment = build_experiment(config)
    checkpoints = Checkpoints(tmp_path, carried_bytes=experiment.agent.family.carried_bytes)
    checkpoints.save(half, experiment.initial, {})
    loaded_state, _, _ = checkpoints.load_newest(experiment.initial, experience=True)
    assert same(half, loaded_state)
    with pool(experiment) as started:
        *_, (resumed, _) = train(experiment, started, loaded_state)
    assert same(state, resumed)


def test_cells_learn_on_a_grid():
    settings = {"reward_decoder": "cells", "model_learning_rate": 1e-2}
    config = config_of(
        env_id="metarl_envs:metarl/GridNavi-v0", env_kwargs={}, settings=settings, iterations=12
    )
    state, records = run(config)
    errors = [record["reward_error"] for record in records]
    assert errors[-1] < errors[0] / 2
    assert state.agent.experience["actions"].dtype == np.uint8


def test_numbers_that_are_not_finite_change_nothing():
    config = config_of(iterations=1)
    experiment = build_experiment(config)
    first = experiment.first_state()
    theta = first.agent.theta.copy()
    size = varibad_networks.network_of(experiment.policy, config).model_size
    theta[size - 1] = np.inf  # of the decoder, which does not act
    broken = dataclasses.replace(first.agent, theta=theta)
    with pool(experiment) as workers:
        start = dataclasses.replace(first, agent=broken)
        ((state, record),) = train(experiment, workers, start)
    assert record["step_accepted"] is False
    assert record["rejection"] == "the loss or its gradient is not finite"
    assert state.agent is broken


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent_size": 0}, "latent_size = 0 must be at least 1"),
        ({"memory_size": 6}, "memory_size = 6 must be a multiple of 4"),
        ({"action_embedding": -4}, "action_embedding = -4 must be a multiple of 4"),
        ({"decoder_sizes": ()}, "must be one width or more"),
        ({"decoder_sizes": (8, 0)}, "must be one width or more"),
        ({"kl_weight": -1.0}, "kl_weight = -1.0 must be 0 or more, finite"),
        ({"buffer_trials": 0}, "buffer_trials = 0 must be at least 1"),
        ({"elbo_prefixes": -1}, "elbo_prefixes = -1 must be 0 or more"),
        ({"model_learning_rate": 0.0}, "must be positive and finite"),
        ({"model_trials": 0}, "model_trials = 0 must be at least 1"),
        ({"clip_ratio": -1.0}, "clip_ratio = -1.0 must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        VariBADSettings(**settings)


def test_the_step_size_of_the_model_falls_in_a_straight_line():
    falls = VariBADSettings(
        model_learning_rate=0.5, final_model_learning_rate=0.1, decay_iterations=4
    )
    assert [falls.model_rate_at(n) for n in (0, 2, 4, 9)] == pytest.approx([0.5, 0.3, 0.1, 0.1])
    assert VariBADSettings(model_learning_rate=0.5).model_rate_at(9) == 0.5


def test_what_it_cannot_take_is_refused():
    with pytest.raises(ConfigError, match="wants observations that are integer coordinates"):
        build_experiment(tiny_config(agent=AGENT, agent_settings={"reward_decoder": "cells"}))
    with pytest.raises(ConfigError, match="reads no images"):
        build_experiment(
            tiny_config(agent=AGENT, env_id="strange_spaces:strange/Picture-v0", env_kwargs={})
        )
    with pytest.raises(ConfigError, match="episodes of a trial invisible"):
        build_experiment(config_of(discount=0.1))
