"""The losses of policy-gradient meta-learning, for one task: tensors in, a scalar out.

Each takes the policy module, its parameters as a dictionary, and one task's steps. "Mean" is over
the task's own steps; a mean over tasks is the caller's.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from metarl.learning.adaptation import Parameters, as_leaves, paired, transposed_product
from metarl.learning.policies import Distribution, Policy
from metarl.learning.trajectories import Batch


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
    return partial(_reinforce_loss, policy)


def _reinforce_loss(policy: Policy, theta: Parameters, batch: Batch) -> Float[Tensor, ""]:
    log_probs = policy.log_prob(act(policy, theta, batch.observations), batch.actions)
    return -(log_probs * batch.advantages).mean()


def surrogate_loss(
    log_probs: Float[Tensor, " step"],
    old_log_probs: Float[Tensor, " step"],
    advantages: Float[Tensor, " step"],
) -> Float[Tensor, ""]:
    """Give −mean (π_θ(a|s) / π_old(a|s)) A (Schulman et al. 2015, eq. 14)."""
    return -(torch.exp(log_probs - old_log_probs) * advantages).mean()


def fisher_product(
    policy: Policy,
    distribution: Callable[[Parameters], Distribution],
    theta: Parameters,
    weights: Float[Tensor, "*batch"],
) -> Callable[[Parameters], Parameters]:
    """Give v ↦ F v, F = Σ w Dᵀ M D the Fisher information of the policy at θ.

    D is the derivative of the distribution's parameters by θ, M the Fisher information in the space
    of the distribution's parameters. With weights 1/n, F equals the Hessian of the mean KL
    divergence from the policy at θ, without a second derivative of the network.

    Args:
        policy: knows M.
        distribution: from parameters to the distribution at each of the batch's observations.
        theta: the parameters.
        weights: w, for each observation.

    """
    leaves = as_leaves(theta)
    with torch.enable_grad():
        outputs = distribution(leaves)
        # Dᵀ is linear: its own reverse-mode product is D, and needs no new pass of the network.
        zeros = {str(i): torch.zeros_like(o, requires_grad=True) for i, o in enumerate(outputs)}
        pulled = torch.autograd.grad(
            paired(outputs, tuple(zeros.values())),
            tuple(leaves.values()),
            create_graph=True,
            materialize_grads=True,
        )
    pull_back = transposed_product(outputs, leaves)
    push_forward = transposed_product(pulled, zeros)
    at = tuple(output.detach() for output in outputs)

    def product(vector: Parameters) -> Parameters:
        tangent = tuple(push_forward(vector).values())
        cotangent = policy.fisher_product(at, tangent)
        return pull_back([part * weights.unsqueeze(-1) for part in cotangent])

    return product
