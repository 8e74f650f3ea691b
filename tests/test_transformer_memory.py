"""A transformer as memory: step by step it is the whole sequence at once, window by window."""

import contextlib
import dataclasses
import math

import numpy as np
import pytest
import torch
from building import pool, run, tiny_config, without_times
from torch import nn

import metarl
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.learning.transformer_memory import Transformer, TransformerBlock, rotated, rotation
from metarl_agents import rl2

STEPS = 12
WINDOWS = (1, 3, 12, 20)
SETTINGS = {
    "memory": "transformer",
    "memory_size": 16,
    "heads": 2,
    "window": 4,
    "gradient_parts": 3,
    "minibatches": 2,
}


def transformer(window, layers=2, dtype=torch.float64):
    """A transformer of two heads, eight numbers wide, whose biases are not 0 either."""
    torch.manual_seed(1)
    made = Transformer(4, 8, layers, 2, window).to(dtype)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.3 * torch.randn(weight.shape, dtype=dtype)
    return made


def inputs(trials=3, steps=STEPS, dtype=torch.float64):
    return torch.randn(
        steps, trials, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    ).to(dtype)


def config_of(settings=None, **changes):
    """Bandits: trials of three episodes of five pulls, longer than the window."""
    small = {
        "agent": "rl2",
        "horizon": 5,
        "adaptation_steps": 2,
        "tasks_per_batch": 5,
        "episodes_per_task": 2,
        "iterations": 2,
        "hidden_sizes": (),
        "discount": 0.9,
    }
    settings = {**SETTINGS, **(settings or {})}
    return tiny_config("bernoulli-bandit", **{**small, **changes}, agent_settings=settings)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@torch.no_grad()
def test_step_by_step_is_the_whole_sequence_at_once(window, dtype, tolerance):
    memory = transformer(window, dtype=dtype)
    seen = inputs(dtype=dtype)
    carried, outputs = memory.start(3), []
    for now in seen:
        output, carried = memory.step(now, carried)
        outputs.append(output)
    assert torch.allclose(torch.stack(outputs), memory.unroll(seen), atol=tolerance)
    assert carried[2].tolist() == [[STEPS]] * 3


@torch.no_grad()
def test_rows_side_by_side_may_be_of_different_ages():
    memory, seen = transformer(4), inputs(2, 2 * STEPS)
    older = memory.start(1)
    for now in seen[:STEPS, :1]:
        _, older = memory.step(now, older)
    carried = tuple(torch.cat(parts) for parts in zip(older, memory.start(1), strict=True))
    outputs = []
    for time in range(STEPS):
        now = torch.stack([seen[STEPS + time, 0], seen[time, 1]])
        output, carried = memory.step(now, carried)
        outputs.append(output)
    stepped, whole = torch.stack(outputs), memory.unroll(seen)
    assert torch.allclose(stepped[:, 0], whole[STEPS:, 0], atol=1e-12)
    assert torch.allclose(stepped[:, 1], whole[:STEPS, 1], atol=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
@torch.no_grad()
def test_a_block_is_that_of_a_naive_loop(window):
    """Pairs of numbers are complex ones, turned by how far back a step lies, not by when it was."""
    memory, seen = transformer(window, layers=1), inputs(1)
    block = memory.blocks[0]
    assert isinstance(block, TransformerBlock)

    def normalised(values, norm):
        return (values - values.mean()) / torch.sqrt(values.var(correction=0) + norm.eps) * (
            norm.weight
        ) + norm.bias

    streams = [memory.reader.weight @ now + memory.reader.bias for now in seen[:, 0]]
    normed = [normalised(each, block.attention_norm) for each in streams]
    asked = [(block.asked.weight @ each + block.asked.bias).view(3, 2, 4) for each in normed]
    speeds = torch.tensor([1.0, 10_000.0**-0.5], dtype=torch.float64)
    for now in range(STEPS):
        back = range(max(0, now - window + 1), now + 1)
        heads = []
        for head in range(2):
            query = torch.complex(*asked[now][0, head].view(2, 2))
            scores = torch.stack(
                [
                    (
                        query
                        * torch.complex(*asked[past][1, head].view(2, 2)).conj()
                        * torch.exp(1j * speeds * (now - past))
                    ).real.sum()
                    / math.sqrt(4)
                    for past in back
                ]
            )
            shares = scores.exp() / scores.exp().sum()
            heads.append(
                sum(share * asked[past][2, head] for share, past in zip(shares, back, strict=True))
            )
        stream = streams[now] + block.attended.weight @ torch.cat(heads) + block.attended.bias
        first, _, second = block.feed
        hidden = first.weight @ normalised(stream, block.feed_norm) + first.bias
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        stream = stream + second.weight @ hidden + second.bias
        expected = normalised(stream, memory.norm)
        assert torch.allclose(memory.unroll(seen)[now, 0], expected, atol=1e-10)


def test_rotating_keeps_lengths_and_tells_distances_alone():
    vectors = torch.randn(2, 1, 8, dtype=torch.float64)

    def products(*times):
        query, key = rotated(vectors, rotation(torch.tensor(times, dtype=torch.float64), 8))
        return (query * key).sum()

    turned = rotated(vectors, rotation(torch.tensor([3.0, 700.0]).double(), 8))
    assert torch.allclose(turned.norm(dim=-1), vectors.norm(dim=-1))
    assert torch.allclose(products(7.0, 4.0), products(903.0, 900.0))
    assert not torch.allclose(products(7.0, 4.0), products(7.0, 5.0))


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_a_step_is_seen_as_far_as_the_window_reaches_and_never_before(layers):
    memory, seen = transformer(3, layers), inputs()
    before = memory.unroll(seen)
    changed = seen.clone()
    changed[4] += 1.0
    moved = (memory.unroll(changed) - before).abs().amax((1, 2)) > 0
    assert moved.tolist() == [4 <= time <= 4 + 2 * layers for time in range(STEPS)]


@pytest.mark.parametrize("window", [3, 40])
def test_padding_changes_neither_outputs_nor_gradients(window):
    memory, seen = transformer(window), inputs()
    padded = torch.cat([seen, torch.full_like(seen, 7.0)])
    weights = list(memory.parameters())
    whole, longer = memory.unroll(seen), memory.unroll(padded)[:STEPS]
    assert torch.allclose(whole, longer, atol=1e-12)
    slopes = torch.autograd.grad(whole.square().sum(), weights)
    others = torch.autograd.grad(longer.square().sum(), weights)
    for one, other in zip(slopes, others, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("window", [3, 40])
def test_gradients_equal_finite_differences(window):
    memory, seen = transformer(window), inputs()
    target = torch.randn(STEPS, 3, 8, dtype=torch.float64)
    slopes = torch.autograd.grad((memory.unroll(seen) * target).sum(), list(memory.parameters()))
    with torch.no_grad():
        theta = nn.utils.parameters_to_vector(memory.parameters())
        direction = torch.randn_like(theta)

        def loss(far):
            nn.utils.vector_to_parameters(theta + far * direction, memory.parameters())
            return (memory.unroll(seen) * target).sum().item()

        difference = (loss(1e-6) - loss(-1e-6)) / 2e-6
    slope = torch.cat([each.flatten() for each in slopes]) @ direction
    assert slope.item() == pytest.approx(difference, rel=1e-6)


def test_no_trials_are_no_trials():
    """A minibatch may have none, where a part of the meta-batch has few."""
    assert transformer(3).unroll(inputs(0)).shape == (STEPS, 0, 8)


def test_gradients_are_never_cut_off():
    with pytest.raises(ValueError, match="truncation = 3"):
        transformer(3).unroll(inputs(), 3)


@pytest.mark.parametrize(("size", "heads", "window"), [(16, 4, 5), (20, 5, 3), (64, 2, 33)])
def test_rows_do_not_depend_on_their_company(size, heads, window):
    """In the last bit, also where windows have overflowed, and in other places of a batch."""
    config = config_of({"memory_size": size, "heads": heads, "window": window}, hidden_sizes=(32,))
    experiment = build_experiment(config)
    actor = experiment.actor(experiment.first_state().agent)
    generator = np.random.default_rng(1)
    kept = (200, 2, window, size)
    memory = (
        generator.standard_normal(kept).astype(np.float32),
        generator.standard_normal(kept).astype(np.float32),
        generator.integers(0, 3 * window, (200, 1)).astype(np.float32),
        generator.standard_normal((200, 7)),
    )
    seen, noise = generator.standard_normal((200, 1)), generator.random(200)
    before = tuple(part.copy() for part in memory)
    together, after = actor.choose(seen, memory, noise)
    for rows in (slice(3, 4), slice(17, 49), slice(5, 200), slice(0, 33)):
        own = tuple(part[rows] for part in memory)
        alone, its = actor.choose(seen[rows], own, noise[rows])
        assert np.array_equal(alone, together[rows])
        for one, other in zip(its, after, strict=True):
            assert np.array_equal(one, other[rows])
    # What a caller holds is its own: the memory before is as it was.
    assert all(np.array_equal(*pair) for pair in zip(memory, before, strict=True))
    assert not np.array_equal(after[0], before[0])


def test_bits_do_not_depend_on_workers():
    config = config_of()
    state, records = run(config)
    for workers in (1, 2):
        other, others = run(config, workers)
        assert without_times(others) == without_times(records)
        assert other.agent.theta.tobytes() == state.agent.theta.tobytes()


def test_the_first_ratios_of_an_update_are_1():
    """What acted is what is trained, also where trials are longer than the window."""
    config = config_of(dtype="float64")
    experiment = build_experiment(config)
    state = experiment.first_state().agent
    noisy = state.theta + 0.2 * np.random.default_rng(1).standard_normal(len(state.theta))
    state = dataclasses.replace(state, theta=noisy)
    with pool(experiment) as workers:
        tasks, key = experiment.sample_tasks(0)
        workers.map(rl2.meet, state, tasks, key)
        shard = workers._shard
        network = rl2.network_of(shard.spec.policy, config).double()
        rl2.put(network, state.theta)
        trials = shard.trials
        assert len(trials.rewards) == 15
        sequence = [torch.tensor(part) for part in rl2.inputs_of(shard, state, trials)]
        with torch.no_grad():
            whole, _ = network.unroll(*sequence)
            memory = network.memory.start(len(trials))
            for time, now in enumerate(zip(*sequence, strict=True)):
                stepped, memory = network.step(*now, memory)
                assert torch.allclose(stepped[0], whole[0][time], atol=1e-12)


def test_a_state_after_some_episodes_goes_on_where_they_ended():
    config = config_of(test_tasks=3, test_episodes_per_task=2, test_adaptation_steps=2)
    experiment = build_experiment(config)
    state = experiment.first_state().agent
    tasks = experiment.held_out_tasks({}, 3)
    with contextlib.closing(experiment.test_shards().build()) as shard:
        states = experiment.states_after(shard, state, tasks)
        assert shard.key[0] == Split.TEST
        for first, second, last in states:
            taken = [each.others["memory/02"].item() for each in (first, second, last)]
            assert taken == [0, 5, 10]
            assert last.others["memory/00"].shape == (1, 2, 4, 16)


def test_an_exported_policy_carries_its_window(tmp_path):
    trained = metarl.train(
        "bernoulli-bandit",
        agent="rl2",
        **SETTINGS,
        run_dir=tmp_path / "run",
        workers=0,
        iterations=1,
        tasks_per_batch=2,
        episodes_per_task=1,
        horizon=5,
        adaptation_steps=1,
        discount=0.9,
        hidden_sizes=(),
    )
    policy = trained.adapt(task=[0.5] * 5, steps=1)
    copy = metarl.load_policy(policy.save(tmp_path / "policy.safetensors"))
    state = other = None
    for _ in range(7):
        action, state = policy.predict(np.zeros((1, 1)), state, deterministic=True)
        same, other = copy.predict(np.zeros((1, 1)), other, deterministic=True)
        assert np.array_equal(action, same)
        state, other = (each.observe(s, 1.0, False) for each, s in ((policy, state), (copy, other)))
    assert all(np.array_equal(*pair) for pair in zip(state, other, strict=True))
    assert state[2].item() == 5 + 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory_size": 20}, "memory_size = 20 must be a multiple of 4 heads = 8"),
        ({"window": 0}, "window = 0 must be at least 1"),
        ({"layers": 0}, "layers = 0 must be at least 1"),
        ({"heads": 0}, "heads = 0 must be at least 1"),
        ({"truncation": 5}, "truncation = 5 is of a recurrent memory"),
        ({"memory": "gru"}, 'is of a transformer; set memory = "transformer" as well'),
        ({"memory": "lstm"}, "memory = 'lstm' must be one of gru, transformer"),
    ],
)
def test_nonsense_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_experiment(config_of(settings))
