"""Policies that read images: against plain torch, in stacks, in curvature and over workers."""

import dataclasses

import numpy as np
import pytest
import torch
from building import run, tiny_config, without_times
from gymnasium import spaces
from strange_spaces import Choices, Line, Picture, PictureAndPlace, identify
from torch import nn
from torch.nn import functional

from metarl.learning.objectives import act
from metarl.learning.policies import PolicySpec, parameters_of
from metarl.learning.returns import baseline_values
from metarl.learning.stacking import one_by_one, stack_parameters
from metarl.learning.torsos import coarse, split
from metarl.tasks.action_map import ActionMap
from metarl.tasks.observations import Image, Layout, Part, flat_observations, observation_layout

LAYOUT = Layout(
    (
        Part("before", (2,)),
        Part("hwc", (5, 6, 3), Image(5, 6, 3, False, 255.0)),
        Part("between", (1,)),
        Part("chw", (2, 4, 4), Image(4, 4, 2, True, float("inf"))),
    )
)


def policy_spec(layout, **changes):
    observations = spaces.Box(-np.inf, np.inf, (layout.size,))
    fields = {"action_space": spaces.Box(-1, 1, (2,)), "hidden_sizes": (8,), "activation": "tanh"}
    return PolicySpec(
        observations,
        **{**fields, "initial_std": 1.0, "minimum_std": 1e-6, "layout": layout, **changes},
    )


def observations_of(layout, *batch):
    generator = torch.Generator().manual_seed(3)
    return 200 * torch.rand(*batch, layout.size, generator=generator)


def test_images_are_cut_out_turned_and_scaled():
    flat = observations_of(LAYOUT, 4)
    vectors, (hwc, chw) = split(LAYOUT, flat)
    torch.testing.assert_close(torch.cat(vectors, -1), flat[:, [0, 1, 92]])
    for row, channel, column in ((0, 0, 0), (4, 2, 5), (1, 1, 2)):
        place = 2 + (row * 6 + column) * 3 + channel
        torch.testing.assert_close(hwc[:, channel, row, column], flat[:, place] / 255)
    assert torch.equal(chw.flatten(1), flat[:, 93:])  # without a bound nothing is known
    assert torch.equal(split(LAYOUT, flat, scale=10.0)[1][1], chw / 10)


def test_the_network_is_the_convolutions_then_the_layers_written_out():
    policy = policy_spec(LAYOUT).build(1)
    flat = observations_of(LAYOUT, 3)
    vectors, images = split(LAYOUT, flat)
    features = list(vectors)
    for convolutions, image in zip(policy.torso.convolutions, images, strict=True):
        for layer, stride in ((convolutions[0], 1), (convolutions[2], 2)):
            image = torch.tanh(
                functional.conv2d(image, layer.weight, layer.bias, stride=stride, padding=1)
            )
        features.append(image.flatten(1))
    (mean, _) = policy(flat)
    torch.testing.assert_close(mean, policy.mean(torch.cat(features, 1)))
    bound = (6 / (9 * 3 + 9 * 16)) ** 0.5  # Glorot and Bengio 2010, equation 16
    weight = policy.torso.convolutions[0][0].weight.detach()
    assert 0.9 * bound < float(weight.abs().max()) <= bound


def test_large_images_go_through_the_network_of_mnih_et_al():
    image = Image(84, 84, 4, True, 255.0)
    policy = policy_spec(Layout((Part("screen", (4, 84, 84), image),))).build(1)
    shapes = [tuple(it.weight.shape) for it in policy.modules() if isinstance(it, nn.Conv2d)]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)]
    assert policy.torso.output_size == 3136  # 7 × 7 × 64, as in their Methods
    assert policy(torch.zeros(2, 4 * 84 * 84))[0].shape == (2, 2)
    smallest = Image(36, 40, 1, False, 255.0)
    policy = policy_spec(Layout((Part("screen", (36, 40, 1), smallest),))).build(1)
    assert policy(torch.zeros(36 * 40))[0].shape == (2,)


@pytest.mark.parametrize("actions", [spaces.Box(-1, 1, (2,)), spaces.Discrete(3)])
def test_stacks_of_parameters_equal_one_by_one(actions):
    policy = policy_spec(LAYOUT, action_space=actions).build(1)
    thetas = [
        {name: value + 0.01 * task for name, value in parameters_of(policy).items()}
        for task in range(3)
    ]
    flat = observations_of(LAYOUT, 3, 5)
    stack = stack_parameters(thetas)
    together = act(policy, stack, flat)
    apart = one_by_one(lambda theta, rows: act(policy, theta, rows))(stack, flat)
    for part, of_each in zip(together, apart, strict=True):
        torch.testing.assert_close(part, of_each)
        for task, theta in enumerate(thetas):
            alone = act(policy, theta, flat[task])
            assert torch.equal(of_each[task], alone[0 if part is together[0] else 1])


def test_convolutions_have_the_same_bits_in_any_company():
    policy = policy_spec(LAYOUT).build(1)
    thetas = [{k: v + 0.1 * t for k, v in parameters_of(policy).items()} for t in range(3)]
    flat, stack = observations_of(LAYOUT, 3, 32), stack_parameters(thetas)
    names = [name for name in stack if name.startswith("torso.")]

    def features(parameters, rows):
        own = {name.removeprefix("torso."): parameters[name] for name in names}
        return torch.func.functional_call(policy.torso, own, (rows,))

    together = features(stack, flat)
    for task in range(3):
        own = stack_parameters(thetas[task : task + 1])
        assert torch.equal(together[task], features(own, flat[task : task + 1])[0])


def test_the_baseline_sees_means_over_a_grid_and_vectors_as_they_are():
    image = Image(8, 9, 2, False, 10.0)
    layout = Layout((Part("a", (2,)), Part("screen", (8, 9, 2), image)))
    flat = observations_of(layout, 3, 5)
    seen = coarse(layout, flat)
    assert seen.shape == (3, 5, 2 + 2 * 16)
    assert torch.equal(seen[..., :2], flat[..., :2].double())
    pixels = flat[..., 2:].double().reshape(3, 5, 8, 9, 2) / 10
    # Cell (1, 3) of channel 1: rows 2 and 3, columns from floor(3 · 9/4) to ceil(4 · 9/4).
    expected = pixels[:, :, 2:4, 6:9, 1].mean((2, 3))
    torch.testing.assert_close(seen[..., 2 + 16 + 4 + 3], expected)
    assert baseline_values(seen, torch.ones(3, 5).double(), torch.ones(3, 5).bool()).shape == (3, 5)
    small = Layout((Part("screen", (3, 3, 1), Image(3, 3, 1, False, 1.0)),))
    pixels = torch.rand(1, 2, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(coarse(small, pixels), pixels.double())
    plain = observations_of(layout, 3, 5)
    assert coarse(Layout((Part("a", (146,)),)), plain) is plain


def test_one_and_two_workers_give_the_same_bits():
    # Three tasks: one worker has them all, two have one and two.
    config = tiny_config(env_id=identify(PictureAndPlace), iterations=2, inner_learning_rate=0.2)
    one, records = run(config)
    two, others = run(config, workers=2)
    assert without_times(records) == without_times(others)
    assert np.array_equal(one.agent.theta, two.agent.theta)
    assert any(record["step_accepted"] for record in records)


def test_discrete_actions_begin_at_the_spaces_first():
    chosen = np.array([0, 2, 1])
    assert ActionMap(spaces.Discrete(3, start=-4), 1.0)(chosen).tolist() == [-4, -2, -3]


def test_actions_of_several_dimensions_get_their_shape():
    low = np.array([[-1.0, 0.0], [2.0, -np.inf]])
    space = spaces.Box(low, np.array([[1.0, 4.0], [3.0, np.inf]]), dtype=np.float64)
    mapped = ActionMap(space, 2.0)(np.array([[2.0, 0.0, -1.0, 5.0], [9.0, 9.0, 9.0, 9.0]]))
    np.testing.assert_allclose(mapped, [[[1, 2], [2.25, 5]], [[1, 4], [3, 9]]])


def test_layouts_without_images_change_no_bit():
    """The same numbers as one vector and as a dictionary give the same policy."""
    layout = Layout((Part("a", (1,)), Part("b", (2,))))
    plain = dataclasses.replace(policy_spec(layout), layout=None).build(4)
    parts = policy_spec(layout).build(4)
    assert not parts.one_task_at_a_time
    flat = observations_of(layout, 6)
    assert torch.equal(plain(flat)[0], parts(flat)[0])


def test_a_real_environment_brings_its_layout():
    for kind, images in ((Line, False), (Choices, False), (Picture, True)):
        assert observation_layout(flat_observations(kind(), "x")).has_images == images
