"""Returns, generalised advantages and the linear feature baseline, for one task at a time.

Everything here works in float64: the baseline solves a linear system, and the cost is nothing
beside the policy's.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metarl.trajectories import Batch, Trajectories

RIDGE = 1e-5
RIDGE_ATTEMPTS = 5


def discounted_returns(
    rewards: Float[Tensor, "episode time"],
    mask: Bool[Tensor, "episode time"],
    discount: float,
) -> Float[Tensor, "episode time"]:
    """Sum the discounted rewards from each step to the end of its episode.

    G_t = r_t + γ G_{t+1}, with 0 after the last step, whether the episode terminated or was cut
    off at the horizon (as Finn et al. 2017 do). 0 on padded steps.
    """
    following = torch.zeros_like(rewards[:, 0])
    returns = torch.empty_like(rewards)
    for time in reversed(range(rewards.shape[1])):
        following = (rewards[:, time] + discount * following) * mask[:, time]
        returns[:, time] = following
    return returns


def generalised_advantages(
    rewards: Float[Tensor, "episode time"],
    values: Float[Tensor, "episode time"],
    mask: Bool[Tensor, "episode time"],
    discount: float,
    gae_lambda: float,
) -> Float[Tensor, "episode time"]:
    """Estimate advantages (Schulman et al. 2016, "High-Dimensional Continuous Control …", eq. 16).

    A_t = δ_t + γλ A_{t+1} with δ_t = r_t + γ V_{t+1} − V_t; the value and the advantage after an
    episode's last step are 0. With λ = 1 this is G_t − V_t. 0 on padded steps.
    """
    values = values * mask
    following_value = torch.zeros_like(rewards[:, 0])
    following_advantage = torch.zeros_like(rewards[:, 0])
    advantages = torch.empty_like(rewards)
    for time in reversed(range(rewards.shape[1])):
        delta = rewards[:, time] + discount * following_value - values[:, time]
        following_advantage = delta + discount * gae_lambda * following_advantage
        following_advantage = following_advantage * mask[:, time]
        following_value = values[:, time]
        advantages[:, time] = following_advantage
    return advantages


def baseline_features(
    observations: Float[Tensor, "episode time obs"],
) -> Float[Tensor, "episode time feature"]:
    """Give [o, o², t/100, (t/100)², (t/100)³, 1], o clipped to ±10 (Duan et al. 2016, RLLab)."""
    clipped = observations.double().clamp(-10.0, 10.0)
    episodes, horizon, _ = clipped.shape
    time = torch.arange(horizon, dtype=torch.float64, device=clipped.device) / 100.0
    powers = torch.stack([time, time**2, time**3, torch.ones_like(time)], dim=-1)
    return torch.cat([clipped, clipped**2, powers.expand(episodes, horizon, 4)], dim=-1)


def fit_linear_baseline(
    features: Float[Tensor, "episode time feature"],
    returns: Float[Tensor, "episode time"],
    mask: Bool[Tensor, "episode time"],
) -> Float[Tensor, " feature"]:
    """Fit w = argmin Σ (φ·w − G)² + ρ|w|² over the taken steps.

    ρ starts at 1e-5 and grows tenfold while the system has no finite solution.

    Raises:
        ValueError: no ridge up to 0.1 gave a finite solution (the data are not finite).

    """
    rows, targets = features[mask], returns[mask]
    gram, moment = rows.T @ rows, rows.T @ targets
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    for attempt in range(RIDGE_ATTEMPTS):
        ridged = gram + RIDGE * 10**attempt * identity
        solution: Tensor
        solution, info = torch.linalg.solve_ex(ridged, moment)
        if int(info) == 0 and bool(torch.isfinite(solution).all()):
            return solution
    raise ValueError(
        "the linear baseline has no finite solution; the observations or rewards are not finite "
        "or too large"
    )


def normalise(
    advantages: Float[Tensor, "episode time"], mask: Bool[Tensor, "episode time"]
) -> Float[Tensor, "episode time"]:
    """Shift and scale to mean 0 and standard deviation 1 over the taken steps; 0 on padded steps.

    The standard deviation is the population's; 1e-8 is added to it, so that equal advantages
    become 0.
    """
    taken = advantages[mask]
    scaled = (advantages - taken.mean()) / (taken.std(correction=0) + 1e-8) * mask
    return scaled


def prepare_batch(trajectories: Trajectories, discount: float, gae_lambda: float) -> Batch:
    """Turn one task's episodes of one phase into the batch that a policy-gradient loss takes.

    Fits the linear baseline on these very episodes, subtracts it by generalised advantage
    estimation, normalises over the task's taken steps and drops the padding.
    """
    mask = trajectories.mask
    rewards = trajectories.rewards.double()
    features = baseline_features(trajectories.observations)
    returns = discounted_returns(rewards, mask, discount)
    values = features @ fit_linear_baseline(features, returns, mask)
    advantages = generalised_advantages(rewards, values, mask, discount, gae_lambda)
    return Batch(
        observations=trajectories.observations[mask],
        actions=trajectories.actions[mask],
        advantages=normalise(advantages, mask)[mask].to(trajectories.observations.dtype),
    )
