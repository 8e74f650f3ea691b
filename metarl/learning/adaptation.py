"""The inner loop and its Jacobian: any module, any loss, any number of steps.

Nothing here knows reinforcement learning. Parameters are a dictionary of tensors by name, a loss is
a function of parameters and one batch, and an inner step is

    θ_{k+1} = θ_k − α ∇L(θ_k; support_k)                    (Finn, Abbeel, Levine 2017, eq. 1)

with α a number or, learned, a tensor per parameter; where α has names, the parameters that it does
not name stay as they are (CAVIA, Zintgraf et al. 2019, eq. 3). The functions take one task;
`torch.func.vmap` turns them into functions of a batch of tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

Parameters = dict[str, Tensor]
"""A module's parameters, or a direction in their space, by name."""

LearningRate = float | Mapping[str, Tensor] | Mapping[str, float]
"""α: one number, or a number or tensor for each parameter that moves."""

Product = Callable[[Parameters], Parameters]
"""v ↦ M v, M a matrix in their space."""

B = TypeVar("B")


def inner_step(
    loss: Callable[[Parameters, B], Tensor],
    theta: Parameters,
    support: B,
    learning_rate: LearningRate,
    *,
    first_order: bool = False,
) -> Parameters:
    """Take one inner step θ − α ∇L(θ; support); differentiable in θ and α.

    Args:
        loss: a scalar function of parameters and batch.
        theta: the parameters to start from.
        support: the batch to adapt to.
        learning_rate: α.
        first_order: hold ∇L(θ) for a constant when the step is differentiated.

    """
    at = {name: value.detach() for name, value in theta.items()} if first_order else theta
    moving = [name for name in theta if _moves(learning_rate, name)]
    return _descend(theta, _gradient(loss, at, support, moving), learning_rate)


def _transforms_are_active() -> bool:
    """Tell whether this runs inside a transform of `torch.func`; yes, where torch does not say."""
    level = getattr(torch._C._functorch, "maybe_current_level", lambda: 0)
    return level() is not None


def _gradient(
    loss: Callable[[Parameters, B], Tensor], theta: Parameters, support: B, moving: Sequence[str]
) -> Parameters:
    """Give the parts of ∇L(θ; support) by the parameters that move, differentiable where θ is.

    By plain autograd unless a transform such as `vmap` is at work: the first use of
    `torch.func.grad` imports torch's compiler, which takes seconds and 100 MB in every worker.
    """
    if _transforms_are_active():

        def of_moving(own: Parameters) -> Tensor:
            return loss({**theta, **own}, support)

        slope_of: Parameters = grad(of_moving)({name: theta[name] for name in moving})
        return slope_of
    differentiable = torch.is_grad_enabled() and any(x.requires_grad for x in theta.values())
    at = dict(theta)
    for name in moving:
        value = theta[name]
        if not (differentiable and value.requires_grad):
            at[name] = value.detach().requires_grad_()
    with torch.enable_grad():
        slope = torch.autograd.grad(
            loss(at, support),
            tuple(at[name] for name in moving),
            create_graph=differentiable,
            materialize_grads=True,
        )
    return dict(zip(moving, slope, strict=True))


def adapt(
    loss: Callable[[Parameters, B], Tensor],
    theta: Parameters,
    supports: Sequence[B],
    learning_rates: Sequence[LearningRate],
    *,
    first_order: bool = False,
) -> Parameters:
    """Take one inner step on each support batch in turn; differentiable in θ and α.

    Args:
        loss: a scalar function of parameters and batch.
        theta: the parameters to start from.
        supports: a batch for each step.
        learning_rates: α for each step.
        first_order: hold the steps' gradients for constants when θ' is differentiated, so that
            ∂θ'/∂θ = I (first-order MAML, Finn et al. 2017, sec. 5.2).

    Raises:
        ValueError: `supports` and `learning_rates` differ in length.

    """
    return adaptation_path(loss, theta, supports, learning_rates, first_order=first_order)[-1]


def adaptation_path(
    loss: Callable[[Parameters, B], Tensor],
    theta: Parameters,
    supports: Sequence[B],
    learning_rates: Sequence[LearningRate],
    *,
    first_order: bool = False,
) -> list[Parameters]:
    """Adapt as `adapt` does; give the parameters before and after every step, θ_0 … θ_K."""
    path = [theta]
    for support, learning_rate in zip(supports, learning_rates, strict=True):
        path.append(inner_step(loss, path[-1], support, learning_rate, first_order=first_order))
    return path


@dataclass(frozen=True)
class AdaptationJacobian:
    """The Jacobian J = ∂θ_K/∂θ_0 of an adaptation, as products with vectors."""

    steps: Sequence[tuple[LearningRate, Product]]
    """α and v ↦ H v of each step."""
    place: Callable[[Parameters], Parameters]
    """Puts a vector where it is to be multiplied with H."""

    def product(self, vector: Parameters) -> Parameters:
        """Give J v."""
        for learning_rate, hessian in self.steps:
            vector = _descend(vector, hessian(self.place(vector)), learning_rate)
        return vector

    def transposed_product(self, vector: Parameters) -> Parameters:
        """Give Jᵀ g; with g = ∇L_outer(θ_K) this is the meta-gradient."""
        for learning_rate, hessian in reversed(self.steps):
            vector = _subtract(vector, hessian(self.place(_scaled(vector, learning_rate))))
        return vector


def linearise(
    loss: Callable[[Parameters, B], Tensor],
    path: Sequence[Parameters],
    supports: Sequence[B],
    learning_rates: Sequence[LearningRate],
    *,
    first_order: bool = False,
    place: Callable[[Parameters], Parameters] = lambda vector: vector,
) -> AdaptationJacobian:
    """Keep what is needed to multiply with the Jacobian of an adaptation along `path`.

    One step's Jacobian is I − α H with the symmetric Hessian H of the loss at θ_k, so

        J v  = Π (I − α_k H_k) v,  first step first;    Jᵀ g = Π (I − H_k α_k) g,  last step first,

    and each factor costs one Hessian-vector product: no derivative beyond the second is taken. The
    graph of each step's gradient is kept for repeated products, so memory grows linearly with the
    number of steps.

    Args:
        loss: a scalar function of parameters and batch.
        path: the parameters before each step, θ_0 … θ_{K−1}; a last θ_K is not used.
        supports: a batch for each step. They may be a sample of those that made the path, which
            gives the products of an estimate of J.
        learning_rates: α for each step.
        first_order: leave out α H, so that J = I (first-order MAML, Finn et al. 2017, sec. 5.2).
        place: puts a vector where in memory it is to be multiplied with H
        (`metarl.learning.stacking`).

    Raises:
        ValueError: `supports` and `learning_rates` differ in length.

    """
    steps: list[tuple[LearningRate, Product]] = []
    for step, (support, learning_rate) in enumerate(zip(supports, learning_rates, strict=True)):
        if first_order:
            break
        steps.append((learning_rate, hessian_product(loss, path[step], support)))
    return AdaptationJacobian(steps, place)


@dataclass(frozen=True)
class LearnedRateJacobian:
    """The Jacobian (J, J_α) of an adaptation by θ_0 and by the α of its steps, as products."""

    learning_rate: Parameters
    """α."""
    steps: Sequence[tuple[Parameters, Product]]
    """The slope and v ↦ H v of each step."""
    first_order: bool
    """Whether α H is left out."""
    place: Callable[[Parameters], Parameters]
    """Puts a vector where it is to be multiplied with H."""

    def product(self, vector: Parameters, of_rate: Parameters) -> Parameters:
        """Give J v + J_α w."""
        for slope, hessian in self.steps:
            moved = vector
            if not self.first_order:
                moved = _descend(vector, hessian(self.place(vector)), self.learning_rate)
            vector = _descend(moved, slope, of_rate)
        return vector

    def transposed_product(self, vector: Parameters) -> tuple[Parameters, Parameters]:
        """Give Jᵀ g and J_αᵀ g; with g = ∇L_outer(θ_K) the meta-gradients of θ_0 and α."""
        of_rate = {name: torch.zeros_like(value) for name, value in vector.items()}
        for slope, hessian in reversed(self.steps):
            of_rate = _descend(of_rate, slope, vector)
            if not self.first_order:
                scaled = self.place(_scaled(vector, self.learning_rate))
                vector = _subtract(vector, hessian(scaled))
        return vector, of_rate


def linearise_with_rate(
    loss: Callable[[Parameters, B], Tensor],
    path: Sequence[Parameters],
    supports: Sequence[B],
    learning_rate: Parameters,
    *,
    first_order: bool = False,
    place: Callable[[Parameters], Parameters] = lambda vector: vector,
) -> LearnedRateJacobian:
    """Keep what is needed to multiply with the Jacobian of an adaptation by θ_0 and a learned α.

    With one α, a tensor per parameter, for all steps (Li et al. 2017, Meta-SGD, eq. 2), and the
    slopes g_k = ∇L(θ_k; support_k),

        dθ_{k+1} = (I − α H_k) dθ_k − g_k ∘ dα.

    Args:
        loss: a scalar function of parameters and batch.
        path: the parameters before each step, θ_0 … θ_{K−1}.
        supports: a batch for each step, which may be a sample as for `linearise`.
        learning_rate: α.
        first_order: leave out α H.
        place: puts a vector where in memory it is to be multiplied with H.

    Raises:
        ValueError: `path` and `supports` differ in length.

    """
    steps = [
        slope_and_hessian_product(loss, theta, support, first_order=first_order)
        for theta, support in zip(path, supports, strict=True)
    ]
    return LearnedRateJacobian(learning_rate, steps, first_order, place)


def hessian_product(
    loss: Callable[[Parameters, B], Tensor], theta: Parameters, batch: B
) -> Product:
    """Give v ↦ H v, H the Hessian of the loss at θ; the graph of its gradient is kept."""
    return slope_and_hessian_product(loss, theta, batch)[1]


def slope_and_hessian_product(
    loss: Callable[[Parameters, B], Tensor],
    theta: Parameters,
    batch: B,
    *,
    first_order: bool = False,
) -> tuple[Parameters, Product]:
    """Give ∇L(θ) and v ↦ H v; the graph of the gradient is kept, unless H is left out as 0."""
    leaves = as_leaves(theta)
    with torch.enable_grad():
        value = loss(leaves, batch)
    slope = torch.autograd.grad(
        value, tuple(leaves.values()), create_graph=not first_order, materialize_grads=True
    )
    detached = {name: part.detach() for name, part in zip(leaves, slope, strict=True)}
    return detached, transposed_product(slope, leaves)


def as_leaves(theta: Parameters) -> Parameters:
    """Give the parameters as leaves of a new autograd graph."""
    return {name: value.detach().requires_grad_() for name, value in theta.items()}


def transposed_product(
    outputs: Sequence[Tensor], leaves: Parameters
) -> Callable[[Parameters | Sequence[Tensor]], Parameters]:
    """Give y ↦ Dᵀ y, D the derivative of `outputs` by `leaves`, whose graph is there.

    y has the outputs' order. (`torch.func.vjp` does the same, and is a quarter slower here.)
    """
    dependent = [index for index, output in enumerate(outputs) if output.requires_grad]
    return partial(_pull_back, outputs, dependent, leaves)


def _pull_back(
    outputs: Sequence[Tensor],
    dependent: Sequence[int],
    leaves: Parameters,
    cotangent: Parameters | Sequence[Tensor],
) -> Parameters:
    parts = tuple(cotangent.values()) if isinstance(cotangent, dict) else cotangent
    if not dependent:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    joined = paired([outputs[index] for index in dependent], [parts[index] for index in dependent])
    products = torch.autograd.grad(
        joined, tuple(leaves.values()), retain_graph=True, materialize_grads=True
    )
    return dict(zip(leaves, products, strict=True))


def paired(outputs: Sequence[Tensor], cotangents: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Give Σ ⟨output, cotangent⟩, whose derivative by each output is its cotangent, bit for bit.

    `torch.autograd.grad` takes cotangents too, and imports sympy for that: 0.4 s in every process.
    """
    products = [(one * other).sum() for one, other in zip(outputs, cotangents, strict=True)]
    return torch.stack(products).sum()


def flatten(parameters: Parameters) -> Float[Tensor, " parameter"]:
    """Join all parameters, in their order, into one vector."""
    return torch.cat([value.reshape(-1) for value in parameters.values()])


def unflatten(vector: Float[Tensor, " parameter"], like: Parameters) -> Parameters:
    """Cut a vector into parameters of the names and shapes of `like`."""
    pieces = torch.split(vector, [value.numel() for value in like.values()])
    return {
        name: piece.view(value.shape)
        for (name, value), piece in zip(like.items(), pieces, strict=True)
    }


def _moves(learning_rate: LearningRate, name: str) -> bool:
    return not isinstance(learning_rate, Mapping) or name in learning_rate


def _rate(learning_rate: LearningRate, name: str) -> float | Tensor:
    return learning_rate.get(name, 0.0) if isinstance(learning_rate, Mapping) else learning_rate


def _scaled(vector: Parameters, learning_rate: LearningRate) -> Parameters:
    return {name: _rate(learning_rate, name) * value for name, value in vector.items()}


def _subtract(vector: Parameters, other: Parameters) -> Parameters:
    return {name: value - other[name] for name, value in vector.items()}


def _descend(theta: Parameters, gradient: Parameters, learning_rate: LearningRate) -> Parameters:
    return {
        name: value - _rate(learning_rate, name) * gradient[name]
        if _moves(learning_rate, name)
        else value
        for name, value in theta.items()
    }
