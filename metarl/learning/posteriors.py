"""Gaussian posteriors over what a task is, made of factors that single transitions give.

Rakelly et al. 2019 (PEARL, arXiv 1903.08254), section 4.2: the posterior over a latent z, given a
set of transitions, is the product of a Gaussian for each of them, without a prior's factor. In
natural parameters a product is a sum, so a posterior can be kept as two sums and grow with every
transition, in any order.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from metarl.learning.layers import Perceptron

SMALLEST_VARIANCE = 1e-7


@dataclass(frozen=True)
class Factors:
    """Gaussian factors, or the product of some, by their natural parameters."""

    precision: Float[Tensor, "*batch latent"]
    """1/σ²."""
    weighted_mean: Float[Tensor, "*batch latent"]
    """μ/σ²."""

    def product(self, dim: int) -> "Factors":
        """Multiply all factors along an axis."""
        return Factors(self.precision.sum(dim), self.weighted_mean.sum(dim))

    @property
    def mean(self) -> Float[Tensor, "*batch latent"]:
        """μ = σ² Σ μᵢ/σᵢ²."""
        return self.weighted_mean / self.precision

    @property
    def variance(self) -> Float[Tensor, "*batch latent"]:
        """σ² = 1 / Σ 1/σᵢ²."""
        return 1 / self.precision

    def sample(self, noise: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch latent"]:
        """Give z = μ + σ ε."""
        return self.mean + self.variance.sqrt() * noise


def kl_to_standard_normal(posterior: Factors) -> Float[Tensor, " *batch"]:
    """Give KL(N(μ, σ²) ‖ N(0, 1)) = ½ Σ (μ² + σ² − 1 − log σ²), summed over the latent."""
    mean, variance = posterior.mean, posterior.variance
    return 0.5 * (mean**2 + variance - 1 - torch.log(variance)).sum(-1)


class ContextEncoder(nn.Module):
    """Gives a Gaussian factor for each transition: a perceptron for mean and variance.

    The variance is softplus of what the last layer gives, at least `SMALLEST_VARIANCE`.

    Args:
        inputs: numbers that tell a transition, a multiple of four.
        hidden_sizes: widths of the hidden layers.
        latent_size: numbers of z.

    """

    def __init__(self, inputs: int, hidden_sizes: tuple[int, ...], latent_size: int) -> None:
        super().__init__()
        self.hidden = Perceptron(inputs, hidden_sizes, "relu")
        self.last = nn.Linear(self.hidden.output_size, 2 * latent_size)

    def forward(self, transitions: Float[Tensor, "*batch input"]) -> Factors:
        """Give each transition's factor."""
        mean, spread = self.last(self.hidden(transitions)).chunk(2, dim=-1)
        precision = 1 / functional.softplus(spread).clamp(min=SMALLEST_VARIANCE)
        return Factors(precision, mean * precision)
