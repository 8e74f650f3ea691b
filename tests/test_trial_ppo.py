"""PPO on whole trials: advantages, minibatches, and the gradient."""

import dataclasses

import numpy as np
import pytest
import torch
from rl2_toy import FIRST, config_of, met

from metarl_agents import rl2
from metarl_agents.trial_ppo import Part, Weights, estimate, gradient, loaded, prepare

pytestmark = pytest.mark.whole_runs
KINDS = pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])


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
