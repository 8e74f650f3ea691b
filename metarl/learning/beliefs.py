"""Beliefs about what a task is: the variational mathematics of VariBAD (Zintgraf et al. 2020).

A belief is a Gaussian over a vector m that stands for the task, with a diagonal covariance; it is
told by one vector, the means and then the log-variances. The encoder gives the belief b_t at every
step t of a trial, from what was seen, done and paid before; b_0 is the prior N(0, I), which is a
vector of zeros. The decoder says of a sample of b_t what every step of the trial brings, those
before t and those after. For each prefix of the trial (equation 8 of the paper; the KL term as the
authors compute it, to the belief of the step before instead of the prior)

    ELBO_t = Σ_i E[log p(r_i | m)] − β KL(b_t ‖ b_{t−1}),  m ~ b_t,  KL(b_0 ‖ N(0, I)) = 0.

Everything here takes trials, prefixes and decoded steps at once, without a loop over any of them.
"""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from metarl.learning.memory_policy import Gru, ReaderShape, TrialReader
from metarl.learning.policies import PolicySpec

Belief = Float[Tensor, "*batch belief"]


@runtime_checkable
class EncoderShape(ReaderShape, Protocol):
    """The settings that say what an encoder is."""

    @property
    def memory_size(self) -> int:
        """Numbers in the hidden state."""

    @property
    def latent_size(self) -> int:
        """Numbers that stand for a task."""


def gaussian_kl(belief: Belief, other: Belief) -> Float[Tensor, " *batch"]:
    """Give KL(belief ‖ other) = ½ Σ log σ₁² − log σ₀² + (σ₀² + (μ₀ − μ₁)²) / σ₁² − 1."""
    mean, log_variance = belief.chunk(2, -1)
    other_mean, other_log_variance = other.chunk(2, -1)
    difference = log_variance - other_log_variance
    shift = (mean - other_mean) ** 2 * torch.exp(-other_log_variance)
    divergence: Tensor = 0.5 * (torch.exp(difference) - difference + shift - 1).sum(-1)
    return divergence


def kl_to_the_belief_before(
    beliefs: Float[Tensor, "time trial belief"],
) -> Float[Tensor, "time trial"]:
    """Give KL(b_t ‖ b_{t−1}); that of the first to the prior N(0, I)."""
    before = torch.cat([torch.zeros_like(beliefs[:1]), beliefs[:-1]])
    return gaussian_kl(beliefs, before)


def sampled(
    belief: Belief, noise: Float[Tensor, "*batch latent"]
) -> Float[Tensor, "*batch latent"]:
    """Give m = μ + σ ε."""
    mean, log_variance = belief.chunk(2, -1)
    latent: Tensor = mean + torch.exp(0.5 * log_variance) * noise
    return latent


@final
class BeliefEncoder(nn.Module):
    """Reads what was seen, done and paid, and gives the belief at every step.

    Args:
        spec: spaces of the policy.
        shape: widths.

    """

    def __init__(self, spec: PolicySpec, shape: EncoderShape) -> None:
        super().__init__()
        self.reader = TrialReader(spec, shape)
        self.memory = Gru(self.reader.output_size, shape.memory_size)
        self.belief = nn.Linear(shape.memory_size, 2 * shape.latent_size)

    def unroll(
        self,
        observations: Float[Tensor, "time trial obs"],
        last: Float[Tensor, "time trial last"],
    ) -> Float[Tensor, "time trial belief"]:
        """Give the belief before each action of whole trials; the first is the prior."""
        inputs, _ = self.reader(observations, last)
        beliefs: Tensor = self.belief(self.memory.unroll(inputs))
        return torch.cat([torch.zeros_like(beliefs[:1]), beliefs[1:]])

    def step(
        self,
        observations: Float[Tensor, "row obs"],
        last: Float[Tensor, "row last"],
        hidden: Float[Tensor, "row hidden"],
        begun: Bool[Tensor, "row 1"],
    ) -> tuple[Float[Tensor, "row belief"], Float[Tensor, "row hidden"]]:
        """Give the belief before one action, and the hidden state afterwards.

        Args:
            observations: what is seen.
            last: the last action, what it brought, and whether it ended an episode.
            hidden: from the step before.
            begun: whether there was a step before in this trial; else the belief is the prior.

        """
        inputs, _ = self.reader(observations, last)
        output, (hidden,) = self.memory.step(inputs, (hidden,))
        belief = self.belief(output)
        return torch.where(begun, belief, 0.0), hidden


@final
class StepDecoder(nn.Module):
    """Says of a task, and of what is known of a step, what the step brings: numbers.

    The first layer is a sum of a part for the task and a part for the step, so that only what
    follows is computed for every pair of them.

    Args:
        latents: numbers that stand for a task.
        known: numbers that are known of a step.
        hidden_sizes: widths of the hidden layers, at least one.
        outputs: numbers to say.

    """

    def __init__(
        self, latents: int, known: int, hidden_sizes: tuple[int, ...], outputs: int
    ) -> None:
        super().__init__()
        first, *rest = hidden_sizes
        self.of_task = nn.Linear(latents, first)
        self.of_step = nn.Linear(known, first, bias=False)
        self.layers = _rectified(first, rest, outputs)

    def forward(
        self,
        latents: Float[Tensor, "trial prefix latent"],
        known: Float[Tensor, "trial step known"],
    ) -> Float[Tensor, "trial prefix step output"]:
        """Give what each step of a trial brings by each of its samples."""
        pairs = self.of_task(latents).unsqueeze(2) + self.of_step(known).unsqueeze(1)
        said: Tensor = self.layers(torch.relu(pairs))
        return said


@final
class CellDecoder(nn.Module):
    """Says of a task how likely each cell of a finite world pays: a logit for each cell.

    Args:
        latents: numbers that stand for a task.
        hidden_sizes: widths of the hidden layers, at least one.
        cells: how many there are.

    """

    def __init__(self, latents: int, hidden_sizes: tuple[int, ...], cells: int) -> None:
        super().__init__()
        first, *rest = hidden_sizes
        self.of_task = nn.Linear(latents, first)
        self.layers = _rectified(first, rest, cells)

    def forward(
        self, latents: Float[Tensor, "trial prefix latent"]
    ) -> Float[Tensor, "trial prefix cell"]:
        """Give each sample's logits."""
        logits: Tensor = self.layers(torch.relu(self.of_task(latents)))
        return logits


def squared_errors(
    said: Float[Tensor, "trial prefix step number"], true: Float[Tensor, "trial step number"]
) -> Float[Tensor, "trial prefix step"]:
    """Give the squared error, the mean over what is said of a step."""
    return ((said - true.unsqueeze(1)) ** 2).mean(-1)


def cell_errors(
    logits: Float[Tensor, "trial prefix cell"],
    cells: Int[Tensor, "trial step"],
    pays: Bool[Tensor, "trial step"],
) -> Float[Tensor, "trial prefix step"]:
    """Give −log p of whether the cell that a step reached has paid (Bernoulli), in nats."""
    prefixes = logits.shape[1]
    reached = logits.gather(-1, cells.unsqueeze(1).expand(-1, prefixes, -1))
    paid = pays.to(logits.dtype).unsqueeze(1).expand_as(reached)
    return functional.binary_cross_entropy_with_logits(reached, paid, reduction="none")


@dataclass(frozen=True)
class Drawn:
    """Which prefixes and which decoded steps of each trial count, and the noise of the samples."""

    prefixes: Int[Tensor, "trial prefix"]
    """How many steps were taken before; where the trial has fewer, any number."""
    prefix_counts: Bool[Tensor, "trial prefix"]
    steps: Int[Tensor, "trial step"]
    """Decoded steps, likewise."""
    step_counts: Bool[Tensor, "trial step"]
    noise: Float[Tensor, "trial prefix latent"]


@dataclass(frozen=True)
class Evidence:
    """What the terms of the ELBO come to: sums over a trial's prefixes, means over trials."""

    reconstruction: Tensor
    """Σ_t Σ_i of the decoder's errors."""
    kl: Tensor
    """Σ_t KL(b_t ‖ b_{t−1}), in nats."""


def chosen_beliefs(
    beliefs: Float[Tensor, "time trial belief"], drawn: Drawn
) -> Float[Tensor, "trial prefix belief"]:
    """Give the beliefs of the drawn prefixes."""
    return of_each_trial(beliefs, drawn.prefixes)


def of_each_trial(
    values: Float[Tensor, "time trial number"], places: Int[Tensor, "trial place"]
) -> Float[Tensor, "trial place number"]:
    """Give what stands at some places of each trial."""
    wide = places.unsqueeze(-1).expand(-1, -1, values.shape[-1])
    return values.transpose(0, 1).gather(1, wide)


def evidence(
    beliefs: Float[Tensor, "time trial belief"],
    errors: Float[Tensor, "trial prefix step"],
    drawn: Drawn,
) -> Evidence:
    """Sum the terms of the ELBO over the drawn prefixes and steps.

    Args:
        beliefs: of the encoder, at every step.
        errors: of the decoder, −log p up to a constant, for samples of the drawn prefixes.
        drawn: which of them count.

    """
    divergences = kl_to_the_belief_before(beliefs).T.gather(1, drawn.prefixes)
    counts = drawn.prefix_counts.unsqueeze(2) & drawn.step_counts.unsqueeze(1)
    trials = len(drawn.prefixes)
    return Evidence(
        torch.where(counts, errors, 0.0).sum() / trials,
        torch.where(drawn.prefix_counts, divergences, 0.0).sum() / trials,
    )


def _rectified(inputs: int, hidden_sizes: list[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden_sizes:
        layers += [nn.Linear(inputs, size), nn.ReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
