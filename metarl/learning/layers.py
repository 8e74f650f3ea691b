"""Layers of sizes that keep bits: every input is a multiple of four numbers, filled up with zeros.

`metarl.learning.memory_policy` says why.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from metarl.learning.policies import ACTIVATIONS, Activation

_EVEN = 4


class Perceptron(nn.Module):
    """Hidden layers, each filled up with zeros to a multiple of four numbers."""

    def __init__(self, inputs: int, hidden_sizes: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for size in hidden_sizes:
            self.layers.append(nn.Linear(inputs, size))
            inputs = even(size)
        self._activation = ACTIVATIONS[activation]()
        self.output_size = inputs

    def forward(self, inputs: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch output"]:
        """Give what comes out of the last hidden layer."""
        for layer in self.layers:
            inputs = filled(self._activation(layer(inputs)))
        return inputs


def even(size: int) -> int:
    """Round up to a multiple of four."""
    return -(-size // _EVEN) * _EVEN


def filled(inputs: Float[Tensor, "*batch number"]) -> Float[Tensor, "*batch more"]:
    """Fill up with zeros to a multiple of four numbers."""
    missing = even(inputs.shape[-1]) - inputs.shape[-1]
    return functional.pad(inputs, (0, missing)) if missing else inputs


def embedding(inputs: int, size: int, activation: Activation) -> nn.Module:
    """Give a layer of a width; 0: none, so that inputs pass as they are."""
    if not size:
        return nn.Identity()
    return nn.Sequential(nn.Linear(inputs, size), ACTIVATIONS[activation]())
