"""The networks of PEARL (see `metarl_agents.pearl`): what acts, and what it is learned with."""

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.foundation.seeding import Purpose, integer_seed
from metarl.learning.adaptation import Parameters
from metarl.learning.layers import even
from metarl.learning.policies import PolicySpec
from metarl.learning.posteriors import ContextEncoder
from metarl.learning.soft_actor_critic import Critic, SquashedGaussian, TwinCritics, initialise
from metarl.tasks.observations import flat_layout
from metarl.workers.shards import Vector, to_vector
from metarl_agents.pearl_settings import PearlSettings


def settings_in(config: Config) -> PearlSettings:
    """Give the settings that a configuration has."""
    settings: PearlSettings = read_fields(PearlSettings, config.agent_settings, "agent pearl")
    return settings


class Acting(nn.Module):
    """What acts: encoder and policy.

    Raises:
        TypeError: actions are choices, or observations images; or held actions, which are made of
            z, have more numbers than z.

    """

    def __init__(self, spec: PolicySpec, config: Config) -> None:
        super().__init__()
        settings = settings_in(config)
        if not isinstance(spec.action_space, gym.spaces.Box):
            raise TypeError(
                f"agent pearl needs actions that are numbers, a Box, not {spec.action_space}; "
                "rl2 and varibad act by choices as well"
            )
        layout = spec.layout or flat_layout(spec.observation_space)
        if layout.has_images:
            raise TypeError("agent pearl remembers transitions, and reads no images")
        self.seen, self.actions = layout.size, int(np.prod(spec.action_space.shape))
        if settings.held_episodes and settings.latent_size < self.actions:
            raise TypeError(
                f"held_episodes = {settings.held_episodes}: an action that is held is made of the "
                f"numbers of z; set latent_size = {settings.latent_size} to {self.actions} or more"
            )
        following = self.seen if settings.infer_from_following else 0
        self.encoder = ContextEncoder(
            even(self.seen + self.actions + 1 + following),
            settings.encoder_sizes,
            settings.latent_size,
        )
        self.inputs = even(self.seen + settings.latent_size)
        self.policy = SquashedGaussian(
            self.inputs, self.actions, spec.hidden_sizes, spec.activation
        )


class LogTemperature(nn.Module):
    """log α, where the entropy's weight is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))


class Learning(nn.Module):
    """All that learns: what acts, the critics, and what they are held to."""

    def __init__(self, spec: PolicySpec, config: Config) -> None:
        super().__init__()
        settings = settings_in(config)
        self.acting = Acting(spec, config)
        layers = spec.hidden_sizes, spec.activation
        inputs, actions = self.acting.inputs, self.acting.actions
        self.critics = TwinCritics(inputs, actions, *layers)
        self.value = Critic(inputs, *layers) if settings.value_network else None
        self.target = (
            TwinCritics(inputs, actions, *layers) if self.value is None else Critic(inputs, *layers)
        )
        self.log_temperature = LogTemperature() if settings.learned_temperature else None

    def to_begin(self) -> None:
        """Let the target begin as what it follows."""
        self.target.load_state_dict(self.followed.state_dict())

    @property
    def followed(self) -> nn.Module:
        """What the target follows."""
        return self.critics if self.value is None else self.value


def network_of(spec: PolicySpec, config: Config) -> Learning:
    """Build all networks, their weights drawn from the run's seed."""
    with torch.random.fork_rng(devices=[]):  # what torch draws by itself is drawn over
        network = Learning(spec, config)
    seed = integer_seed(config.seed, Purpose.INITIALISATION)
    initialise(network, torch.Generator().manual_seed(seed))
    network.to_begin()
    return network.to(dtype=getattr(torch, config.dtype), device=config.device)


def initial_parameters(spec: PolicySpec, config: Config) -> Parameters:
    """Give the parameters of what acts, before training."""
    acting = network_of(spec, config).acting.cpu()
    return {name: value.detach().clone() for name, value in acting.named_parameters()}


def vector_of(network: nn.Module) -> Vector:
    """Give a network's parameters as one vector."""
    return to_vector(dict(network.named_parameters()))
