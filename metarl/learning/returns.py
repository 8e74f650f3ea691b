"""Returns, generalised advantages and the linear feature baseline.

The recursions over time take the episodes of any number of tasks at once; the baseline is fitted to
one task's. Everything here works in float64: the baseline solves a linear system, and the cost is
nothing beside the policy's.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.learning.trajectories import Batch, Trajectories

RIDGE = 1e-5
RIDGE_ATTEMPTS = 5


def discounted_returns(
    rewards: Float[Tensor, "*episodes time"],
    mask: Bool[Tensor, "*episodes time"],
    discount: float,
) -> Float[Tensor, "*episodes time"]:
    """Sum the discounted rewards from each step to the end of its episode.

    G_t = r_t + γ G_{t+1}, with 0 after the last step, whether the episode terminated or was cut
    off at the horizon (as Finn et al. 2017 do). 0 on padded steps.
    """
    returns = torch.zeros_like(rewards[..., 0])
    from_the_end = []
    for reward in (rewards * mask).movedim(-1, 0).contiguous().flip(0):
        returns = reward + discount * returns  # still 0 in the padding, which comes first
        from_the_end.append(returns)
    return torch.stack(from_the_end[::-1], dim=-1)


def generalised_advantages(
    rewards: Float[Tensor, "*episodes time"],
    values: Float[Tensor, "*episodes time"],
    mask: Bool[Tensor, "*episodes time"],
    discount: float,
    gae_lambda: float,
) -> Float[Tensor, "*episodes time"]:
    """Estimate advantages (Schulman et al. 2016, "High-Dimensional Continuous Control …", eq. 16).

    A_t = δ_t + γλ A_{t+1} with δ_t = r_t + γ V_{t+1} − V_t; the value and the advantage after an
    episode's last step are 0. With λ = 1 this is G_t − V_t. 0 on padded steps.
    """
    values = values * mask
    following_values = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)
    residuals = rewards + discount * following_values - values
    return discounted_returns(residuals, mask, discount * gae_lambda)


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
    rows, targets = taken_steps(features, mask), taken_steps(returns, mask)
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


def baseline_values(
    observations: Float[Tensor, "episode time obs"],
    returns: Float[Tensor, "episode time"],
    mask: Bool[Tensor, "episode time"],
) -> Float[Tensor, "episode time"]:
    """Fit the linear baseline to one task's episodes; give its values on these very episodes.

    Raises:
        ValueError: the observations or returns are not finite.

    """
    features = baseline_features(observations)
    return features @ fit_linear_baseline(features, returns, mask)


def policy_gradient_batch(
    trajectories: Trajectories, advantages: Float[Tensor, "episode time"]
) -> Batch:
    """Turn one task's episodes and their advantages into the batch of a policy-gradient loss.

    Normalises the advantages over the task's taken steps and drops the padding.
    """
    mask = trajectories.mask
    normalised = normalise(advantages, mask).to(trajectories.observations.dtype)
    return Batch(
        observations=taken_steps(trajectories.observations, mask),
        actions=taken_steps(trajectories.actions, mask),
        advantages=taken_steps(normalised, mask),
    )


def stacked_baseline_values(
    observations: Sequence[Float[Tensor, "episode time obs"]],
    returns: Float[Tensor, "task episode time"],
    mask: Bool[Tensor, "task episode time"],
) -> Float[Tensor, "task episode time"] | None:
    """Give what `baseline_values` gives for each task, up to rounding, in a few calls for all.

    None: a task needs a larger ridge than the first, or its numbers are not finite.
    """
    features = torch.stack([baseline_features(each) for each in observations])
    rows, targets = (features * mask.unsqueeze(-1)).flatten(1, 2), (returns * mask).flatten(1, 2)
    gram, moments = rows.mT @ rows, rows.mT @ targets.unsqueeze(-1)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    solutions, failures = torch.linalg.solve_ex(gram + RIDGE * identity, moments)
    if not bool(((failures == 0) & torch.isfinite(solutions).all(2).all(1)).all()):
        return None
    values: Tensor = features.flatten(1, 2) @ solutions
    return values.view_as(returns)


def stacked_policy_gradient_batches(
    trajectories: Sequence[Trajectories],
    advantages: Float[Tensor, "task episode time"],
    mask: Bool[Tensor, "task episode time"],
) -> list[Batch]:
    """Give what `policy_gradient_batch` gives for each task, up to rounding."""
    steps = mask.sum((1, 2), keepdim=True)
    means = (advantages * mask).sum((1, 2), keepdim=True) / steps
    centred = (advantages - means) * mask
    deviations = torch.sqrt((centred**2).sum((1, 2), keepdim=True) / steps)
    normalised = (centred / (deviations + 1e-8)).to(trajectories[0].observations.dtype)
    full = mask.flatten(1).all(1).tolist()
    batches = []
    for episodes, own, is_full in zip(trajectories, normalised, full, strict=True):
        columns = (episodes.observations, episodes.actions, own)
        if is_full:  # which the device was asked once for all tasks
            batches.append(Batch(*(column.flatten(0, 1) for column in columns)))
        else:
            batches.append(Batch(*(column[episodes.mask] for column in columns)))
    return batches


def taken_steps(
    values: Shaped[Tensor, "episode time *rest"], mask: Bool[Tensor, "episode time"]
) -> Shaped[Tensor, "step *rest"]:
    """Merge episodes and time, without the padding; a view where there is none."""
    return values.flatten(0, 1) if bool(mask.all()) else values[mask]
