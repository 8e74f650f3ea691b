"""Soft actor-critic: a squashed Gaussian policy, its critics, and the losses of both.

Haarnoja et al. 2018 (arXiv 1801.01290): two Q functions, a value function and its slowly moving
target. The later form (arXiv 1812.05905) has targets of the Q functions instead and learns the
entropy's weight. Tensors in, scalars out: where transitions come from, and what a latent beside the
observation means, is the caller's.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from metarl.learning.layers import Perceptron, even, filled
from metarl.learning.policies import Activation

LOG_STD_BOUNDS = (-20.0, 2.0)
_LAST_BOUND = 3e-3
_FIRST_BIAS = 0.1


@dataclass(frozen=True)
class Squashed:
    """What a squashed Gaussian policy says of some observations."""

    action: Float[Tensor, "*batch act"]
    """tanh(u), u = μ + σ ε; between −1 and 1."""
    log_prob: Float[Tensor, " *batch"]
    """log π of the action, summed over its elements."""
    mean: Float[Tensor, "*batch act"]
    """μ, before it is squashed."""
    log_std: Float[Tensor, "*batch act"]
    """log σ."""


class SquashedGaussian(nn.Module):
    """π: a perceptron for μ and log σ of a Gaussian, whose samples are squashed by tanh."""

    def __init__(
        self, inputs: int, actions: int, hidden_sizes: tuple[int, ...], activation: Activation
    ) -> None:
        super().__init__()
        self.hidden = Perceptron(inputs, hidden_sizes, activation)
        self.mean = nn.Linear(self.hidden.output_size, actions)
        self.log_std = nn.Linear(self.hidden.output_size, actions)

    def parameters_at(
        self, inputs: Float[Tensor, "*batch input"]
    ) -> tuple[Float[Tensor, "*batch act"], Float[Tensor, "*batch act"]]:
        """Give μ and log σ."""
        features = self.hidden(inputs)
        return self.mean(features), self.log_std(features).clamp(*LOG_STD_BOUNDS)

    def forward(
        self, inputs: Float[Tensor, "*batch input"], noise: Float[Tensor, "*batch act"]
    ) -> Squashed:
        """Sample actions from given noise; differentiable."""
        mean, log_std = self.parameters_at(inputs)
        before = mean + log_std.exp() * noise
        log_prob = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 − tanh²u), without the loss of digits that its own terms have.
        slope = 2 * (math.log(2) - before - functional.softplus(-2 * before))
        return Squashed(torch.tanh(before), (log_prob - slope).sum(-1), mean, log_std)


class Critic(nn.Module):
    """A number for each row of inputs."""

    def __init__(self, inputs: int, hidden_sizes: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        self.hidden = Perceptron(inputs, hidden_sizes, activation)
        self.last = nn.Linear(self.hidden.output_size, 1)

    def forward(self, inputs: Float[Tensor, "*batch input"]) -> Float[Tensor, " *batch"]:
        """Give the values."""
        found: Tensor = self.last(self.hidden(inputs)).squeeze(-1)
        return found


class TwinCritics(nn.Module):
    """Two Q functions of an input and an action."""

    def __init__(
        self, inputs: int, actions: int, hidden_sizes: tuple[int, ...], activation: Activation
    ) -> None:
        super().__init__()
        size = even(inputs + actions)
        self.first = Critic(size, hidden_sizes, activation)
        self.second = Critic(size, hidden_sizes, activation)

    def forward(
        self, inputs: Float[Tensor, "*batch input"], actions: Float[Tensor, "*batch act"]
    ) -> tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]]:
        """Give both values."""
        both = filled(torch.cat([inputs, actions], dim=-1))
        return self.first(both), self.second(both)


def critics_loss(
    values: tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]],
    rewards: Float[Tensor, " *batch"],
    following: Float[Tensor, " *batch"],
    terminal: Float[Tensor, " *batch"],
    discount: float,
) -> Float[Tensor, ""]:
    """Give the squared errors of both Q functions, each a mean, summed.

    Args:
        values: Q(s, a) of both.
        rewards: scaled.
        following: the value of what came next, which is not differentiated.
        terminal: 1 where nothing came next.
        discount: γ.

    """
    target = (rewards + discount * (1 - terminal) * following).detach()
    return functional.mse_loss(values[0], target) + functional.mse_loss(values[1], target)


def value_loss(
    values: Float[Tensor, " *batch"],
    critics: Float[Tensor, " *batch"],
    log_probs: Float[Tensor, " *batch"],
    entropy_weight: float | Tensor,
) -> Float[Tensor, ""]:
    """Give the squared error of V, whose target is Q of the policy's action − α log π."""
    return functional.mse_loss(values, (critics - entropy_weight * log_probs).detach())


def policy_loss(
    chosen: Squashed,
    critics: Float[Tensor, " *batch"],
    entropy_weight: float | Tensor,
    regularisation: float = 0.0,
) -> Float[Tensor, ""]:
    """Give mean (α log π − Q), and a weight times the means of μ² and of (log σ)².

    Args:
        chosen: the policy's actions; Q is differentiated through them.
        critics: the smaller Q of them.
        entropy_weight: α.
        regularisation: the weight, as in the code of Rakelly et al. 2019.

    """
    loss = (entropy_weight * chosen.log_prob - critics).mean()
    return loss + regularisation * ((chosen.mean**2).mean() + (chosen.log_std**2).mean())


def move_towards(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move a target's parameters: ψ̄ ← (1 − τ) ψ̄ + τ ψ."""
    with torch.no_grad():
        torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), rate)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw weights: hidden ones uniform within 1/√inputs, biases 0.1; last ones within 0.003, 0.

    Hidden layers are those of a `Perceptron`; Lillicrap et al. 2016 (arXiv 1509.02971), section 7.
    """
    hidden = {
        id(layer)
        for module in network.modules()
        if isinstance(module, Perceptron)
        for layer in module.layers
    }
    for module in network.modules():
        if not isinstance(module, nn.Linear):
            continue
        inner = id(module) in hidden
        bound = 1 / math.sqrt(module.in_features) if inner else _LAST_BOUND
        nn.init.uniform_(module.weight, -bound, bound, generator=generator)
        nn.init.constant_(module.bias, _FIRST_BIAS if inner else 0.0)
