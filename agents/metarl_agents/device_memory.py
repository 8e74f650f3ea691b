"""What agents with a memory, and those that infer the task, take of a device's memory.

What they met lies in the machine's memory; on the device are the trials or transitions that they
learn from at the time, and what their networks compute of them. The factors were fitted to what
torch allocates on the CPU (`tests/test_agents_on_cards.py`), as numbers that a network has made at
one step when most are there: backwards as well as forwards.
"""

import math
from itertools import pairwise

from metarl.agent.device_memory import Need, Sizes
from metarl.foundation.files import MEBIBYTE
from metarl.learning.layers import even
from metarl.learning.memory_policy import action_numbers
from metarl_agents.pearl_settings import PearlSettings
from metarl_agents.trial_ppo import tasks_of_a_part
from metarl_agents.trial_settings import PPOSettings, RL2Settings, VariBADSettings
from metarl_agents.varibad_cells import cells_of

_RECURRENT = 15
"""Numbers for each of a gated recurrent unit's: 18 where its gradient is worked out by hand, as on
the CPU, 11 by torch's own."""
_RECURRENT_FORWARDS = 7
_BLOCK = 18
"""For each of a transformer's width, of every block."""
_AROUND_BLOCKS = 6
_FORWARDS_ONLY = 18
"""Likewise of the whole transformer, where no gradient is taken."""
_INPUT = 3
"""Copies of what a network sees."""
_ACTING = 4
"""Copies of what is remembered from step to step, while a step is taken."""
_ADAM = 4
"""Numbers for each parameter: itself, its slope, and what Adam remembers."""
_COPIES_TOLD = 2
"""Of what an encoder is told, and a decoder says."""
_OF_AN_ERROR = 4
"""Numbers of an error for each prefix and decoded step."""
_ESTIMATED = 4
"""Numbers of a step of PPO: its old probability and value, its advantage and target."""
_PER_STEP = 16
"""What PPO's losses make of them."""


def rl2_need(sizes: Sizes, settings: RL2Settings) -> Need:
    """Estimate what the PPO of RL² takes."""
    inputs = _inputs_of_rl2(sizes, settings)
    network = _heads(sizes) + _reader(settings) + _INPUT * settings.input_embedding
    if settings.memory == "gru":
        network += _RECURRENT * settings.memory_size
    else:
        network += (_BLOCK * settings.layers + _AROUND_BLOCKS) * settings.memory_size
    count = _trials(sizes, inputs) + _minibatches(sizes, settings, inputs, network)
    return Need(
        count,
        "take fewer tasks, trials, steps or workers, more minibatches or gradient_parts, or a "
        "smaller memory_size",
    )


def rl2_bytes_to_meet(sizes: Sizes, settings: RL2Settings) -> int:
    """Estimate what acting by RL² takes."""
    remembered, network = settings.memory_size, _RECURRENT_FORWARDS * settings.memory_size
    if settings.memory == "transformer":
        remembered *= 2 * settings.layers * settings.window
        network = _FORWARDS_ONLY * settings.memory_size
    inputs = _inputs_of_rl2(sizes, settings)
    return _acting(sizes, remembered, inputs, network + _heads(sizes), sizes.done)


def varibad_need(sizes: Sizes, settings: VariBADSettings) -> Need:
    """Estimate what VariBAD's PPO, and the steps of its encoder and decoder, take."""
    inputs = sizes.seen + 2 * settings.latent_size
    told = _COPIES_TOLD * (2 * sizes.seen + 2 * action_numbers(sizes.policy) + 3)
    size, steps = settings.memory_size, sizes.steps_of_a_trial
    encoded = sizes.trials * steps * (told + _RECURRENT_FORWARDS * size)
    learned = steps * (told + _reader(settings) + _RECURRENT * size) + _decoded(sizes, settings)
    count = _trials(sizes, inputs) + max(
        _minibatches(sizes, settings, inputs, _heads(sizes)),
        sizes.number * max(encoded, settings.model_trials * learned),
    )
    return Need(
        count,
        "take fewer tasks, trials, steps or workers, or smaller model_trials, elbo_prefixes, "
        "decoded_steps or memory_size",
    )


def varibad_bytes_to_meet(sizes: Sizes, settings: VariBADSettings) -> int:
    """Estimate what acting by VariBAD takes."""
    size = settings.memory_size
    inputs = 2 * sizes.seen + action_numbers(sizes.policy) + 2 * settings.latent_size
    return _acting(sizes, size, inputs, _RECURRENT_FORWARDS * size + _heads(sizes), sizes.done)


def pearl_need(sizes: Sizes, settings: PearlSettings) -> Need:
    """Estimate what PEARL's gradient steps take, with the transitions remembered at the end."""
    seen, done, hidden = sizes.seen, sizes.done, sizes.policy.hidden_sizes
    context = seen + done + 1 + seen * settings.infer_from_following
    columns = 2 * seen + done + 2
    remembered = _remembered(sizes, settings)
    filling = even(context) if context % 4 else 0  # a copy, for as long as it is made
    inputs = even(seen + settings.latent_size)
    critics, values = 2, int(settings.value_network)
    rows, told = settings.meta_batch * settings.batch_size, settings.context_size
    encoded = settings.meta_batch * told * (2 * context + _perceptron(settings.encoder_sizes))
    of_critics = encoded + rows * (critics * (inputs + done) + _perceptron(hidden, critics))
    of_policy = rows * (critics * (inputs + done) + _perceptron(hidden, 1 + critics + values))
    learned = rows * columns + max(of_critics, of_policy)
    weights = _weights((inputs + done, *hidden, 1))
    targets = values or critics
    networks = _ADAM * (sizes.parameters + (critics + values) * weights) + targets * weights
    most = remembered * (columns + context) + max(remembered * filling, learned) + networks
    return Need(
        sizes.number * most,
        "take a smaller replay_mebibytes, meta_batch, batch_size or context_size",
    )


def pearl_bytes_to_meet(sizes: Sizes, settings: PearlSettings) -> int:
    """Estimate what acting by PEARL takes."""
    latents = settings.latent_size
    inputs = 3 * sizes.seen + sizes.done
    network = 2 * max((*sizes.policy.hidden_sizes, *settings.encoder_sizes, 0))
    return _acting(sizes, 3 * latents + inputs, inputs, network, sizes.done + latents)


def _remembered(sizes: Sizes, settings: PearlSettings) -> int:
    """Give the most transitions that are remembered: all of a run, or as many as have room."""
    config = sizes.config
    of_an_iteration = sizes.trials * sizes.steps_of_a_trial
    iterations = config.iterations
    if config.env_steps:
        iterations = math.ceil(config.env_steps / of_an_iteration)
    columns = 2 * sizes.seen + sizes.done + 1 + settings.shaped_rewards
    room = settings.replay_mebibytes * MEBIBYTE // (4 * columns + 6)
    return min(room, iterations * of_an_iteration)


def _inputs_of_rl2(sizes: Sizes, settings: RL2Settings) -> int:
    told = sizes.seen * settings.observe_before
    return sizes.seen + action_numbers(sizes.policy) + 2 + told


def _reader(settings: RL2Settings | VariBADSettings) -> int:
    """Give what the layers make that read observations, actions and rewards."""
    widths = (
        settings.observation_embedding,
        settings.action_embedding,
        settings.reward_embedding,
    )
    return _INPUT * sum(widths)


def _heads(sizes: Sizes) -> int:
    """Give what policy and value make: two perceptrons, and the slopes of the widest layer."""
    return _perceptron(sizes.policy.hidden_sizes, 2)


def _perceptron(hidden: tuple[int, ...], count: int = 1) -> int:
    """Give what so many perceptrons make, and the slopes of the widest layer."""
    return count * sum(hidden) + 2 * max((*hidden, 0))


def _weights(sizes: tuple[int, ...]) -> int:
    return sum((before + 1) * after for before, after in pairwise(sizes))


def _decoded(sizes: Sizes, settings: VariBADSettings) -> int:
    """Give what the decoders make of a trial."""
    steps = sizes.steps_of_a_trial
    prefixes, decoded = (
        min(most or steps, steps) for most in (settings.elbo_prefixes, settings.decoded_steps)
    )
    widths, first = sum(settings.decoder_sizes), settings.decoder_sizes[0]
    if settings.reward_decoder == "cells":
        cells = cells_of(sizes.policy).count
        of_a_prefix, of_a_pair, widest = widths + 2 * cells, _OF_AN_ERROR, 0
    else:
        of_a_prefix, of_a_pair, widest = 0, widths + _OF_AN_ERROR, 2 * first
    if settings.decode_observations:
        of_a_pair += widths + 2 * sizes.seen
        widest = max(2 * first, 3 * sizes.seen)
    return prefixes * (of_a_prefix + decoded * (of_a_pair + widest))


def _trials(sizes: Sizes, inputs: int) -> int:
    """Give the bytes of all trials that `metarl_agents.trial_ppo` puts on a device."""
    steps = sizes.trials * sizes.steps_of_a_trial
    return steps * (sizes.number * (inputs + sizes.done + _ESTIMATED) + 1)


def _minibatches(sizes: Sizes, settings: PPOSettings, inputs: int, network: int) -> int:
    """Give the bytes of the minibatches whose gradients are taken at the same time.

    Args:
        sizes: of the iteration.
        settings: of the update.
        inputs: numbers that the network sees at a step.
        network: numbers that it makes of them.

    """
    of_a_part = min(sizes.tasks, tasks_of_a_part(settings, sizes.config))
    parts = math.ceil(sizes.tasks / of_a_part)
    trials = math.ceil(of_a_part * sizes.episodes / settings.minibatches)
    of_a_step = _INPUT * inputs + _PER_STEP + network
    steps = min(parts, sizes.processes) * trials * sizes.steps_of_a_trial
    return sizes.number * (steps * of_a_step + 2 * sizes.processes * sizes.parameters)


def _acting(sizes: Sizes, remembered: int, inputs: int, network: int, noise: int) -> int:
    """Give the bytes of a step of all trials, and of an episode's record where it lies there."""
    of_a_trial = sizes.number * (_ACTING * remembered + _INPUT * inputs + network)
    if sizes.config.physics != "mujoco":
        record = 8 * noise + (4 + 8) * sizes.seen + sizes.number * sizes.done + 13
        of_a_trial += sizes.config.horizon * record
    return sizes.trials * of_a_trial + 2 * sizes.number * sizes.parameters
