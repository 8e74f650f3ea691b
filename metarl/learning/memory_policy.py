"""Policies with a memory: what was seen, done and paid goes through a recurrent network.

The input of a step is the observation, the action before it, the reward that this brought, and
whether an episode has just ended (Duan et al. 2016, section 2.2); at the start of a trial the last
three are 0. Two paths compute the same: `unroll` takes whole trials for training, `step` one step
of many trials for acting.

Bits: in `step` a row's numbers do not depend on the other rows, on one thread, where the rows fill
whole blocks (`metarl.learning.stacking.whole_blocks`) and every layer's inputs are a multiple of
four numbers (seen in torch 2.13). So sizes are multiples of four, and inputs that are not are
filled up with zeros.
"""

import math
from typing import Literal, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from metarl.foundation.seeding import Purpose, integer_seed
from metarl.learning.layers import Perceptron, embedding, even, filled
from metarl.learning.policies import (
    ACTIVATIONS,
    CategoricalPolicy,
    Distribution,
    GaussianPolicy,
    Policy,
    PolicySpec,
)
from metarl.learning.torsos import ImageTorso
from metarl.learning.transformer_memory import Transformer
from metarl.learning.unrolled_gru import unrolled_gru
from metarl.tasks.observations import flat_layout

_FIRST_GAIN = 0.01
"""Of the layer that gives the action's distribution: a new policy acts almost at random."""

MemoryKind = Literal["gru", "transformer"]
MemoryTensors = tuple[Tensor, ...]
"""What a memory carries from step to step, a row for each trial."""


@runtime_checkable
class ReaderShape(Protocol):
    """The settings that say how a memory's input is read."""

    @property
    def observation_embedding(self) -> int:
        """Width of the layer that reads observations; 0: they are taken as they are."""

    @property
    def action_embedding(self) -> int:
        """Width of the layer that reads the last action, likewise."""

    @property
    def reward_embedding(self) -> int:
        """Width of the layer that reads the last reward, likewise."""


@runtime_checkable
class MemoryShape(ReaderShape, Protocol):
    """The settings that say what a memory is."""

    @property
    def memory(self) -> MemoryKind:
        """A gated recurrent unit, or a transformer over the last steps."""

    @property
    def memory_size(self) -> int:
        """Numbers that a step of the memory gives."""

    @property
    def observe_directly(self) -> bool:
        """Whether policy and value see the observation beside the memory."""

    @property
    def observe_before(self) -> bool:
        """Whether the input also has the observation that the last action answered."""

    @property
    def input_embedding(self) -> int:
        """Width of a layer that reads the whole input together; 0: there is none."""

    @property
    def truncation(self) -> int:
        """Steps after which gradients are cut off; 0: they go through the whole trial."""

    @property
    def layers(self) -> int:
        """Blocks of a transformer."""

    @property
    def heads(self) -> int:
        """Of the attention in each of them."""

    @property
    def window(self) -> int:
        """Steps that a step of it attends to, itself included."""


class Gru(nn.Module):
    """A gated recurrent unit (Cho et al. 2014)."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.cell = nn.GRU(inputs, size)
        self.output_size = size

    def start(self, rows: int) -> MemoryTensors:
        """Give the memory before the first step: zeros."""
        like = next(self.cell.parameters())
        return (like.new_zeros(rows, self.output_size),)

    def step(
        self, inputs: Float[Tensor, "row input"], memory: MemoryTensors
    ) -> tuple[Float[Tensor, "row output"], MemoryTensors]:
        """Take one step."""
        hidden = torch.gru_cell(inputs, memory[0], *self.cell.parameters())
        return hidden, (hidden,)

    def unroll(
        self, inputs: Float[Tensor, "time trial input"], truncation: int = 0
    ) -> Float[Tensor, "time trial output"]:
        """Take all steps from the start; gradients are cut off after every `truncation` steps."""
        if inputs.device.type == "cpu":
            of_inputs, of_hidden, *biases = self.cell.parameters()
            return unrolled_gru(inputs, of_inputs, of_hidden, biases[0], biases[1], truncation)
        hidden = self.start(inputs.shape[1])[0][None]
        outputs = []
        for part in torch.split(inputs, truncation or len(inputs)):
            output, hidden = self.cell(part, hidden.detach())
            outputs.append(output)
        return torch.cat(outputs)


def memory_of(inputs: int, shape: MemoryShape) -> Gru | Transformer:
    """Give the memory that settings describe."""
    if shape.memory == "gru":
        return Gru(inputs, shape.memory_size)
    return Transformer(inputs, shape.memory_size, shape.layers, shape.heads, shape.window)


class TrialReader(nn.Module):
    """Makes of a step's observation, last action, last reward and end the input of a memory.

    Args:
        spec: spaces and layers of the policy.
        shape: how wide each part is read.
        observe_before: whether the observation before the last action stands behind the others.
        together: width of a layer that reads all of it; 0: there is none.

    """

    def __init__(
        self,
        spec: PolicySpec,
        shape: ReaderShape,
        *,
        observe_before: bool = False,
        together: int = 0,
    ) -> None:
        super().__init__()
        layout = spec.layout or flat_layout(spec.observation_space)
        self.torso = None
        if layout.has_images:
            self.torso = ImageTorso(layout, ACTIVATIONS[spec.activation], spec.image_scale)
        seen = self.torso.output_size if self.torso else layout.size
        actions = action_numbers(spec)
        self.observed_size = even(seen)
        activation = spec.activation
        self.observation = embedding(even(seen), shape.observation_embedding, activation)
        self.action = embedding(even(actions), shape.action_embedding, activation)
        self.reward = embedding(even(1), shape.reward_embedding, activation)
        self._sizes = [actions, 1, 1] + [layout.size] * observe_before
        width = shape.observation_embedding or even(seen)
        widths = (
            width * (1 + observe_before),
            shape.action_embedding or even(actions),
            shape.reward_embedding or even(1),
        )
        size = even(sum(widths) + 1)
        self.together = embedding(size, together, "relu")
        self.output_size = together or size

    def forward(
        self, observations: Float[Tensor, "*batch obs"], last: Float[Tensor, "*batch last"]
    ) -> tuple[Float[Tensor, "*batch input"], Float[Tensor, "*batch observed"]]:
        """Give the input of the memory, and what is seen, for who looks past the memory."""
        observed = self._observed(observations)
        action, reward, ended, *before = torch.split(last, self._sizes, dim=-1)
        parts = [
            self.observation(observed),
            self.action(filled(action)),
            self.reward(filled(reward)),
            ended,
            *(self.observation(self._observed(each)) for each in before),
        ]
        return self.together(filled(torch.cat(parts, -1))), observed

    def _observed(
        self, observations: Float[Tensor, "*batch obs"]
    ) -> Float[Tensor, "*batch observed"]:
        return filled(observations if self.torso is None else self.torso(observations))


class ActorCritic(nn.Module):
    """A policy and a value, side by side on the same features.

    Args:
        spec: spaces and layers of both.
        inputs: features, a multiple of four.

    Raises:
        TypeError: the action space is neither a Box nor Discrete.

    """

    def __init__(self, spec: PolicySpec, inputs: int) -> None:
        super().__init__()
        self.actor = Perceptron(inputs, spec.hidden_sizes, spec.activation)
        self.policy = _last_layer(spec, self.actor.output_size)
        self.critic = Perceptron(inputs, spec.hidden_sizes, spec.activation)
        self.value = nn.Linear(self.critic.output_size, 1)

    def distribution(self, features: Float[Tensor, "*batch feature"]) -> Distribution:
        """Give the action's distribution."""
        found: Distribution = self.policy(self.actor(features))
        return found

    def values(self, features: Float[Tensor, "*batch feature"]) -> Float[Tensor, " *batch"]:
        """Give the values."""
        found: Tensor = self.value(self.critic(features)).squeeze(-1)
        return found


class MemoryPolicy(nn.Module):
    """Reader, memory, and on them the action's distribution and the value.

    Args:
        spec: spaces and layers of policy and value.
        shape: of the memory.

    Raises:
        TypeError: the action space is neither a Box nor Discrete.

    """

    def __init__(self, spec: PolicySpec, shape: MemoryShape) -> None:
        super().__init__()
        self.reader = TrialReader(
            spec, shape, observe_before=shape.observe_before, together=shape.input_embedding
        )
        self.memory = memory_of(self.reader.output_size, shape)
        self._observe_directly = shape.observe_directly
        self._truncation = shape.truncation
        inputs = self.memory.output_size
        if shape.observe_directly:
            inputs += self.reader.observed_size
        self.heads = ActorCritic(spec, inputs)

    @property
    def policy(self) -> Policy:
        """The mathematics of the action's distribution."""
        return self.heads.policy

    def unroll(
        self,
        observations: Float[Tensor, "time trial obs"],
        last: Float[Tensor, "time trial last"],
    ) -> tuple[Distribution, Float[Tensor, "time trial"]]:
        """Give the action's distribution and the value at every step of whole trials."""
        inputs, observed = self.reader(observations, last)
        features = self._features(self.memory.unroll(inputs, self._truncation), observed)
        return self.heads.distribution(features), self.heads.values(features)

    def step(
        self,
        observations: Float[Tensor, "row obs"],
        last: Float[Tensor, "row last"],
        memory: MemoryTensors,
    ) -> tuple[Distribution, MemoryTensors]:
        """Give the action's distribution of one step, and the memory afterwards."""
        inputs, observed = self.reader(observations, last)
        output, memory = self.memory.step(inputs, memory)
        return self.heads.distribution(self._features(output, observed)), memory

    def _features(self, output: Tensor, observed: Tensor) -> Tensor:
        return torch.cat([output, observed], -1) if self._observe_directly else output


def _last_layer(spec: PolicySpec, inputs: int) -> Policy:
    actions, activation = spec.action_space, spec.activation
    if isinstance(actions, gym.spaces.Discrete):
        return CategoricalPolicy(inputs, int(actions.n), (), activation)
    if isinstance(actions, gym.spaces.Box):
        return GaussianPolicy(
            inputs, math.prod(actions.shape), (), activation, spec.initial_std, spec.minimum_std
        )
    raise TypeError(
        f"action space {actions} is not supported: a policy here acts in a Box or in a Discrete "
        "space; an action wrapper can turn several choices into one"
    )


def initialise(network: nn.Module, seed: int, remembered_steps: int = 0) -> None:
    """Draw all weights from the run's seed.

    Matrices are uniform after Glorot and Bengio (2010), those from a hidden state to the next
    orthogonal gate by gate (Saxe et al. 2014), biases 0, what layers are normalised to 1; the layer
    that gives an action's distribution is a hundredth of that.

    Args:
        network: its modules' parameters are overwritten.
        seed: the run's.
        remembered_steps: T; the biases of a recurrent unit's update gates are log u, u uniform
            between 1 and T − 1, so that what is seen is kept for times up to T (Tallec and Ollivier
            2018, section 2.2). 0: those are 0 too, and half of it is gone after a step.

    """
    generator = torch.Generator().manual_seed(integer_seed(seed, Purpose.INITIALISATION))
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.GRU):
            inputs, hidden, *biases = module.parameters()
            for gate in inputs.detach().chunk(3):
                nn.init.xavier_uniform_(gate, generator=generator)
            for gate in hidden.detach().chunk(3):
                nn.init.orthogonal_(gate, generator=generator)
            for bias in biases:
                nn.init.zeros_(bias)
            if remembered_steps:
                update = biases[0].detach().chunk(3)[1]
                update.uniform_(1, remembered_steps - 1, generator=generator).log_()
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
    for module in network.modules():
        if isinstance(module, GaussianPolicy | CategoricalPolicy):
            last = module.mean if isinstance(module, GaussianPolicy) else module.logits
            next(last.parameters()).detach().mul_(_FIRST_GAIN)


def action_numbers(spec: PolicySpec) -> int:
    """Say how many numbers tell an action: one for each element, or for each choice."""
    actions = spec.action_space
    if isinstance(actions, gym.spaces.Discrete):
        return int(actions.n)
    return math.prod(actions.shape or (1,))


def told_actions(
    spec: PolicySpec, actions: Shaped[np.ndarray, "..."]
) -> Float[np.ndarray, "... number"]:
    """Tell actions in numbers: as they are (…, act), or choices (…) one-hot."""
    if isinstance(spec.action_space, gym.spaces.Discrete):
        one_hot: np.ndarray = np.eye(int(spec.action_space.n))[actions]
        return one_hot
    return actions


def told_actions_there(
    spec: PolicySpec, actions: Shaped[Tensor, "*batch"]
) -> Float[Tensor, "*numbers"]:
    """Tell actions as `told_actions` does, in float64 tensors."""
    if isinstance(spec.action_space, gym.spaces.Discrete):
        return torch.nn.functional.one_hot(actions, int(spec.action_space.n)).double()
    return actions.double()


def what_came_before(
    told: Float[np.ndarray, "time trial number"],
    rewards: Float[np.ndarray, "time trial"],
    ended: Bool[np.ndarray, "time trial"],
    answered: Float[np.ndarray, "time trial obs"] | None = None,
) -> Float[np.ndarray, "time trial last"]:
    """Give for each step the last action, what it brought, and whether it ended an episode.

    Also across the ends of episodes; zeros at the start of the trial.

    Args:
        told: the actions, in numbers.
        rewards: that they brought.
        ended: whether they ended an episode.
        answered: the observations that they answered, where these are wanted behind the rest.

    """
    parts = [told, rewards[..., None], ended[..., None]]
    now = np.concatenate(parts if answered is None else [*parts, answered], axis=-1)
    before: np.ndarray = np.concatenate([np.zeros_like(now[:1]), now[:-1]])
    return before
