"""The networks of supervised problems, as functions of parameters and inputs.

Normalisation uses the statistics of the batch at hand, in training and at test, as the authors'
code does. A test is therefore *transductive*: a query example is judged together with the others
of its query set, and its prediction depends on them.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Purpose, integer_seed
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import CONTEXT

_EPSILON = 1e-5


@dataclass(frozen=True)
class Network:
    """Fully connected layers, or convolutions; its parameters are an argument.

    Convolutions are 3×3 of stride 2; their last features are averaged over the image and mapped
    linearly to the outputs (Finn et al. 2017, section 5.2, after Vinyals et al. 2016).
    """

    convolutional: bool
    input_shape: tuple[int, ...]
    outputs: int
    hidden_sizes: tuple[int, ...]
    """Widths of the hidden layers, or the filters of the convolutions."""
    batch_norm: bool
    """Normalise before every ReLU; the layers then need no bias of their own."""
    context_size: int = 0
    """Numbers of a context φ that all examples of a task share, 0 at first. Fully connected layers
    see it beside the input. Of convolutions, the third or last has its features scaled by
    1 + W φ and shifted by V φ before the ReLU (Perez et al. 2018; Zintgraf et al. 2019)."""

    def initial(self, seed: int) -> Parameters:
        """Draw parameters as torch initialises its layers, from the run's seed."""
        theta: Parameters = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(seed, Purpose.INITIALISATION))
            if self.convolutional:
                first = self.input_shape[0]
            else:
                first = math.prod(self.input_shape) + self.context_size
            sizes = (first, *self.hidden_sizes)
            for number, (before, after) in enumerate(pairwise(sizes)):
                layer = (
                    nn.Conv2d(before, after, 3) if self.convolutional else nn.Linear(before, after)
                )
                theta[f"hidden{number}.weight"] = layer.weight.detach()
                if self.batch_norm:
                    theta[f"hidden{number}.scale"] = torch.ones(after)
                    theta[f"hidden{number}.shift"] = torch.zeros(after)
                elif layer.bias is not None:
                    theta[f"hidden{number}.bias"] = layer.bias.detach()
            last = nn.Linear(sizes[-1], self.outputs)
            theta = {**theta, "last.weight": last.weight.detach(), "last.bias": last.bias.detach()}
            if not self.context_size:
                return theta
            if self.convolutional:
                features = 2 * self.hidden_sizes[self._modulated]
                modulation = nn.Linear(self.context_size, features, bias=False)
                theta["modulation.weight"] = modulation.weight.detach()
            return {**theta, CONTEXT: torch.zeros(self.context_size)}

    @property
    def _modulated(self) -> int:
        """Which convolution's features a context scales and shifts."""
        return min(2, len(self.hidden_sizes) - 1)

    def __call__(
        self, theta: Parameters, inputs: Float[Tensor, "example *input"]
    ) -> Float[Tensor, "example output"]:
        """Give the outputs for each input."""
        x = inputs if self.convolutional else inputs.flatten(1)
        if self.context_size and not self.convolutional:
            x = torch.cat([x, theta[CONTEXT].expand(len(x), -1)], dim=1)
        for number in range(len(self.hidden_sizes)):
            weight, bias = theta[f"hidden{number}.weight"], theta.get(f"hidden{number}.bias")
            if self.convolutional:
                x = functional.conv2d(x, weight, bias, stride=2, padding=1)
            else:
                x = functional.linear(x, weight, bias)
            if self.batch_norm:
                x = normalised(x, theta[f"hidden{number}.scale"], theta[f"hidden{number}.shift"])
            if self.context_size and self.convolutional and number == self._modulated:
                scale, shift = (theta["modulation.weight"] @ theta[CONTEXT]).chunk(2)
                x = x * (1 + scale).view(-1, 1, 1) + shift.view(-1, 1, 1)
            x = torch.relu(x)
        if self.convolutional:
            x = x.mean((2, 3))
        return functional.linear(x, theta["last.weight"], theta["last.bias"])


def normalised(
    x: Float[Tensor, "example feature *place"],
    scale: Float[Tensor, " feature"],
    shift: Float[Tensor, " feature"],
) -> Float[Tensor, "example feature *place"]:
    """Normalise each feature over examples and places of this batch (Ioffe and Szegedy 2015)."""
    over = [axis for axis in range(x.ndim) if axis != 1]
    each = (-1, *[1] * (x.ndim - 2))
    centred = x - x.mean(over, keepdim=True)
    inverse = torch.rsqrt((centred * centred).mean(over, keepdim=True) + _EPSILON)
    return centred * (inverse * scale.view(each)) + shift.view(each)


def network_of(config: SupervisedConfig, input_shape: tuple[int, ...], outputs: int) -> Network:
    """Give the network that a configuration asks for.

    Raises:
        ConfigError: it does not fit the inputs.

    """
    convolutional = config.network == "convolutional"
    if convolutional and len(input_shape) != 3:
        raise ConfigError(
            f"network = {config.network!r} needs images, but an input of problem "
            f"{config.problem!r} has shape {input_shape}"
        )
    return Network(
        convolutional,
        input_shape,
        outputs,
        config.hidden_sizes,
        config.batch_norm,
        config.context_parameters,
    )
