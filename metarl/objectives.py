"""The losses of policy-gradient meta-learning, for one task: tensors in, a scalar out.

Each takes the policy module, its parameters as a dictionary, and one task's steps. "Mean" is over
the task's own steps; a mean over tasks is the caller's.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from metarl.adaptation import Parameters, transposed_derivative
from metarl.policies import Distribution, Policy
from metarl.trajectories import Batch


def act(
    policy: Policy, theta: Parameters, observations: Float[Tensor, "*batch obs"]
) -> Distribution:
    """Give the action distribution of the policy with parameters θ at each observation."""
    distribution: Distribution = functional_call(policy, theta, (observations,))
    return distribution


def reinforce_loss(policy: Policy) -> Callable[[Parameters, Batch], Tensor]:
    """Give the inner loss L(θ) = −mean log π_θ(a|s) A (Williams 1992; Finn et al. 2017, eq. 4).

    The log-probability is summed over the elements of an action.
    """

    def loss(theta: Parameters, batch: Batch) -> Float[Tensor, ""]:
        log_probs = policy.log_prob(act(policy, theta, batch.observations), batch.actions)
        return -(log_probs * batch.advantages).mean()

    return loss


def surrogate_loss(
    log_probs: Float[Tensor, " step"],
    old_log_probs: Float[Tensor, " step"],
    advantages: Float[Tensor, " step"],
) -> Float[Tensor, ""]:
    """Give −mean (π_θ(a|s) / π_old(a|s)) A (Schulman et al. 2015, eq. 14)."""
    return -(torch.exp(log_probs - old_log_probs) * advantages).mean()


def fisher_product(
    policy: Policy, theta: Parameters, observations: Float[Tensor, "step obs"]
) -> Callable[[Parameters], Parameters]:
    """Give v ↦ F v, F the mean Fisher information of the policy at θ over the observations.

    F = mean Dᵀ M D, with D the derivative of the distribution's parameters by θ and M the Fisher
    information in the space of the distribution's parameters. It equals the Hessian
    of the mean KL divergence from the policy at θ, without a second derivative of the network.
    """

    def distribution(at: Parameters) -> Distribution:
        return act(policy, at, observations)

    outputs, pull_back = transposed_derivative(distribution, theta)
    # Dᵀ is linear: its own reverse-mode product is D, and needs no new pass through the network.
    zeros = tuple(torch.zeros_like(part) for part in outputs)
    _, push_forward = transposed_derivative(pull_back, zeros)
    steps = observations.shape[0]

    def product(vector: Parameters) -> Parameters:
        cotangent = policy.fisher_product(outputs, push_forward(vector))
        return pull_back(tuple(part / steps for part in cotangent))

    return product
