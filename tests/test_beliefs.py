"""The variational mathematics of beliefs: closed forms, naive loops, and what it must not see."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from metarl.foundation.errors import ConfigError
from metarl.learning.beliefs import (
    CellDecoder,
    Drawn,
    StepDecoder,
    cell_errors,
    evidence,
    gaussian_kl,
    kl_to_the_belief_before,
    of_each_trial,
    sampled,
    squared_errors,
)
from metarl.learning.memory_policy import initialise
from metarl.learning.policies import PolicySpec
from metarl_agents.trial_buffer import Rows
from metarl_agents.trial_settings import VariBADSettings
from metarl_agents.varibad_cells import Cells, cells_of
from metarl_agents.varibad_evidence import draw_terms, model_loss, whole_trials
from metarl_agents.varibad_networks import BeliefModel

TIME, TRIALS, LATENTS = 6, 3, 4


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(5)


def random_beliefs(*shape):
    return torch.randn(*shape, 2 * LATENTS, dtype=torch.float64)


def gaussian(belief):
    mean, log_variance = belief.chunk(2, -1)
    return Independent(Normal(mean, torch.exp(log_variance / 2)), 1)


def test_kl_is_the_closed_form_and_torchs():
    one, other = random_beliefs(7), random_beliefs(7)
    assert torch.allclose(gaussian_kl(one, other), kl_divergence(gaussian(one), gaussian(other)))
    mean, log_variance = one.chunk(2, -1)
    # To N(0, I): ½ Σ (μ² + σ² − log σ² − 1), Kingma and Welling 2014, appendix B.
    prior = torch.zeros_like(one)
    by_hand = 0.5 * (mean**2 + torch.exp(log_variance) - log_variance - 1).sum(-1)
    assert torch.allclose(gaussian_kl(one, prior), by_hand)
    assert torch.equal(gaussian_kl(one, one), torch.zeros(7, dtype=torch.float64))


def test_each_prefix_is_compared_with_the_belief_before_and_the_first_with_the_prior():
    beliefs = random_beliefs(TIME, TRIALS)
    found = kl_to_the_belief_before(beliefs)
    for trial in range(TRIALS):
        prior = gaussian(torch.zeros(2 * LATENTS, dtype=torch.float64))
        before = prior
        for time in range(TIME):
            now = gaussian(beliefs[time, trial])
            assert found[time, trial].item() == pytest.approx(kl_divergence(now, before).item())
            if time:  # the negative control
                other = kl_divergence(now, prior).item()
                assert found[time, trial].item() != pytest.approx(other, rel=1e-3)
            before = now


def test_samples_have_the_means_and_variances_of_their_beliefs():
    belief = random_beliefs(1).expand(200_000, -1)
    latents = sampled(belief, torch.randn(200_000, LATENTS, dtype=torch.float64))
    mean, log_variance = belief[0].chunk(2, -1)
    assert torch.allclose(latents.mean(0), mean, atol=0.03)
    assert torch.allclose(latents.var(0), torch.exp(log_variance), rtol=0.02)


def drawn_terms():
    prefixes = torch.tensor([[0, 3, 5], [2, 1, 0], [1, 0, 4]])
    steps = torch.tensor([[5, 0], [0, 1], [3, 4]])
    prefix_counts = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    step_counts = torch.tensor([[True, True], [True, False], [True, True]])
    noise = torch.randn(TRIALS, 3, LATENTS, dtype=torch.float64)
    return Drawn(prefixes, prefix_counts, steps, step_counts, noise)


def test_the_evidence_is_that_of_a_naive_loop_over_trials_prefixes_and_steps():
    decoder = StepDecoder(LATENTS, 5, (8, 6), 2).double()
    beliefs, drawn = random_beliefs(TIME, TRIALS), drawn_terms()
    known = torch.randn(TIME, TRIALS, 5, dtype=torch.float64)
    true = torch.randn(TIME, TRIALS, 2, dtype=torch.float64)
    latents = sampled(of_each_trial(beliefs, drawn.prefixes), drawn.noise)
    said = decoder(latents, of_each_trial(known, drawn.steps))
    errors = squared_errors(said, of_each_trial(true, drawn.steps))
    found = evidence(beliefs, errors, drawn)

    weights = torch.cat([decoder.of_task.weight, decoder.of_step.weight], 1)
    reconstruction = kl = 0.0
    for trial in range(TRIALS):
        for number, prefix in enumerate(drawn.prefixes[trial].tolist()):
            if not drawn.prefix_counts[trial, number]:
                continue
            belief = beliefs[prefix, trial]
            before = beliefs[prefix - 1, trial] if prefix else torch.zeros(2 * LATENTS).double()
            kl += kl_divergence(gaussian(belief), gaussian(before)).item() / TRIALS
            mean, log_variance = belief.chunk(2)
            latent = mean + torch.exp(log_variance).sqrt() * drawn.noise[trial, number]
            for place, step in enumerate(drawn.steps[trial].tolist()):
                if drawn.step_counts[trial, place]:
                    both = torch.cat([latent, known[step, trial]])
                    said = decoder.layers(torch.relu(weights @ both + decoder.of_task.bias))
                    error = ((said - true[step, trial]) ** 2).mean()
                    reconstruction += error.item() / TRIALS
    assert found.kl.item() == pytest.approx(kl)
    assert found.reconstruction.item() == pytest.approx(reconstruction)


def test_cells_are_decoded_as_by_a_naive_loop():
    decoder = CellDecoder(LATENTS, (8,), 7).double()
    latents = torch.randn(TRIALS, 3, LATENTS, dtype=torch.float64)
    cells = torch.tensor([[0, 6], [3, 3], [1, 5]])
    pays = torch.tensor([[True, False], [False, True], [False, False]])
    found = cell_errors(decoder(latents), cells, pays)
    for trial in range(TRIALS):
        for prefix in range(3):
            odds = torch.sigmoid(decoder(latents)[trial, prefix])
            for step in range(2):
                chance = odds[cells[trial, step]]
                expected = -torch.log(chance if pays[trial, step] else 1 - chance)
                assert found[trial, prefix, step].item() == pytest.approx(expected.item())


def spec_of(space):
    return PolicySpec(space, gym.spaces.Discrete(3), (8,), "tanh", 1.0, 1e-6)


def test_cells_are_all_integer_coordinates_within_the_bounds():
    space = gym.spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), (2,), np.float64)
    cells = cells_of(spec_of(space))
    assert cells == Cells((-1, 0), (3, 4))
    assert cells.count == 12
    every = torch.tensor([[x, y] for x in (-1.0, 0.0, 1.0) for y in (0.0, 1.0, 2.0, 3.0)])
    assert cells.of(every).tolist() == list(range(12))


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(-np.inf, np.inf, (2,)),
        gym.spaces.Box(0.0, 0.5, (2,)),
        gym.spaces.Box(0.0, 99.0, (2,)),
    ],
    ids=["without bounds", "between integers", "too many"],
)
def test_what_has_no_cells_is_refused(space):
    with pytest.raises(ConfigError, match='reward_decoder = "cells" wants observations that are'):
        cells_of(spec_of(space))


# What it learns


SEEN = gym.spaces.Box(-5.0, 5.0, (2,), np.float64)
SETTINGS = VariBADSettings(
    latent_size=2,
    memory_size=16,
    observation_embedding=0,
    action_embedding=0,
    reward_embedding=0,
    decoder_sizes=(16,),
    kl_weight=1.0,
    elbo_prefixes=6,
    decoded_steps=0,
    decode_observations=True,
)


def trials_of(rewards, generator) -> Rows:
    """Trials of random walks in two episodes."""
    trials, time = rewards.shape
    ended = np.zeros((trials, time), dtype=bool)
    ended[:, [time // 2 - 1, time - 1]] = True
    return {
        "observations": generator.standard_normal((trials, time, 2)).astype(np.float32),
        "last_observations": generator.standard_normal((trials, 2, 2)).astype(np.float32),
        "actions": generator.integers(0, 3, (trials, time)).astype(np.uint8),
        "rewards": rewards.astype(np.float32),
        "ended": ended,
        "steps": np.full(trials, time, np.int32),
    }


def learned(rewards_of_task, settings, steps=300):
    """What a model believes after some trials, having learned from others."""
    generator = np.random.default_rng(3)
    spec = spec_of(SEEN)
    model = BeliefModel(spec, settings)
    initialise(model, 1)
    like = next(model.parameters())

    def batch(trials):
        rewards = rewards_of_task(generator, trials, 8)
        return whole_trials(trials_of(rewards, generator), spec, like)

    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        trials = batch(25)
        drawn = draw_terms(trials, settings, generator)
        loss, _ = model_loss(model, trials, drawn, settings)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trials = batch(100)
    with torch.no_grad():
        beliefs = model.encoder.unroll(trials.observations, trials.last)
    return gaussian_kl(beliefs, torch.zeros_like(beliefs)).mean(1)


def test_where_nothing_tells_the_task_the_belief_stays_at_the_prior():
    settings = dataclasses.replace(SETTINGS, decode_observations=False)
    told_nothing = learned(lambda generator, trials, time: np.ones((trials, time)), settings)
    assert told_nothing[0] == 0
    assert told_nothing.max() < 0.05
    # The negative control: where rewards tell the task, the belief leaves the prior.
    told = learned(
        lambda generator, trials, time: np.repeat(generator.choice([-3, 3], (trials, 1)), time, 1),
        settings,
    )
    assert told[0] == 0
    assert told[-1] > 0.5


def test_what_comes_later_changes_no_belief_before():
    generator = np.random.default_rng(1)
    model = BeliefModel(spec_of(SEEN), SETTINGS)
    initialise(model, 1)
    rows = trials_of(generator.standard_normal((5, 8)), generator)
    trials = whole_trials(rows, spec_of(SEEN), next(model.parameters()))
    beliefs = model.encoder.unroll(trials.observations, trials.last)
    changed = [each.clone() for each in (trials.observations, trials.last)]
    for each in changed:
        each[4:] += 1.0
    after = model.encoder.unroll(*changed)
    assert torch.equal(beliefs[:4], after[:4])
    assert not torch.isclose(beliefs[4:], after[4:]).all(-1).any()
    assert not beliefs[0].any()  # the prior, whatever the first observation is


def test_terms_are_drawn_from_the_steps_that_were_taken_none_twice():
    generator = np.random.default_rng(1)
    rows = trials_of(np.zeros((50, 8)), generator)
    rows["steps"] = generator.integers(1, 9, 50).astype(np.int32)
    trials = whole_trials(rows, spec_of(SEEN), torch.zeros(0))
    drawn = draw_terms(trials, SETTINGS, generator)
    assert drawn.prefixes.shape == (50, 6)
    assert drawn.steps.shape == (50, 8)
    seen = set()
    for trial, steps in enumerate(rows["steps"].tolist()):
        for places, counts, most in (
            (drawn.prefixes, drawn.prefix_counts, 6),
            (drawn.steps, drawn.step_counts, 8),
        ):
            chosen = places[trial][counts[trial]].tolist()
            assert len(set(chosen)) == len(chosen) == min(most, steps)
            assert max(chosen) < steps
        seen |= set(drawn.prefixes[trial][drawn.prefix_counts[trial]].tolist())
    assert seen == set(range(8))
