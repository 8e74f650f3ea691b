"""Adam on tensors that stay where they are, so that a CUDA graph can hold its step.

Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1; at step t ≥ 1, with gradient g,

    m ← m + (1 − β₁) (g − m),  v ← β₂ v + (1 − β₂) g²,
    θ ← θ − α / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).

On the CPU it has the bits of `torch.optim.Adam`. That one computes the two numbers that depend on t
in Python, and a graph would repeat those of its capture; or on the device, with other roundings.
Here they are computed in Python too, and handed over in a tensor.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Changes parameters in place; keeps what it remembers of their gradients.

    Args:
        parameters: of one type, on one device.
        learning_rate: α.

    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.means = [torch.zeros_like(each) for each in self.parameters]
        """m of each parameter."""
        self.squares = [torch.zeros_like(each) for each in self.parameters]
        """v of each parameter."""
        self.steps = 0
        """t of the last step."""
        self._learning_rate = learning_rate

    @property
    def moments(self) -> dict[str, list[Tensor]]:
        """What is remembered of each parameter, by the names that checkpoints have for it."""
        return {"exp_avg": self.means, "exp_avg_sq": self.squares}

    def next_scales(self) -> tuple[float, float]:
        """Begin the next step: give its −α / (1 − β₁ᵗ) and √(1 − β₂ᵗ)."""
        self.steps += 1
        first, second = (1 - beta**self.steps for beta in BETAS)
        return -(self._learning_rate / first), second**0.5

    @torch.no_grad()
    def descend(self, slopes: Sequence[Tensor], scales: Float[Tensor, "2"]) -> None:
        """Take a step.

        Args:
            slopes: the gradient by each parameter.
            scales: what `next_scales` gave, of the parameters' type and on their device.

        """
        means, squares, slopes = self.means, self.squares, list(slopes)
        step_size, root = scales.unbind()
        # One call for all parameters is a few kernels on a GPU; on the CPU it is one after another.
        torch._foreach_lerp_(means, slopes, 1 - BETAS[0])
        torch._foreach_mul_(squares, BETAS[1])
        torch._foreach_addcmul_(squares, slopes, slopes, 1 - BETAS[1])
        widths = list(torch._foreach_sqrt(squares))
        torch._foreach_div_(widths, root)
        torch._foreach_add_(widths, EPSILON)
        moves = list(torch._foreach_mul(means, step_size))
        torch._foreach_div_(moves, widths)
        torch._foreach_add_(self.parameters, moves)
