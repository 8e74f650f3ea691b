"""Returns, advantages and the baseline, against loops and direct solutions on ragged episodes."""

import numpy as np
import pytest
import torch

from metarl.learning.returns import (
    baseline_features,
    baseline_values,
    discounted_returns,
    fit_linear_baseline,
    generalised_advantages,
    normalise,
    policy_gradient_batch,
)
from metarl.learning.trajectories import Trajectories

LENGTHS = (7, 1, 4, 6)
HORIZON = 7


def ragged(seed=0):
    """Random rewards, values and observations of episodes of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(LENGTHS), HORIZON)
    rewards = torch.randn(shape, generator=generator, dtype=torch.float64)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    observations = 8 * torch.randn(*shape, 3, generator=generator, dtype=torch.float64)
    mask = torch.arange(HORIZON).expand(shape) < torch.tensor(LENGTHS)[:, None]
    return rewards, values, observations, mask


def test_discounted_returns_against_a_double_loop():
    rewards, _, _, mask = ragged()
    returns = discounted_returns(rewards, mask, 0.9)
    for episode, length in enumerate(LENGTHS):
        for time in range(HORIZON):
            expected = sum(0.9 ** (k - time) * rewards[episode, k] for k in range(time, length))
            assert float(returns[episode, time]) == pytest.approx(float(expected))


@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_advantages_against_the_sum_of_discounted_residuals(gae_lambda):
    rewards, values, _, mask = ragged(1)
    advantages = generalised_advantages(rewards, values, mask, 0.9, gae_lambda)
    for episode, length in enumerate(LENGTHS):
        value = [*values[episode, :length].tolist(), 0.0]
        residuals = [
            float(rewards[episode, k]) + 0.9 * value[k + 1] - value[k] for k in range(length)
        ]
        for time in range(HORIZON):
            expected = sum(
                (0.9 * gae_lambda) ** (k - time) * residuals[k] for k in range(time, length)
            )
            assert float(advantages[episode, time]) == pytest.approx(expected)


def test_advantages_with_lambda_1_are_returns_minus_values():
    rewards, values, _, mask = ragged(2)
    advantages = generalised_advantages(rewards, values, mask, 0.95, 1.0)
    torch.testing.assert_close(
        advantages, (discounted_returns(rewards, mask, 0.95) - values) * mask
    )


def test_padding_never_reaches_returns_or_advantages():
    rewards, values, _, mask = ragged(3)
    spoilt_rewards = torch.where(mask, rewards, torch.full_like(rewards, 1e6))
    spoilt_values = torch.where(mask, values, torch.full_like(values, 1e6))
    assert torch.equal(
        discounted_returns(rewards, mask, 0.9), discounted_returns(spoilt_rewards, mask, 0.9)
    )
    assert torch.equal(
        generalised_advantages(rewards, values, mask, 0.9, 0.8),
        generalised_advantages(spoilt_rewards, spoilt_values, mask, 0.9, 0.8),
    )


def test_features_written_out_by_hand():
    observations = torch.tensor([[[1.0, -20.0], [0.5, 3.0]]])
    expected = [
        [1.0, -10.0, 1.0, 100.0, 0.0, 0.0, 0.0, 1.0],
        [0.5, 3.0, 0.25, 9.0, 0.01, 0.0001, 0.000001, 1.0],
    ]
    np.testing.assert_allclose(baseline_features(observations)[0].numpy(), expected, rtol=1e-12)


def test_baseline_against_a_direct_least_squares_solution_of_the_taken_steps():
    rewards, _, observations, mask = ragged(4)
    features = baseline_features(observations)
    returns = discounted_returns(rewards, mask, 0.99)
    returns[~mask] = 1e6  # what stands in the padding must not matter
    rows, targets = features[mask].numpy(), returns[mask].numpy()
    # Ridge regression as least squares with √ρ·I appended: min |φw − G|² + ρ|w|².
    count = rows.shape[1]
    system = np.vstack([rows, np.sqrt(1e-5) * np.eye(count)])
    expected, *_ = np.linalg.lstsq(system, np.append(targets, np.zeros(count)), rcond=None)
    solved = fit_linear_baseline(features, returns, mask).numpy()
    np.testing.assert_allclose(rows @ solved, rows @ expected, rtol=1e-5, atol=1e-6)


def test_baseline_survives_features_that_are_all_alike():
    features = torch.ones(3, 5, 4, dtype=torch.float64)
    returns = torch.full((3, 5), 2.0, dtype=torch.float64)
    mask = torch.ones(3, 5, dtype=torch.bool)
    weights = fit_linear_baseline(features, returns, mask)
    assert float((features @ weights)[0, 0]) == pytest.approx(2.0, abs=1e-5)


def test_baseline_says_so_when_the_data_are_not_finite():
    features = torch.full((2, 3, 4), float("nan"), dtype=torch.float64)
    mask = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="no finite solution"):
        fit_linear_baseline(features, torch.zeros(2, 3, dtype=torch.float64), mask)


def test_normalised_advantages_have_mean_0_and_standard_deviation_1_over_the_taken_steps():
    _, values, _, mask = ragged(5)
    scaled = normalise(10 + 3 * values, mask)
    assert float(scaled[mask].mean()) == pytest.approx(0, abs=1e-12)
    assert float(scaled[mask].std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert not scaled[~mask].any()


def test_equal_rewards_give_advantages_of_0_not_nan():
    ones = torch.ones(4, 1, dtype=torch.float64)
    values = baseline_values(torch.zeros(4, 1, 2), ones, ones.bool())
    advantages = generalised_advantages(ones, values, ones.bool(), 0.99, 1.0)
    assert float(normalise(advantages, ones.bool()).abs().max()) < 1e-3


def test_several_tasks_at_once_are_as_each_alone():
    tasks = [ragged(seed) for seed in range(3)]
    rewards, values, _, mask = (torch.stack(parts) for parts in zip(*tasks, strict=True))
    returns = discounted_returns(rewards, mask, 0.9)
    advantages = generalised_advantages(rewards, values, mask, 0.9, 0.8)
    for index, (reward, value, _, taken) in enumerate(tasks):
        assert torch.equal(returns[index], discounted_returns(reward, taken, 0.9))
        alone = generalised_advantages(reward, value, taken, 0.9, 0.8)
        assert torch.equal(advantages[index], alone)


def test_a_batch_holds_the_taken_steps_only():
    rewards, values, observations, mask = ragged(6)
    episodes = Trajectories(observations, observations[..., :2], rewards, mask)
    batch = policy_gradient_batch(episodes, values)
    assert batch.observations.shape == (sum(LENGTHS), 3)
    assert torch.equal(batch.observations, observations[mask])
    assert torch.equal(batch.actions, observations[..., :2][mask])
    assert torch.equal(batch.advantages, normalise(values, mask)[mask])
    assert float(episodes.returns[1]) == pytest.approx(float(rewards[1, 0]))
    assert episodes.env_steps == sum(LENGTHS)


def test_a_batch_without_padding_is_the_episodes_one_after_the_other():
    _, values, observations, mask = ragged(7)
    full = torch.ones_like(mask)
    episodes = Trajectories(observations, observations[..., :2], values, full)
    batch = policy_gradient_batch(episodes, values)
    assert torch.equal(batch.observations, observations.reshape(-1, 3))
    assert torch.equal(batch.advantages, normalise(values, full).reshape(-1))
