"""How PEARL learns (see `metarl_agents.pearl`): what is drawn, the losses, the gradient steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from metarl.agent.protocol import AgentState
from metarl.config.reinforcement import Config
from metarl.foundation.cuda_graphs import GraphedFunction
from metarl.learning.adam import Adam
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

STEP_METRICS = (
    "critics_loss",
    "value_loss",
    "policy_loss",
    "posterior_kl",
    "posterior_variance",
    "entropy",
)
"""What a gradient step says of itself."""


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
    following_action: Float[Tensor, "task step act"] | None = None
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

    Parameters and Adam's memory stay at their addresses, so that on a CUDA device a step is one
    graph, from the drawn batch to the metrics. On other devices the same function is called.

    Args:
        network: all that learns; changed in place.
        settings: of the agent.
        config: of the run.
        graphed: whether to make the step a graph on a CUDA device.

    """

    def __init__(
        self, network: Learning, settings: PearlSettings, config: Config, *, graphed: bool = True
    ) -> None:
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
        self._adam = {
            name: Adam(list(module.parameters()), settings.learning_rate)
            for name, module in learned.items()
            if module is not None
        }
        self._descent = GraphedFunction(self._descend_once) if graphed else self._descend_once

    @torch.no_grad()
    def load(self, state: AgentState) -> None:
        """Take up θ, and the other networks and Adam's memory where a state has them."""
        put(self.network.acting, state.theta)
        kept = state.optimiser
        for name, module in self._kept():
            if kept:
                put(module, kept[name])
        for name, adam in self._adam.items():
            adam.steps = int(kept.get(f"{name}/step", 0))
            for kind, moments in adam.moments.items():
                if adam.steps:
                    _fill(moments, kept[f"{name}/{kind}"])
                else:
                    torch._foreach_zero_(moments)

    def state(self) -> tuple[Vector, dict[str, np.ndarray]]:
        """Give θ, and all else that training goes on from."""
        kept = {name: vector_of(module) for name, module in self._kept()}
        for name, adam in self._adam.items():
            if not adam.steps:
                continue
            kept[f"{name}/step"] = np.array(adam.steps, np.float32)
            for kind, moments in adam.moments.items():
                kept[f"{name}/{kind}"] = (
                    torch.cat([each.flatten() for each in moments]).cpu().numpy()
                )
        return vector_of(self.network.acting), kept

    def _kept(self) -> Iterator[tuple[str, nn.Module]]:
        """Give what is learned and does not act."""
        for name in _OTHERS:
            module = getattr(self.network, name)
            if module is not None:
                yield name, module

    def step(self, drawn: Transitions, noise: Noise) -> Float[Tensor, " metric"]:
        """Take one gradient step; give its `STEP_METRICS`, without waiting for the device."""
        like = next(self.network.parameters())
        scales = torch.tensor(
            [adam.next_scales() for adam in self._adam.values()],
            dtype=like.dtype,
            device=like.device,
        )
        parts = (getattr(each, part.name) for each in (drawn, noise) for part in fields(each))
        tensors = (part for part in parts if part is not None)
        return self._descent(scales, *tensors).clone()  # the next step writes over it

    def _descend_once(
        self, scales: Float[Tensor, "network 2"], *tensors: Tensor
    ) -> Float[Tensor, " metric"]:
        """Take one gradient step; it changes tensors in place and reads none on the CPU.

        Args:
            scales: those of Adam's step (see `Adam.next_scales`), for each network.
            tensors: the fields of `Transitions` and, without None, of `Noise`.

        """
        settings, losses, network = self._settings, self.losses, self.network
        count = len(fields(Transitions))
        drawn, noise = Transitions(*tensors[:count]), Noise(*tensors[count:])
        scales_of = dict(zip(self._adam, scales, strict=True))

        def descend(loss: Tensor, *names: str) -> None:
            """Take a step of Adam for some networks, and for no other."""
            parts = [self._adam[name].parameters for name in names]
            slopes = iter(torch.autograd.grad(loss, [each for part in parts for each in part]))
            for name, part in zip(names, parts, strict=True):
                self._adam[name].descend([next(slopes) for _ in part], scales_of[name])

        posterior = losses.posterior(drawn.context)
        latent = posterior.sample(noise.latent)
        divergence = kl_to_standard_normal(posterior).sum()
        of_critics = losses.of_critics(drawn, latent, noise)
        descend(of_critics + settings.kl_weight * divergence, "critics", "encoder")

        of_policy, of_value, log_probs = losses.of_policy(drawn, latent, noise)
        if of_value is not None:
            descend(of_value, "value")
        descend(of_policy, "policy")
        if network.log_temperature is not None:
            wanted = -float(network.acting.actions)
            excess = (log_probs + wanted).mean()
            descend(-network.log_temperature.number.squeeze() * excess, "temperature")
        move_towards(network.target, network.followed, settings.target_rate)
        metrics = {
            "critics_loss": of_critics.detach(),
            "value_loss": of_critics.new_zeros(()) if of_value is None else of_value.detach(),
            "policy_loss": of_policy.detach(),
            "posterior_kl": divergence.detach() / len(latent),
            "posterior_variance": posterior.variance.detach().mean(),
            "entropy": -log_probs.mean(),
        }
        return torch.stack([metrics[name] for name in STEP_METRICS])


def _fill(tensors: Sequence[Tensor], vector: Vector) -> None:
    """Write a vector into tensors, one after the other."""
    parts = torch.split(torch.tensor(vector), [each.numel() for each in tensors])
    for each, part in zip(tensors, parts, strict=True):
        each.copy_(part.view_as(each))


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
        tasks, steps = settings.meta_batch, settings.batch_size
        places, context = self._index.draw(tasks, steps, settings.context_size, generator)
        of_actions = (tasks, steps, self._columns["actions"].shape[1])
        sizes = [(tasks, settings.latent_size), of_actions]
        if not settings.value_network:
            sizes.append(of_actions)
        noise = [generator.standard_normal(size, np.float32) for size in sizes]
        # Sent when all is drawn: until then the device may still be at the step before.
        rows, told = (torch.from_numpy(each).to(self._like.device) for each in (places, context))
        drawn = {name: column[rows] for name, column in self._columns.items()}
        return (
            Transitions(**drawn, context=self._context[told]),
            Noise(*(torch.from_numpy(each).to(self._like) for each in noise)),
        )
