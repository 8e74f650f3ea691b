"""What VariBAD's encoder and decoder learn from: whole trials, and their evidence lower bound."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from metarl.learning.beliefs import (
    Drawn,
    Evidence,
    chosen_beliefs,
    evidence,
    of_each_trial,
    sampled,
)
from metarl.learning.memory_policy import told_actions, what_came_before
from metarl.learning.policies import PolicySpec
from metarl_agents.trial_buffer import Rows, reached, time_first
from metarl_agents.trial_settings import VariBADSettings
from metarl_agents.varibad_networks import BeliefModel, Steps


@dataclass(frozen=True)
class WholeTrials:
    """Whole trials for the encoder and decoder, time first."""

    observations: Float[Tensor, "time trial obs"]
    last: Float[Tensor, "time trial last"]
    actions: Float[Tensor, "time trial act"]
    reached: Float[Tensor, "time trial obs"]
    rewards: Float[Tensor, "time trial 1"]
    taken: Bool[np.ndarray, "trial time"]

    def at(self, places: Int[Tensor, "trial step"]) -> Steps:
        """Give the steps at some places of each trial."""
        columns = (self.observations, self.actions, self.reached, self.rewards)
        return Steps(*(of_each_trial(column, places) for column in columns))


def whole_trials(rows: Rows, spec: PolicySpec, like: Tensor) -> WholeTrials:
    """Turn remembered trials into tensors, cut off after the longest.

    Args:
        rows: of the buffer.
        spec: of the policy.
        like: has the type and device wanted.

    """
    longest = int(rows["steps"].max())
    told = told_actions(spec, rows["actions"])
    before = what_came_before(
        told.swapaxes(0, 1), rows["rewards"].swapaxes(0, 1), rows["ended"].swapaxes(0, 1)
    )
    return WholeTrials(
        time_first(rows["observations"], longest, like),
        time_first(before.swapaxes(0, 1), longest, like),
        time_first(told, longest, like),
        time_first(reached(rows), longest, like),
        time_first(rows["rewards"][..., None], longest, like),
        np.arange(longest) < rows["steps"][:, None],
    )


def draw_terms(
    trials: WholeTrials, settings: VariBADSettings, generator: np.random.Generator
) -> Drawn:
    """Draw the prefixes and steps that count, none twice, and the noise of the samples."""
    like = trials.observations
    prefixes, prefix_counts = _draw_places(trials.taken, settings.elbo_prefixes, generator)
    steps, step_counts = _draw_places(trials.taken, settings.decoded_steps, generator)
    noise = generator.standard_normal((*prefixes.shape, settings.latent_size))
    return Drawn(
        torch.from_numpy(prefixes).to(like.device),
        torch.from_numpy(prefix_counts).to(like.device),
        torch.from_numpy(steps).to(like.device),
        torch.from_numpy(step_counts).to(like.device),
        like.new_tensor(noise),
    )


def _draw_places(
    taken: Bool[np.ndarray, "trial time"], most: int, generator: np.random.Generator
) -> tuple[Int[np.ndarray, "trial place"], Bool[np.ndarray, "trial place"]]:
    """Draw steps of each trial; give where they are, and which of these places were taken."""
    longest = taken.shape[1]
    if not most or most >= longest:
        places = np.broadcast_to(np.arange(longest), taken.shape).copy()
        return places, taken
    order = np.where(taken, generator.random(taken.shape), np.inf)
    places = np.argsort(order, axis=1, kind="stable")[:, :most]
    return places, np.take_along_axis(taken, places, axis=1)


def evidence_of(
    model: BeliefModel, trials: WholeTrials, drawn: Drawn
) -> tuple[Evidence, Tensor | None]:
    """Give the terms of the ELBO of some trials; and the error of observations, if decoded."""
    beliefs = model.encoder.unroll(trials.observations, trials.last)
    latents, steps = sampled(chosen_beliefs(beliefs, drawn), drawn.noise), trials.at(drawn.steps)
    found = evidence(beliefs, model.decoder.reward_errors(latents, steps), drawn)
    seen_errors = model.decoder.observation_errors(latents, steps)
    if seen_errors is None:
        return found, None
    return found, evidence(beliefs, seen_errors, drawn).reconstruction


def model_loss(
    model: BeliefModel, trials: WholeTrials, drawn: Drawn, settings: VariBADSettings
) -> tuple[Tensor, dict[str, float]]:
    """Give −ELBO, summed over the drawn prefixes, the mean over trials; and what is in it."""
    terms, seen_error = evidence_of(model, trials, drawn)
    loss = settings.reward_weight * terms.reconstruction + settings.kl_weight * terms.kl
    said = {"reward_error": float(terms.reconstruction.detach())}
    if seen_error is not None:
        loss = loss + settings.observation_weight * seen_error
        said["observation_error"] = float(seen_error.detach())
    pairs = float((drawn.prefix_counts.sum(1) * drawn.step_counts.sum(1)).double().mean())
    return loss, {
        "model_loss": float(loss.detach()),
        **{name: error / pairs for name, error in said.items()},
        "belief_kl": float(terms.kl.detach() / drawn.prefix_counts.sum(1).double().mean()),
    }
