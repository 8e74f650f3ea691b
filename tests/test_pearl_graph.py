"""PEARL's gradient step as a graph: captured on a card, recorded and repeated on the CPU."""

import dataclasses

import numpy as np
import pytest
import torch
from building import pool, run, same, without_times
from pearl_toy import config_of
from recorded_graphs import record_graphs
from script_loading import FOLDER, load_script
from waiting import refuse_waiting

from metarl.experiments.build import build_experiment
from metarl.learning.layers import filled
from metarl.learning.posteriors import kl_to_standard_normal
from metarl.training import train
from metarl_agents.pearl_learning import STEP_METRICS, Learner, Noise, Transitions
from metarl_agents.pearl_networks import network_of

VARIANTS = {
    "paper": {},
    "without value": {"value_network": False},
    "temperature": {"learned_temperature": True},
    "both": {"value_network": False, "learned_temperature": True},
}
variants = pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)


def learner_of(settings, dtype="float64"):
    config = config_of(settings=settings, dtype=dtype)
    experiment = build_experiment(config)
    network = network_of(experiment.policy, config)
    return Learner(network, experiment.agent._settings, config)


def drawn_for(learner, seed):
    """Draw transitions and noise of a gradient step."""
    generator = torch.Generator().manual_seed(seed)
    like = next(learner.network.parameters())

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(like)

    terminal = (normal(2, 5) > 1).to(like.dtype)
    drawn = Transitions(
        normal(2, 5, 2), normal(2, 5, 2).tanh(), normal(2, 5), normal(2, 5, 2), terminal,
        filled(normal(2, 4, 5)),
    )  # fmt: skip
    valued = learner.network.value is not None
    following = None if valued else normal(2, 5, 2)
    return drawn, Noise(normal(2, 3), normal(2, 5, 2), following)


def stepped_by_torch(learner, steps):
    """Take the steps by torch's Adam, one network at a time; give the metrics."""
    network, losses, settings = learner.network, learner.losses, learner._settings
    acting = network.acting
    modules = (network.critics, acting.encoder, network.value, acting.policy)
    modules = [each for each in (*modules, network.log_temperature) if each is not None]
    adam = {each: torch.optim.Adam(each.parameters(), settings.learning_rate) for each in modules}

    def descend(loss, *trained):
        parameters = [each for module in trained for each in module.parameters()]
        for each, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            each.grad = slope
        for module in trained:
            adam[module].step()

    told = []
    for drawn, noise in steps:
        posterior = losses.posterior(drawn.context)
        latent, divergence = posterior.sample(noise.latent), kl_to_standard_normal(posterior).sum()
        of_critics = losses.of_critics(drawn, latent, noise)
        total = of_critics + settings.kl_weight * divergence
        descend(total, network.critics, acting.encoder)
        of_policy, of_value, log_probs = losses.of_policy(drawn, latent, noise)
        if of_value is not None:
            descend(of_value, network.value)
        descend(of_policy, acting.policy)
        if network.log_temperature is not None:
            excess = (log_probs - float(acting.actions)).mean()
            of_temperature = -network.log_temperature.number.squeeze() * excess
            descend(of_temperature, network.log_temperature)
        with torch.no_grad():
            followed = network.followed.parameters()
            for slow, fast in zip(network.target.parameters(), followed, strict=True):
                slow.lerp_(fast, settings.target_rate)
        value = torch.zeros_like(of_critics) if of_value is None else of_value
        variance = posterior.variance.mean()
        numbers = (of_critics, value, of_policy, divergence / 2, variance, -log_probs.mean())
        told.append(torch.stack(numbers).detach())
    return told


@variants
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("graphed", [False, True], ids=["called", "recorded"])
def test_a_step_on_tensors_that_stay_is_the_step_by_torchs_adam(
    monkeypatch, settings, dtype, graphed
):
    happened = record_graphs(monkeypatch) if graphed else []
    learner, other = learner_of(settings, dtype), learner_of(settings, dtype)
    steps = [drawn_for(learner, seed) for seed in range(7)]
    wanted = stepped_by_torch(other, steps)
    addresses = [each.data_ptr() for each in learner.network.parameters()]
    told = [learner.step(*each) for each in steps]
    assert torch.equal(torch.stack(told), torch.stack(wanted))
    pairs = zip(learner.network.parameters(), other.network.parameters(), strict=True)
    assert all(torch.equal(own, its) for own, its in pairs)
    assert [each.data_ptr() for each in learner.network.parameters()] == addresses
    assert happened.count("capture") == graphed
    assert happened.count("replay") == 6 * graphed


@variants
def test_a_step_waits_for_nothing(monkeypatch, settings):
    learner = learner_of(settings)
    called = refuse_waiting(monkeypatch)
    learner.step(*drawn_for(learner, 0))
    assert called == ["GraphedFunction._run"]


@variants
def test_a_step_needs_no_number_to_know_what_to_do(monkeypatch, settings):
    """On a device whose tensors have no numbers."""
    there = learner_of(settings)
    learner = Learner(there.network.to("meta"), there._settings, config_of(settings=settings))
    called = refuse_waiting(monkeypatch)
    for seed in range(3):
        said = learner.step(*drawn_for(learner, seed))
    assert len(called) == 3
    assert said.device.type == "meta"
    assert said.shape == (len(STEP_METRICS),)


@pytest.mark.whole_runs
@variants
def test_a_run_by_recorded_graphs_is_the_run_without(monkeypatch, settings):
    config = config_of(settings=settings)
    state, records = run(config)
    happened = record_graphs(monkeypatch)
    recorded, its_records = run(config)
    assert same(state, recorded)
    assert without_times(records) == without_times(its_records)
    assert records[-1]["gradient_steps"] == 3
    # Iterations 4 and 5 learn, by three steps each; all but the first are of one graph.
    assert happened.count("capture") == 1
    assert happened.count("replay") == 5


@pytest.mark.whole_runs
def test_an_agent_that_trains_again_begins_anew():
    config = config_of()
    experiment = build_experiment(config)
    ends = []
    with pool(experiment) as workers:
        for _ in range(2):
            *_, (state, _) = train(experiment, workers, experiment.first_state())
            ends.append(state)
    assert same(*ends)


@pytest.mark.whole_runs
def test_what_an_iteration_gave_is_not_written_over_by_the_next():
    experiment = build_experiment(config_of())
    kept = []
    with pool(experiment) as workers:
        for state, _ in train(experiment, workers, experiment.first_state()):
            kept.append((state, dataclasses.replace(state, agent=copied(state.agent))))
    assert len(kept) == 5
    assert all(same(*each) for each in kept)


@pytest.mark.whole_runs
def test_the_benchmark_counts_steps_both_ways(monkeypatch):
    pytest.importorskip("mujoco.batch")
    monkeypatch.syspath_prepend(FOLDER)
    benchmark = load_script("benchmark_gpu")
    found = benchmark.pearl("cpu", benchmark.TINY)
    assert set(found) == {"graph", "calls"}
    assert min(found.values()) > 0
    assert benchmark.pearl_agreement("cpu") == 0
    happened = record_graphs(monkeypatch)
    benchmark.pearl("cpu", benchmark.TINY)  # 2 × 3 steps as a graph, and as many without
    assert happened.count("capture") == 1
    assert happened.count("replay") == 5


def copied(agent):
    return dataclasses.replace(
        agent,
        theta=agent.theta.copy(),
        optimiser={name: np.array(value) for name, value in agent.optimiser.items()},
    )
