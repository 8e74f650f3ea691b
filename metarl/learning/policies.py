"""Policies: modules called with their parameters, and the mathematics of their distributions.

A policy's `forward` maps observations to the parameters of an action distribution, a tuple of
tensors. Everything that depends on the family of distributions is a pure function of such tuples:
log-probability, KL divergence, Fisher information, sampling from given noise.
"""

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, final

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from metarl.foundation.seeding import Purpose, integer_seed
from metarl.learning.adaptation import Parameters
from metarl.learning.torsos import ImageTorso
from metarl.tasks.observations import Layout, flat_layout

Distribution = tuple[Tensor, ...]
"""Gaussian: (mean, log_std), both (…, act). Categorical: (logits,), (…, choice)."""

_EVEN = 4
"""Numbers in single precision that take 16 bytes."""

Activation = Literal["tanh", "relu"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}

Layer = tuple[Float[np.ndarray, "_ _ ..."], Float[np.ndarray, " _"]]
"""Weights, by outputs and inputs, and biases."""


class Policy(nn.Module, ABC):
    """A family of action distributions, with a network for its parameters."""

    torso: ImageTorso | None
    """What reads images, in front of the other layers."""
    context: nn.Parameter | None
    """Numbers that the layers see beside every observation; None: none."""

    @property
    def one_task_at_a_time(self) -> bool:
        """Whether tasks are to be computed one by one.

        Convolutions gain nothing by stacks; and where a layer's weights do not fill whole blocks of
        16 bytes, what autograd makes of a stack of them begins anywhere, which changes last bits.
        """
        uneven = any(
            layer.weight.numel() % _EVEN for layer in self.modules() if isinstance(layer, nn.Linear)
        )
        return self.torso is not None or uneven

    @abstractmethod
    def forward(self, observations: Float[Tensor, "*batch obs"]) -> Distribution:
        """Give the action distribution at each observation.

        Called with a stack of parameters (`metarl.learning.stacking`), that is with a leading task
        axis on each of them, it takes observations (task, row, obs) and gives each task's own.
        """

    def read(self, observations: Float[Tensor, "*batch obs"]) -> Float[Tensor, "*batch input"]:
        """Give what the layers see of observations: beside them the context, if there is any."""
        seen = observations if self.torso is None else self.torso(observations)
        if self.context is None:
            return seen
        context: Tensor = self.context
        if context.dim() == 2:  # a stack of tasks: one for all rows of a task
            context = context.unsqueeze(1)
        return torch.cat([seen, context.expand(*seen.shape[:-1], -1)], dim=-1)

    @abstractmethod
    def log_prob(self, distribution: Distribution, actions: Tensor) -> Float[Tensor, " *batch"]:
        """Give log π(a), summed over the elements of an action."""

    @abstractmethod
    def kl(self, old: Distribution, new: Distribution) -> Float[Tensor, " *batch"]:
        """Give KL(old ‖ new)."""

    @abstractmethod
    def entropy(self, distribution: Distribution) -> Float[Tensor, " *batch"]:
        """Give the entropy, in nats."""

    @abstractmethod
    def fisher_product(self, distribution: Distribution, tangent: Distribution) -> Distribution:
        """Multiply with the Fisher information in the space of the distribution's parameters."""

    @abstractmethod
    def sample(self, distribution: Distribution, noise: Tensor) -> Tensor:
        """Turn noise into actions."""

    @abstractmethod
    def mode(self, distribution: Distribution) -> Tensor:
        """Give the most likely actions."""

    @abstractmethod
    def draw_noise(
        self, generator: np.random.Generator, horizon: int
    ) -> Float[np.ndarray, "time *act"]:
        """Draw the noise of one episode's actions."""


@final
class GaussianPolicy(Policy):
    """π(a|s) = N(μ(s), diag σ²): a perceptron for μ, a free log σ for each element of the action.

    log σ does not depend on the state, is a parameter like any other (so the inner loop adapts
    it), and is held at or above log(minimum_std).
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: tuple[int, ...],
        activation: Activation,
        initial_std: float,
        minimum_std: float,
        torso: ImageTorso | None = None,
        context_size: int = 0,
    ) -> None:
        super().__init__()
        self.torso = torso
        inputs = observation_size + context_size
        self.mean = _perceptron(inputs, hidden_sizes, action_size, activation)
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(initial_std)))
        self.context = _context(context_size)
        self.minimum_log_std = math.log(minimum_std)

    def forward(self, observations: Float[Tensor, "*batch obs"]) -> Distribution:
        """Give (mean, log_std), each (…, act)."""
        mean = self.mean(self.read(observations))
        log_std = self.log_std.clamp(min=self.minimum_log_std)
        if log_std.dim() == 2:  # a stack of tasks: one for all rows of a task
            log_std = log_std.unsqueeze(1)
        return mean, log_std.expand_as(mean)

    def log_prob(
        self, distribution: Distribution, actions: Float[Tensor, "*batch act"]
    ) -> Float[Tensor, " *batch"]:
        """Give log N(a; μ, σ²), summed over the elements of the action."""
        mean, log_std = distribution
        standardised = (actions - mean) * torch.exp(-log_std)
        return (-0.5 * standardised**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def kl(self, old: Distribution, new: Distribution) -> Float[Tensor, " *batch"]:
        """Give KL(old ‖ new) = Σ log(σ₁/σ₀) + (σ₀² + (μ₀ − μ₁)²) / (2 σ₁²) − ½."""
        (old_mean, old_log_std), (mean, log_std) = old, new
        ratio = torch.exp(2 * (old_log_std - log_std))
        shift = ((old_mean - mean) * torch.exp(-log_std)) ** 2
        return (log_std - old_log_std + 0.5 * (ratio + shift) - 0.5).sum(-1)

    def entropy(self, distribution: Distribution) -> Float[Tensor, " *batch"]:
        """Give Σ log σ + ½ log(2πe)."""
        return (distribution[1] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def fisher_product(self, distribution: Distribution, tangent: Distribution) -> Distribution:
        """Multiply with diag(1/σ²) in μ and diag(2) in log σ."""
        return tangent[0] * torch.exp(-2 * distribution[1]), 2 * tangent[1]

    def sample(
        self, distribution: Distribution, noise: Float[Tensor, "*batch act"]
    ) -> Float[Tensor, "*batch act"]:
        """Give a = μ + σ ε."""
        mean, log_std = distribution
        return mean + torch.exp(log_std) * noise

    def mode(self, distribution: Distribution) -> Float[Tensor, "*batch act"]:
        """Give μ."""
        return distribution[0]

    def draw_noise(
        self, generator: np.random.Generator, horizon: int
    ) -> Float[np.ndarray, "time act"]:
        """Draw standard normal ε, (time, act)."""
        return generator.standard_normal((horizon, self.log_std.numel()))


@final
class CategoricalPolicy(Policy):
    """π(a|s) = softmax(logits(s)): a perceptron for the logits of a discrete action."""

    def __init__(
        self,
        observation_size: int,
        choices: int,
        hidden_sizes: tuple[int, ...],
        activation: Activation,
        torso: ImageTorso | None = None,
        context_size: int = 0,
    ) -> None:
        super().__init__()
        self.torso = torso
        inputs = observation_size + context_size
        self.logits = _perceptron(inputs, hidden_sizes, choices, activation)
        self.context = _context(context_size)

    def forward(self, observations: Float[Tensor, "*batch obs"]) -> Distribution:
        """Give (logits,), (…, choice)."""
        return (self.logits(self.read(observations)),)

    def log_prob(
        self, distribution: Distribution, actions: Int[Tensor, " *batch"]
    ) -> Float[Tensor, " *batch"]:
        """Give the log-softmax of the chosen action."""
        log_probs = torch.log_softmax(distribution[0], dim=-1)
        return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def kl(self, old: Distribution, new: Distribution) -> Float[Tensor, " *batch"]:
        """Give KL(old ‖ new) = Σ p₀ (log p₀ − log p₁)."""
        old_log_probs = torch.log_softmax(old[0], dim=-1)
        log_probs = torch.log_softmax(new[0], dim=-1)
        return (torch.exp(old_log_probs) * (old_log_probs - log_probs)).sum(-1)

    def entropy(self, distribution: Distribution) -> Float[Tensor, " *batch"]:
        """Give −Σ p log p."""
        log_probs = torch.log_softmax(distribution[0], dim=-1)
        return -(torch.exp(log_probs) * log_probs).sum(-1)

    def fisher_product(self, distribution: Distribution, tangent: Distribution) -> Distribution:
        """Multiply with diag(p) − p pᵀ in the logits."""
        probabilities = torch.softmax(distribution[0], dim=-1)
        weighted = probabilities * tangent[0]
        return (weighted - probabilities * weighted.sum(-1, keepdim=True),)

    def sample(
        self, distribution: Distribution, noise: Float[Tensor, " *batch"]
    ) -> Int[Tensor, " *batch"]:
        """Invert the cumulative distribution at uniform noise in [0, 1)."""
        cumulative = torch.softmax(distribution[0], dim=-1).cumsum(-1)
        # Rounding may leave the last sum below 1: the last choice takes what is left.
        return (cumulative[..., :-1] <= noise.unsqueeze(-1)).sum(-1)

    def mode(self, distribution: Distribution) -> Int[Tensor, " *batch"]:
        """Give the choice of the largest logit."""
        return distribution[0].argmax(-1)

    def draw_noise(
        self, generator: np.random.Generator, horizon: int
    ) -> Float[np.ndarray, " time"]:
        """Draw uniform noise in [0, 1), (time,)."""
        return generator.random(horizon)


@dataclass(frozen=True)
class PolicySpec:
    """Everything needed to build a policy, light enough to send to a worker."""

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    hidden_sizes: tuple[int, ...]
    activation: Activation
    initial_std: float
    minimum_std: float
    layout: Layout | None = None
    """What the numbers of an observation are; None: one vector."""
    image_scale: float = 0.0
    """What the elements of images are divided by; 0: the largest that their space allows."""
    context_size: int = 0
    """Numbers of a context that the layers see beside every observation, 0 at first."""

    def build(self, seed: int) -> Policy:
        """Build the policy that suits the spaces, its weights drawn from `seed`.

        Images go through convolutions first (`metarl.learning.torsos`). Actions of a Box are one
        vector in the order of its elements, choices are counted from 0;
        `metarl.tasks.action_map.ActionMap` turns them into the environment's. Weights are uniform
        after Glorot and Bengio (2010), biases 0, as in Finn et al. 2017.

        Raises:
            TypeError: the spaces are not a one-dimensional Box of observations and a Box or
                Discrete of actions.

        """
        actions = self.action_space
        layout = self.layout or flat_layout(self.observation_space)
        torso = None
        if layout.has_images:
            torso = ImageTorso(layout, ACTIVATIONS[self.activation], self.image_scale)
        size = torso.output_size if torso else layout.size
        policy: Policy
        if isinstance(actions, gym.spaces.Discrete):
            choices = int(actions.n)
            policy = CategoricalPolicy(
                size, choices, self.hidden_sizes, self.activation, torso, self.context_size
            )
        elif isinstance(actions, gym.spaces.Box):
            policy = GaussianPolicy(
                size,
                math.prod(actions.shape),
                self.hidden_sizes,
                self.activation,
                self.initial_std,
                self.minimum_std,
                torso,
                self.context_size,
            )
        else:
            raise TypeError(
                f"action space {actions} is not supported: a policy here acts in a Box or in a "
                "Discrete space; an action wrapper can turn several choices into one"
            )
        _initialise(policy, integer_seed(seed, Purpose.INITIALISATION))
        return policy


def parameters_of(policy: Policy) -> Parameters:
    """Give a copy of the module's own parameters, detached."""
    return {name: value.detach().clone() for name, value in policy.named_parameters()}


def layers_of(parameters: Parameters) -> list[Layer]:
    """Give weights and biases of each layer of a policy, first to last, as plain arrays."""
    names = [name.removesuffix("weight") for name in parameters if name.endswith(".weight")]
    return [
        (parameters[f"{name}weight"].cpu().numpy(), parameters[f"{name}bias"].cpu().numpy())
        for name in names
    ]


def with_parameters(policy: Policy, parameters: Parameters) -> Policy:
    """Give a policy that has these parameters for its own, which then cannot be differentiated.

    For many calls with the same parameters: `functional_call` takes longer than a small network.
    """
    bound = copy.deepcopy(policy)
    for name, value in parameters.items():
        module, _, own = name.rpartition(".")
        setattr(bound.get_submodule(module), own, nn.Parameter(value, requires_grad=False))
    return bound


CONTEXT = "context"
"""The name of a policy's context among its parameters."""


def without_context(parameters: Parameters) -> Parameters:
    """Give the parameters of the policy without a context that acts alike.

    The first layer sees the context φ beside x: W (x, φ) + b = W_x x + (b + W_φ φ).
    """
    if CONTEXT not in parameters:
        return parameters
    context = parameters[CONTEXT]
    plain = {name: value for name, value in parameters.items() if name != CONTEXT}
    (first,) = (name for name in plain if name.endswith(".0.weight"))
    bias = f"{first.removesuffix('weight')}bias"
    of_inputs, of_context = torch.split(
        plain[first], [plain[first].shape[1] - len(context), len(context)], dim=1
    )
    return {**plain, first: of_inputs.clone(), bias: plain[bias] + of_context @ context}


def _context(size: int) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(size)) if size else None


class _Linear(nn.Linear):
    """A linear layer; with a stack of weights, one for each task. (`vmap` takes twice the time.)"""

    def forward(self, inputs: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Give W x + b."""
        if self.weight.dim() == 2:
            return super().forward(inputs)
        return torch.baddbmm(self.bias.unsqueeze(1), inputs, self.weight.mT)


def _perceptron(
    inputs: int, hidden_sizes: tuple[int, ...], outputs: int, activation: Activation
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden_sizes:
        layers += [_Linear(inputs, size), ACTIVATIONS[activation]()]
        inputs = size
    layers.append(_Linear(inputs, outputs))
    return nn.Sequential(*layers)


def _initialise(policy: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for module in policy.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            assert module.bias is not None
            nn.init.xavier_uniform_(module.weight, generator=generator)
            nn.init.zeros_(module.bias)
