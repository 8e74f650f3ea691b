"""How PEARL learns (see `metarl_agents.pearl`): what is drawn, the losses, the gradient steps."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metarl.agent.protocol import AgentState
from metarl.config.reinforcement import Config
from metarl.learning.layers import filled
from metarl.learning.posteriors import Factors, kl_to_standard_normal
from metarl.learning.soft_actor_critic import (
    TwinCritics,
    critics_loss,
    move_towards,
    policy_loss,
    value_loss,
)
from metarl.workers.shards import Vector
from metarl_agents.pearl_networks import Learning, vector_of
from metarl_agents.pearl_settings import PearlSettings
from metarl_agents.replay import Replay, TaskIndex
from metarl_agents.trial_ppo import put

_OTHERS = ("critics", "value", "target", "log_temperature")
"""What is learned and does not act."""


@dataclass(frozen=True)
class Transitions:
    """Transitions of several tasks to learn from, and to infer the tasks from."""

    observations: Float[Tensor, "task step obs"]
    actions: Float[Tensor, "task step act"]
    rewards: Float[Tensor, "task step"]
    following: Float[Tensor, "task step obs"]
    terminal: Float[Tensor, "task step"]
    context: Float[Tensor, "task transition number"]


@dataclass(frozen=True)
class Noise:
    """Standard normal noise of a gradient step."""

    latent: Float[Tensor, "task latent"]
    action: Float[Tensor, "task step act"]
    following_action: Float[Tensor, "task step act"] | None
    """None: the value function says what follows."""


class Losses:
    """The losses of a gradient step.

    Args:
        network: all that learns.
        settings: of the agent.
        discount: γ.

    """

    def __init__(self, network: Learning, settings: PearlSettings, discount: float) -> None:
        self._network = network
        self._settings = settings
        self._discount = discount

    @property
    def temperature(self) -> Tensor | float:
        """α, without a gradient."""
        log_temperature = self._network.log_temperature
        return 1.0 if log_temperature is None else log_temperature.number.detach().exp()

    def posterior(self, context: Float[Tensor, "task transition number"]) -> Factors:
        """Infer each task."""
        factors: Factors = self._network.acting.encoder(context)
        return factors.product(dim=1)

    @staticmethod
    def inputs(
        observations: Float[Tensor, "task step obs"], latent: Float[Tensor, "task latent"]
    ) -> Float[Tensor, "task step input"]:
        """Put each task's z beside its observations."""
        beside = latent.unsqueeze(1).expand(-1, observations.shape[1], -1)
        return filled(torch.cat([observations, beside], dim=-1))

    def of_critics(
        self, drawn: Transitions, latent: Float[Tensor, "task latent"], noise: Noise
    ) -> Tensor:
        """Give the Q functions' loss, differentiable in them and, through z, in the encoder."""
        network, settings = self._network, self._settings
        with torch.no_grad():
            inputs = self.inputs(drawn.following, latent)
            if isinstance(network.target, TwinCritics):
                chosen = network.acting.policy(inputs, noise.following_action)
                following = torch.minimum(*network.target(inputs, chosen.action))
                following = following - self.temperature * chosen.log_prob
            else:
                following = network.target(inputs)
        values = network.critics(self.inputs(drawn.observations, latent), drawn.actions)
        rewards = settings.reward_scale * drawn.rewards
        return critics_loss(values, rewards, following, drawn.terminal, self._discount)

    def of_policy(
        self, drawn: Transitions, latent: Float[Tensor, "task latent"], noise: Noise
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Give the losses of policy and value, on z without a gradient, and log π."""
        network, latent = self._network, latent.detach()
        inputs = self.inputs(drawn.observations, latent)
        chosen = network.acting.policy(inputs, noise.action)
        critics = torch.minimum(*network.critics(inputs, chosen.action))
        loss = policy_loss(chosen, critics, self.temperature, self._settings.policy_regularisation)
        of_value = None
        if network.value is not None:
            of_value = value_loss(network.value(inputs), critics, chosen.log_prob, self.temperature)
        return loss, of_value, chosen.log_prob.detach()


class Learner:
    """Takes gradient steps; networks and what Adam remembers of them.

    Args:
        network: all that learns; changed in place.
        settings: of the agent.
        config: of the run.

    """

    def __init__(self, network: Learning, settings: PearlSettings, config: Config) -> None:
        self.network = network
        self.losses = Losses(network, settings, config.discount)
        self._settings = settings
        learned = {
            "encoder": network.acting.encoder,
            "policy": network.acting.policy,
            "critics": network.critics,
            "value": network.value,
            "temperature": network.log_temperature,
        }
        self._parts = {
            name: list(module.parameters())
            for name, module in learned.items()
            if module is not None
        }
        self._adam = {
            name: torch.optim.Adam(parameters, lr=settings.learning_rate)
            for name, parameters in self._parts.items()
        }

    def load(self, state: AgentState) -> None:
        """Take up networks and Adam's memory where a state has them."""
        put(self.network.acting, state.theta)
        if not state.optimiser:
            return
        for name, module in self._kept():
            put(module, state.optimiser[name])
        for name, parameters in self._parts.items():
            steps = state.optimiser.get(f"{name}/step")
            if steps is None:
                continue
            moments = [state.optimiser[f"{name}/{kind}"] for kind in _MOMENTS]
            sizes = [each.numel() for each in parameters]
            cut = [torch.split(torch.tensor(moment), sizes) for moment in moments]
            groups = self._adam[name].state_dict()["param_groups"]
            memory = {
                number: {
                    "step": torch.tensor(steps),
                    **{
                        kind: part[number].view(each.shape).clone()
                        for kind, part in zip(_MOMENTS, cut, strict=True)
                    },
                }
                for number, each in enumerate(parameters)
            }
            self._adam[name].load_state_dict({"state": memory, "param_groups": groups})

    def state(self) -> tuple[Vector, dict[str, np.ndarray]]:
        """Give θ, and all else that training goes on from."""
        kept = {name: vector_of(module) for name, module in self._kept()}
        for name, adam in self._adam.items():
            memory = list(adam.state_dict()["state"].values())
            if not memory:
                continue
            kept[f"{name}/step"] = memory[0]["step"].cpu().numpy().copy()
            for kind in _MOMENTS:
                kept[f"{name}/{kind}"] = np.concatenate(
                    [each[kind].flatten().cpu().numpy() for each in memory]
                )
        return vector_of(self.network.acting), kept

    def _kept(self) -> Iterator[tuple[str, nn.Module]]:
        """Give what is learned and does not act."""
        for name in _OTHERS:
            module = getattr(self.network, name)
            if module is not None:
                yield name, module

    def step(self, drawn: Transitions, noise: Noise) -> dict[str, Tensor]:
        """Take one gradient step; give what it says of itself."""
        settings, losses = self._settings, self.losses
        posterior = losses.posterior(drawn.context)
        latent = posterior.sample(noise.latent)
        divergence = kl_to_standard_normal(posterior).sum()
        of_critics = losses.of_critics(drawn, latent, noise)
        self._descend(of_critics + settings.kl_weight * divergence, "critics", "encoder")

        of_policy, of_value, log_probs = losses.of_policy(drawn, latent, noise)
        if of_value is not None:
            self._descend(of_value, "value")
        self._descend(of_policy, "policy")
        if self.network.log_temperature is not None:
            wanted = -float(self.network.acting.actions)
            excess = (log_probs + wanted).mean()
            self._descend(-self.network.log_temperature.number.squeeze() * excess, "temperature")
        move_towards(self.network.target, self.network.followed, settings.target_rate)
        return {
            "critics_loss": of_critics.detach(),
            "value_loss": of_critics.new_zeros(()) if of_value is None else of_value.detach(),
            "policy_loss": of_policy.detach(),
            "posterior_kl": divergence.detach() / len(latent),
            "posterior_variance": posterior.variance.detach().mean(),
            "entropy": -log_probs.mean(),
        }

    def _descend(self, loss: Tensor, *names: str) -> None:
        """Take a step of Adam for some networks, and for no other."""
        parameters = [each for name in names for each in self._parts[name]]
        slopes = torch.autograd.grad(loss, parameters)
        for each, slope in zip(parameters, slopes, strict=True):
            each.grad = slope
        for name in names:
            self._adam[name].step()


_MOMENTS = ("exp_avg", "exp_avg_sq")


class Drawer:
    """Draws what gradient steps learn from.

    Args:
        replay: the remembered transitions.
        settings: of the agent.
        like: has the type and device wanted.

    """

    def __init__(self, replay: Replay, settings: PearlSettings, like: Tensor) -> None:
        self._settings, self._like = settings, like
        self._index = TaskIndex(replay)
        learned = replay.get("learned_rewards", replay["rewards"])
        self._columns = {
            name: torch.as_tensor(column).to(device=like.device, dtype=like.dtype)
            for name, column in {
                "observations": replay["observations"],
                "actions": replay["actions"],
                "rewards": learned,
                "following": replay["following"],
                "terminal": replay["terminal"],
            }.items()
        }
        told = [replay["observations"], replay["actions"], replay["rewards"][:, None]]
        if settings.infer_from_following:
            told.append(replay["following"])
        context = torch.as_tensor(np.concatenate(told, axis=1))
        self._context = filled(context.to(device=like.device, dtype=like.dtype))

    def draw(self, generator: np.random.Generator) -> tuple[Transitions, Noise]:
        """Draw tasks, transitions and noise of one gradient step."""
        settings = self._settings
        places, context = self._index.draw(
            settings.meta_batch, settings.batch_size, settings.context_size, generator
        )
        rows = torch.from_numpy(places).to(self._like.device)
        drawn = Transitions(
            **{name: column[rows] for name, column in self._columns.items()},
            context=self._context[torch.from_numpy(context).to(self._like.device)],
        )
        tasks, steps, actions = drawn.actions.shape

        def noise(*size: int) -> Tensor:
            return torch.from_numpy(generator.standard_normal(size, np.float32)).to(self._like)

        return drawn, Noise(
            noise(tasks, settings.latent_size),
            noise(tasks, steps, actions),
            None if settings.value_network else noise(tasks, steps, actions),
        )
