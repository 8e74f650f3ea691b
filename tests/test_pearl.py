"""PEARL: posteriors, soft actor-critic, replay, and the promises of a run."""

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
from metarl.learning.posteriors import ContextEncoder, Factors, kl_to_standard_normal
from metarl.learning.soft_actor_critic import (
    SquashedGaussian,
    critics_loss,
    policy_loss,
    value_loss,
)
from metarl.learning.trajectories import Trials
from metarl.runs.checkpoints import Checkpoints
from metarl.tasks.training_sets import order_of_training
from metarl.training import train
from metarl.workers.shards import Shard
from metarl_agents.pearl import PearlActor, meet
from metarl_agents.pearl_learning import Drawer, Learner, Noise, Transitions
from metarl_agents.pearl_networks import network_of
from metarl_agents.replay import TaskIndex, transitions_of, with_transitions


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Posteriors


def test_a_product_of_gaussians_is_the_closed_form_in_any_order():
    mean, variance = normal(0, 4, 3), normal(1, 4, 3).exp()
    factors = Factors(1 / variance, mean / variance)
    product = factors.product(0)
    expected = 1 / (1 / variance).sum(0)
    torch.testing.assert_close(product.variance, expected)
    torch.testing.assert_close(product.mean, expected * (mean / variance).sum(0))
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Factors(factors.precision[order], factors.weighted_mean[order]).product(0)
    torch.testing.assert_close(shuffled.mean, product.mean)
    # One factor after the other is the same; so a posterior may grow step by step.
    density = torch.distributions.Normal(mean, variance.sqrt())
    at = normal(2, 5, 3)
    logs = density.log_prob(at[:, None]).sum(1)
    whole = torch.distributions.Normal(product.mean, product.variance.sqrt()).log_prob(at)
    torch.testing.assert_close(logs - logs[0], whole - whole[0])  # up to a constant


def test_the_kl_divergence_from_the_prior_is_torchs():
    mean, variance = normal(0, 4, 3), normal(1, 4, 3).exp()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, variance.sqrt()), torch.distributions.Normal(0.0, 1.0)
    ).sum(-1)
    found = kl_to_standard_normal(Factors(1 / variance, mean / variance))
    torch.testing.assert_close(found, expected)


def test_a_factors_variance_is_softplus_and_never_below_its_bound():
    encoder = ContextEncoder(4, (), 2).double()
    with torch.no_grad():
        encoder.last.weight.zero_()
        encoder.last.bias.copy_(torch.tensor([0.5, -1.0, 0.3, -60.0]))
    factor = encoder(torch.zeros(1, 4, dtype=torch.float64))
    torch.testing.assert_close(factor.mean, torch.tensor([[0.5, -1.0]], dtype=torch.float64))
    expected = [[np.log1p(np.exp(0.3)), 1e-7]]
    np.testing.assert_allclose(factor.variance.detach(), expected, rtol=1e-6)


# Soft actor-critic


def test_squashed_actions_have_the_density_of_torchs_transformed_normal():
    policy = SquashedGaussian(4, 3, (8,), "tanh").double()
    noise = 2 * normal(4, 6, 3)
    chosen = policy(normal(3, 6, 4), noise)
    reference = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(chosen.mean, chosen.log_std.exp()),
        torch.distributions.TanhTransform(cache_size=1),
    )
    torch.testing.assert_close(
        chosen.action, torch.tanh(chosen.mean + chosen.log_std.exp() * noise)
    )
    torch.testing.assert_close(chosen.log_prob, reference.log_prob(chosen.action).sum(-1))
    # Far out, where 1 − tanh² is 0 in numbers, the density is still finite.
    far = policy(normal(3, 1, 4), torch.full((1, 3), 60.0, dtype=torch.float64))
    assert torch.isfinite(far.log_prob).all()


def test_the_losses_are_those_of_the_paper():
    first, second, rewards, following, log_probs = (normal(seed, 6) for seed in range(5))
    terminal = torch.tensor([0.0, 1, 0, 0, 1, 0], dtype=torch.float64)
    target = rewards + 0.9 * following * (1 - terminal)
    expected = ((first - target) ** 2).mean() + ((second - target) ** 2).mean()
    torch.testing.assert_close(
        critics_loss((first, second), rewards, following, terminal, 0.9), expected
    )
    torch.testing.assert_close(
        value_loss(first, second, log_probs, 0.3), ((first - second + 0.3 * log_probs) ** 2).mean()
    )


def test_the_policys_gradient_goes_through_the_critic_and_no_target_is_differentiated():
    following = normal(0, 6).requires_grad_()
    first = normal(1, 6).requires_grad_()
    loss = critics_loss((first, first), normal(2, 6), following, torch.zeros(6), 0.9)
    assert torch.autograd.grad(loss, following, allow_unused=True) == (None,)
    critics = normal(3, 6).requires_grad_()
    loss = value_loss(first, critics, normal(4, 6), 1.0)
    assert torch.autograd.grad(loss, critics, allow_unused=True) == (None,)

    policy = SquashedGaussian(4, 2, (8,), "tanh").double()
    inputs, noise = normal(5, 7, 4), normal(6, 7, 2)

    def total():
        chosen = policy(inputs, noise)
        return policy_loss(chosen, (chosen.action**3).sum(-1), 0.2, 0.01)

    weight = policy.mean.weight
    slope = torch.autograd.grad(total(), weight)[0]
    for place in ((0, 0), (1, 5)):
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[place] += step
                ends.append(total())
                weight[place] -= step
        torch.testing.assert_close((ends[0] - ends[1]) / 2e-6, slope[place], rtol=1e-6, atol=1e-9)


# What learns from what


def learner_of(**settings):
    config = config_of(settings=settings, dtype="float64")
    experiment = build_experiment(config)
    agent_settings = experiment.agent._settings
    network = network_of(experiment.policy, config)
    return Learner(network, agent_settings, config), network, agent_settings


def transitions(tasks=2, steps=5, context=4):
    return Transitions(
        normal(0, tasks, steps, 2),
        torch.tanh(normal(1, tasks, steps, 2)),
        normal(2, tasks, steps),
        normal(3, tasks, steps, 2),
        torch.zeros(tasks, steps, dtype=torch.float64),
        filled(normal(4, tasks, context, 5)),
    )


def noise_of(tasks=2, steps=5, latent=3):
    return Noise(normal(5, tasks, latent), normal(6, tasks, steps, 2), normal(7, tasks, steps, 2))


def inferred(learner, drawn, noise):
    """The posterior of each task, and its sample."""
    posterior = learner.losses.posterior(drawn.context)
    return posterior, posterior.sample(noise.latent)


def parts_of(record):
    return [getattr(record, field.name) for field in dataclasses.fields(record)]


def slopes(loss, module):
    return torch.autograd.grad(
        loss,
        list(module.parameters()),
        retain_graph=True,
        materialize_grads=True,
        allow_unused=True,
    )


def test_the_critics_loss_alone_trains_the_encoder():
    learner, network, _ = learner_of()
    drawn, noise = transitions(), noise_of()
    _, latent = inferred(learner, drawn, noise)
    of_critics = learner.losses.of_critics(drawn, latent, noise)
    assert any(slope.any() for slope in slopes(of_critics, network.acting.encoder))
    assert not any(slope.any() for slope in slopes(of_critics, network.acting.policy))
    of_policy, of_value, _ = learner.losses.of_policy(drawn, latent, noise)
    for loss in (of_policy, of_value):
        assert not any(slope.any() for slope in slopes(loss, network.acting.encoder))
    assert not any(slope.any() for slope in slopes(of_value, network.critics))
    assert any(slope.any() for slope in slopes(of_policy, network.acting.policy))
    # The control: were z not detached, the policy's loss would reach the encoder.
    inputs = learner.losses.inputs(drawn.observations, latent)
    leak = network.acting.policy(inputs, noise.action).log_prob.mean()
    assert any(slope.any() for slope in slopes(leak, network.acting.encoder))


def test_tasks_in_one_call_are_tasks_one_by_one():
    learner, _, _ = learner_of()
    drawn, noise = transitions(), noise_of()
    _, latent = inferred(learner, drawn, noise)
    together = learner.losses.of_critics(drawn, latent, noise)
    apart = []
    for task in range(2):
        own = Transitions(*(part[task : task + 1] for part in parts_of(drawn)))
        own_noise = Noise(*(part[task : task + 1] for part in parts_of(noise)))
        _, own_latent = inferred(learner, own, own_noise)
        torch.testing.assert_close(own_latent[0], latent[task])
        apart.append(learner.losses.of_critics(own, own_latent, own_noise))
    torch.testing.assert_close(together, torch.stack(apart).mean())


@pytest.mark.parametrize(
    "settings", [{}, {"value_network": False, "learned_temperature": True}], ids=["paper", "modern"]
)
def test_a_learner_goes_on_from_what_it_gave(settings):
    learner, _, agent_settings = learner_of(**settings)
    config = config_of(settings=settings, dtype="float64")
    drawn = [(transitions(), noise_of())] * 4
    for each in drawn[:2]:
        learner.step(*each)
    theta, kept = learner.state()
    assert all(isinstance(array, np.ndarray) for array in kept.values())
    experiment = build_experiment(config)
    other = Learner(network_of(experiment.policy, config), agent_settings, config)
    other.load(dataclasses.replace(experiment.first_state().agent, theta=theta, optimiser=kept))
    for each in drawn[2:]:
        learner.step(*each)
        other.step(*each)
    (theta, kept), (its_theta, its_kept) = learner.state(), other.state()
    assert theta.tobytes() == its_theta.tobytes()
    assert kept.keys() == its_kept.keys()
    assert all(np.array_equal(kept[name], its_kept[name]) for name in kept)
    if settings:
        assert kept["log_temperature"][0] != 0


def test_a_gradient_step_is_adams_on_each_networks_own_loss():
    learner, network, settings = learner_of()
    drawn, noise = transitions(), noise_of()
    posterior, latent = inferred(learner, drawn, noise)
    loss = learner.losses.of_critics(drawn, latent, noise)
    loss = loss + settings.kl_weight * kl_to_standard_normal(posterior).sum()
    expected = slopes(loss, network.acting.encoder)
    before = [each.detach().clone() for each in network.acting.encoder.parameters()]
    target = [each.detach().clone() for each in network.target.parameters()]
    learner.step(drawn, noise)
    for old, new, slope in zip(before, network.acting.encoder.parameters(), expected, strict=True):
        # Adam's first step is the slope's sign times the step size.
        step = settings.learning_rate * slope / (slope.abs() + 1e-8)
        torch.testing.assert_close(new.detach(), old - step, rtol=1e-6, atol=1e-9)
    for old, new, fast in zip(
        target, network.target.parameters(), network.value.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.995 * old + 0.005 * fast.detach())


# Replay


def trials_of(steps, ended, episodes=2, terminated=()):
    """One trial of given steps, whose observation is its number."""
    time = np.arange(steps, dtype=np.float32)
    column = np.stack([time, time], axis=-1)[:, None]
    ends, by_themselves = np.zeros((2, steps, 1), dtype=bool)
    ends[ended] = True
    by_themselves[list(terminated)] = True
    last = np.full((episodes, 1, 2), -1.0)
    last[:, 0, 0] = [100 + end for end in ended]
    rewards, mask = time[:, None].astype(float), np.ones((steps, 1), bool)
    return Trials(column, column, rewards, ends, by_themselves, mask, last)


def test_transitions_say_what_came_after_and_whether_an_episode_ended_by_itself():
    # Episodes of 3 steps (cut off at the horizon) and of 2 (ended by itself).
    trials = trials_of(5, [2, 4], terminated=[4])
    log = transitions_of(trials, 7, horizon=3, context_episodes=1)
    assert log["following"][:, 0].tolist() == [1, 2, 102, 4, 104]
    assert log["terminal"].tolist() == [False, False, False, False, True]
    assert log["context"].tolist() == [True, True, True, False, False]
    assert log["task"].tolist() == [7] * 5
    assert log["rewards"].tolist() == [0, 1, 2, 3, 4]


def test_new_context_takes_the_place_of_the_old_and_the_oldest_go_first():
    first = transitions_of(trials_of(4, [1, 3]), 0, 2, 2)
    other = transitions_of(trials_of(4, [1, 3]), 1, 2, 2)
    again = transitions_of(trials_of(4, [1, 3]), 0, 2, 1)
    replay = with_transitions({}, [first, other], 10**6)
    assert replay["context"].all()
    replay = with_transitions(replay, [again], 10**6)
    assert replay["task"].tolist() == [0] * 4 + [1] * 4 + [0] * 4
    assert replay["context"].tolist() == [False] * 4 + [True] * 4 + [True, True, False, False]
    of_one = sum(column[:1].nbytes for column in replay.values())
    short = with_transitions(replay, [other], 6 * of_one)
    assert short["task"].tolist() == [0, 0, 1, 1, 1, 1]


def test_draws_are_of_each_task_and_context_is_of_its_latest_prior_episodes_alone():
    logs = [transitions_of(trials_of(6, [2, 5]), task, 3, 1) for task in range(3)]
    replay = with_transitions({}, logs, 10**6)
    steps, context = TaskIndex(replay).draw(40, 9, 8, np.random.default_rng(0))
    owner = replay["task"][steps]
    assert (owner == owner[:, :1]).all()
    assert (replay["task"][context] == owner[:, :1]).all()
    assert replay["context"][context].all()
    assert set(owner[:, 0].tolist()) == {0, 1, 2}
    assert len(np.unique(steps)) == 18  # all transitions come, context or not


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
