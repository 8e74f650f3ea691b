"""What VariBAD learns (see `metarl_agents.varibad`): encoder, decoders, the policy on beliefs."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metarl.agent.protocol import AgentState
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import Parameters
from metarl.learning.beliefs import (
    BeliefEncoder,
    CellDecoder,
    StepDecoder,
    cell_errors,
    squared_errors,
)
from metarl.learning.layers import even, filled
from metarl.learning.memory_policy import ActorCritic, action_numbers, initialise
from metarl.learning.policies import Distribution, Policy, PolicySpec
from metarl.learning.running_moments import standard_deviation
from metarl.tasks.observations import flat_layout
from metarl_agents.trial_ppo import Scales
from metarl_agents.trial_settings import VariBADSettings
from metarl_agents.varibad_cells import Cells, cells_of

BELIEFS = "belief_moments"
"""Running moments of beliefs, among the agent's arrays."""


def settings_in(config: Config) -> VariBADSettings:
    """Give the settings that a configuration has."""
    settings: VariBADSettings = read_fields(VariBADSettings, config.agent_settings, "agent varibad")
    return settings


@dataclass(frozen=True)
class Steps:
    """Some steps of each trial."""

    observations: Float[Tensor, "trial step obs"]
    actions: Float[Tensor, "trial step act"]
    """Told in numbers."""
    reached: Float[Tensor, "trial step obs"]
    """What was seen after the step."""
    rewards: Float[Tensor, "trial step 1"]


class Decoder(nn.Module):
    """Says of a sample of m what each step of a trial brings."""

    def __init__(self, spec: PolicySpec, settings: VariBADSettings) -> None:
        super().__init__()
        seen, done = (spec.layout or flat_layout(spec.observation_space)).size, action_numbers(spec)
        latents, sizes = settings.latent_size, settings.decoder_sizes
        self.cells: Cells | None = None
        self.rewards: CellDecoder | StepDecoder
        if settings.reward_decoder == "cells":
            self.cells = cells_of(spec)
            self.rewards = CellDecoder(latents, sizes, self.cells.count)
        else:
            self.rewards = StepDecoder(latents, seen + done + seen, sizes, 1)
        self.observations: StepDecoder | None = None
        if settings.decode_observations:
            self.observations = StepDecoder(latents, seen + done, sizes, seen)

    def reward_errors(
        self, latents: Float[Tensor, "trial prefix latent"], steps: "Steps"
    ) -> Float[Tensor, "trial prefix step"]:
        """Give −log p of the rewards of some steps, up to a constant."""
        if isinstance(self.rewards, CellDecoder):
            assert self.cells is not None
            cells, pays = self.cells.of(steps.reached), steps.rewards[..., 0] > 0
            return cell_errors(self.rewards(latents), cells, pays)
        known = torch.cat([steps.observations, steps.actions, steps.reached], -1)
        return squared_errors(self.rewards(latents, known), steps.rewards)

    def observation_errors(
        self, latents: Float[Tensor, "trial prefix latent"], steps: "Steps"
    ) -> Float[Tensor, "trial prefix step"] | None:
        """Give the squared errors of what was seen next; None: it is not decoded."""
        if self.observations is None:
            return None
        known = torch.cat([steps.observations, steps.actions], -1)
        return squared_errors(self.observations(latents, known), steps.reached)


class BeliefModel(nn.Module):
    """Encoder and decoder."""

    def __init__(self, spec: PolicySpec, settings: VariBADSettings) -> None:
        super().__init__()
        self.encoder = BeliefEncoder(spec, settings)
        self.decoder = Decoder(spec, settings)


class BeliefPolicy(nn.Module):
    """Policy and value, which see an observation and a belief."""

    def __init__(self, spec: PolicySpec, settings: VariBADSettings) -> None:
        super().__init__()
        seen = (spec.layout or flat_layout(spec.observation_space)).size
        self._heads_see = even(seen), even(2 * settings.latent_size)
        self.heads = ActorCritic(spec, sum(self._heads_see))

    @property
    def policy(self) -> Policy:
        """The mathematics of the action's distribution."""
        return self.heads.policy

    def unroll(
        self,
        observations: Float[Tensor, "time trial obs"],
        beliefs: Float[Tensor, "time trial belief"],
    ) -> tuple[Distribution, Float[Tensor, "time trial"]]:
        """Give the action's distribution and the value at every step of whole trials."""
        features = self._features(observations, beliefs)
        return self.heads.distribution(features), self.heads.values(features)

    def step(
        self, observations: Float[Tensor, "row obs"], beliefs: Float[Tensor, "row belief"]
    ) -> Distribution:
        """Give the action's distribution of one step."""
        return self.heads.distribution(self._features(observations, beliefs))

    def _features(self, observations: Tensor, beliefs: Tensor) -> Tensor:
        return torch.cat([filled(observations), filled(beliefs)], -1)


class VariBADNetwork(nn.Module):
    """All that is learned: θ is its parameters, those of the model first."""

    def __init__(self, spec: PolicySpec, settings: VariBADSettings) -> None:
        super().__init__()
        self.model = BeliefModel(spec, settings)
        self.acting = BeliefPolicy(spec, settings)

    @property
    def model_size(self) -> int:
        """How many numbers of θ are the model's."""
        return sum(value.numel() for value in self.model.parameters())


def network_of(spec: PolicySpec, config: Config) -> VariBADNetwork:
    """Build the network; its weights are yet to be given, or drawn.

    Raises:
        ConfigError: observations are images, or have no cells where cells are wanted.
        TypeError: the action space is neither a Box nor Discrete.

    """
    if spec.layout and spec.layout.has_images:
        raise ConfigError("agent varibad reads no images: it would remember and decode every pixel")
    with torch.random.fork_rng(devices=[]):  # what torch draws by itself is drawn over
        network = VariBADNetwork(spec, settings_in(config))
    return network.to(dtype=getattr(torch, config.dtype), device=config.device)


def initial_parameters(spec: PolicySpec, config: Config) -> Parameters:
    """Give the parameters before training."""
    network = network_of(spec, config).cpu()
    initialise(network, config.seed)
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def belief_scales(settings: VariBADSettings, state: AgentState) -> Scales:
    """Give what beliefs are normalised by before the policy sees them."""
    moments = state.others.get(BELIEFS)
    if moments is None or not settings.normalise_beliefs:
        return Scales(np.zeros(1), np.ones(1), 1.0)
    return Scales(moments[1], standard_deviation(moments), 1.0)
