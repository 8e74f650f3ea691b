"""The PPO steps of an iteration (see `metarl_agents.trial_ppo`), taken in the parent process."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from metarl.agent.outer_steps import adam_step, is_finite
from metarl.agent.protocol import AgentState, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.learning.running_moments import Moments, merged, no_moments, standard_deviation
from metarl.workers.shards import Vector, Workers
from metarl_agents.trial_ppo import (
    OBSERVATIONS,
    RETURNS,
    REWARDS,
    Learner,
    Weights,
    estimate,
    gradient,
    prepare,
)
from metarl_agents.trial_settings import PPOSettings

R = TypeVar("R")


@dataclass(frozen=True)
class Update:
    """What an update came to."""

    theta: Vector
    optimiser: Mapping[str, np.ndarray]
    others: Mapping[str, np.ndarray]
    """Running moments."""
    metrics: Metrics
    iteration: int


def update(
    workers: Workers,
    state: AgentState,
    optimiser: Mapping[str, np.ndarray],
    settings: PPOSettings,
    learner: Learner,
) -> Update:
    """Take an iteration's PPO steps on the trials that lie in the shards.

    Where a number is not finite, nothing is changed, and the metrics say so.

    Args:
        workers: hold the trials.
        state: the agent before.
        optimiser: what Adam remembers of the policy.
        settings: of the update.
        learner: the agent's.

    """
    prepared = _of_parts(workers.map(prepare, state.travelling, learner))
    iteration = prepared[0].iteration
    moments = {
        name: merged(
            [getattr(part, field_name) for part in prepared],
            state.others.get(name, no_moments(getattr(prepared[0], field_name).shape[1])),
        )
        for name, field_name in (
            (OBSERVATIONS, "observations"),
            (REWARDS, "rewards"),
            (RETURNS, "returns"),
        )
    }
    deviation = (
        float(standard_deviation(moments[RETURNS])[0]) if settings.normalise_rewards else 1.0
    )
    estimated = _of_parts(workers.map(estimate, state.theta, deviation, learner))
    advantages = merged(estimated, no_moments(1))
    learning_rate, entropy_weight = settings.at(iteration)
    rejected: Metrics = {"step_accepted": False, "rejection": NOT_FINITE}
    refused = Update(state.theta, state.optimiser, state.others, rejected, iteration)
    theta, sums, steps, norms = state.theta, np.zeros(4), 0, []
    for epoch in range(settings.epochs):
        for minibatch in range(settings.minibatches):
            weights = Weights(
                epoch,
                minibatch,
                *_standard(advantages, settings.standardise_advantages),
                entropy_weight,
            )
            slopes = _of_parts(workers.map(gradient, theta, weights, learner))
            count = sum(slope.steps for slope in slopes)
            if not count:
                continue
            total = np.sum([slope.gradient for slope in slopes], axis=0, dtype=np.float64) / count
            norm = float(np.linalg.norm(total))
            if not math.isfinite(norm):
                return refused
            total *= min(1.0, settings.max_gradient_norm / max(norm, 1e-12))
            theta, optimiser = adam_step(theta, torch.from_numpy(total), optimiser, learning_rate)
            norms.append(norm)
            sums += np.sum([slope.sums for slope in slopes], axis=0)
            steps += count
    if not is_finite(theta, {**optimiser, **moments}):
        return refused
    clipped, kl, value_error, entropy = (sums / steps).tolist()
    metrics: Metrics = {
        "kl": kl,
        "clipped_share": clipped,
        "value_loss": value_error,
        "entropy": entropy,
        "gradient_norm": float(np.mean(norms)),
        "learning_rate": learning_rate,
        "step_accepted": True,
        "rejection": None,
    }
    return Update(theta, optimiser, moments, metrics, iteration)


def _standard(advantages: Moments, standardise: bool) -> tuple[float, float]:
    """Give what is subtracted from advantages, and what they are divided by."""
    if not standardise:
        return 0.0, 1.0
    return float(advantages[1, 0]), float(standard_deviation(advantages)[0])


def _of_parts(results: Sequence[R | None]) -> list[R]:
    return [result for result in results if result is not None]
