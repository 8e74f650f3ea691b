"""PPO's objective and losses against loops, and running moments against numpy."""

import numpy as np
import pytest
import torch

from metarl.learning.policies import CategoricalPolicy, GaussianPolicy
from metarl.learning.ppo import clipped_objective, value_loss
from metarl.learning.running_moments import merged, moments_of, no_moments, standard_deviation

CLIP = 0.2


@pytest.fixture
def steps():
    generator = np.random.default_rng(1)
    old, new, advantages = (torch.tensor(generator.standard_normal((7, 5)) / 2) for _ in range(3))
    taken = torch.tensor(generator.random((7, 5)) < 0.7)
    return new.requires_grad_(), old, advantages, taken


def test_the_clipped_objective_is_the_papers(steps):
    new, old, advantages, taken = steps
    found = clipped_objective(new, old, advantages, taken, CLIP)
    loss, clipped, kl = 0.0, 0, 0.0
    for index in np.argwhere(taken.numpy()):
        time, trial = index
        ratio = np.exp((new - old)[time, trial].item())
        gain = float(advantages[time, trial])
        loss -= min(ratio * gain, np.clip(ratio, 1 - CLIP, 1 + CLIP) * gain)
        clipped += abs(ratio - 1) > CLIP
        kl += ratio - 1 - np.log(ratio)
    assert found.loss.item() == pytest.approx(loss)
    assert (found.clipped.item(), found.kl.item()) == (clipped, pytest.approx(kl))


def test_its_gradient_equals_finite_differences_and_is_0_where_nothing_was_done(steps):
    new, old, advantages, taken = steps
    (slope,) = torch.autograd.grad(
        clipped_objective(new, old, advantages, taken, CLIP).loss, (new,)
    )
    assert (slope[~taken] == 0).all()
    direction = torch.tensor(np.random.default_rng(2).standard_normal((7, 5)))

    def loss(side):
        at = new.detach() + side * direction
        return clipped_objective(at, old, advantages, taken, CLIP).loss.item()

    assert (slope * direction).sum().item() == pytest.approx((loss(1e-7) - loss(-1e-7)) / 2e-7)


def test_padding_changes_neither_loss_nor_gradient(steps):
    new, old, advantages, taken = steps
    strange = torch.where(taken, advantages, 1e6)
    one, other = (
        clipped_objective(new, old, each, taken, CLIP).loss for each in (advantages, strange)
    )
    assert one.item() == other.item()
    slopes = [torch.autograd.grad(each, (new,))[0] for each in (one, other)]
    assert torch.equal(*slopes)


def test_the_values_loss_is_squared_clipped_and_linear_as_asked():
    values, old, targets = (torch.tensor(each) for each in ([3.0, 0.1], [0.0, 0.0], [1.0, 1.0]))
    taken = torch.ones(2, dtype=torch.bool)
    assert value_loss(values, old, targets, taken).item() == pytest.approx(4 + 0.81)
    # 3 counts as moved to 0.5, an error of 0.25, less than 4; 0.1 lies within the bounds.
    clipped = value_loss(values, old, targets, taken, clip=0.5).item()
    assert clipped == pytest.approx(4 + 0.81)
    # A value that has come nearer to its target counts as if it had not come so far.
    near = torch.tensor([1.0, 0.1])
    assert value_loss(near, old, targets, taken, clip=0.5).item() == pytest.approx(0.25 + 0.81)
    # Huber's: squared below the bound, then 2 δ (|e| − δ / 2).
    huber = value_loss(values, old, targets, taken, huber=1.0).item()
    assert huber == pytest.approx(2 * (2 - 0.5) + 0.81)
    assert value_loss(values, old, targets, ~taken).item() == 0


def test_entropies_are_those_of_torch():
    gaussian = GaussianPolicy(3, 2, (), "tanh", 0.7, 1e-6)
    categorical = CategoricalPolicy(3, 4, (), "tanh")
    seen = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    mean, log_std = gaussian(seen)
    theirs = torch.distributions.Normal(mean, log_std.exp()).entropy().sum(-1)
    assert torch.allclose(gaussian.entropy((mean, log_std)), theirs)
    (logits,) = categorical(seen)
    theirs = torch.distributions.Categorical(logits=logits).entropy()
    assert torch.allclose(categorical.entropy((logits,)), theirs)


def test_moments_merged_are_the_moments_of_all():
    rows = np.random.default_rng(3).normal(5.0, 3.0, (50, 2))
    parts = [rows[:7], rows[7:7], rows[7:30], rows[30:]]
    count, mean, squares = merged(map(moments_of, parts), no_moments(2))
    assert count.tolist() == [50, 50]
    assert mean == pytest.approx(rows.mean(0))
    assert np.sqrt(squares / count) == pytest.approx(rows.std(0))
    assert standard_deviation(np.stack([count, mean, squares])) == pytest.approx(rows.std(0))
    assert standard_deviation(no_moments(2)).tolist() == [1.0, 1.0]
