"""PEARL: a policy told a sample of what its task may be (Rakelly et al. 2019).

An encoder gives for each transition of a task a Gaussian over a latent z; their product is the
posterior (see `metarl.learning.posteriors`). An episode acts by one z, drawn from the prior in a
task's first episodes and from the posterior afterwards: it behaves as if it knew the task, learns
from what happens, and draws again. Policy and critics see z beside the observation and are trained
by soft actor-critic on remembered transitions of a fixed set of training tasks.

==================  ================================================================================
network             trained by
==================  ================================================================================
``encoder``         the Q functions' loss, and the posterior's KL divergence from the prior
``critics``         the Q functions' loss
``value``           its own loss, on z without a gradient
``policy``          its own loss, likewise
==================  ================================================================================

Encoder and policy are θ. The others, what Adam remembers of all, and the target are in
`AgentState.optimiser`; transitions are in `AgentState.experience`. All gradient steps are taken in
the parent process on one thread, for all tasks of a meta-batch in single calls.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from metarl.agent.memory import (
    UNIT,
    MemoryActor,
    Met,
    hand_over,
    meet_in_trials,
    states_along_trial,
)
from metarl.agent.protocol import AgentState, Family, Memory, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.files import MEBIBYTE
from metarl.foundation.seeding import Purpose, Split, integer_seed, stream
from metarl.foundation.threads import one_thread
from metarl.learning.adaptation import Parameters
from metarl.learning.memory_policy import even, filled
from metarl.learning.policies import PolicySpec
from metarl.learning.posteriors import ContextEncoder, Factors, kl_to_standard_normal
from metarl.learning.soft_actor_critic import (
    Critic,
    SquashedGaussian,
    TwinCritics,
    critics_loss,
    initialise,
    move_towards,
    policy_loss,
    value_loss,
)
from metarl.learning.trajectories import TaskStatistics
from metarl.tasks.distribution import Tasks, iterations_of_a_pass, order_of_training
from metarl.tasks.observations import flat_layout
from metarl.tasks.policy_environment import observed_environment
from metarl.workers.shards import Shard, Vector, Workers, starts_anew, to_vector
from metarl_agents.replay import Log, Replay, TaskIndex, transitions_of, with_transitions
from metarl_agents.settings import PearlSettings
from metarl_agents.trial_ppo import put

_OTHERS = ("critics", "value", "target", "log_temperature")
"""What is learned and does not act."""


def settings_in(config: Config) -> PearlSettings:
    """Give the settings that a configuration has."""
    settings: PearlSettings = read_fields(PearlSettings, config.agent_settings, "agent pearl")
    return settings


# The networks


class Acting(nn.Module):
    """What acts: encoder and policy.

    Raises:
        TypeError: actions are choices, or observations images.

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


# How it acts


class PearlActor(MemoryActor):
    """Acts by an observation and a sample of z.

    Its memory: z; the posterior's precision and weighted mean; the observation, action and reward
    of the last step; whether that is still to be learned from; whether a new z is due; the number
    of the episode.

    Args:
        spec: of the policy.
        config: of the run.
        state: θ, and where a trial stands.
        trains: whether to act as in training: by samples of the policy, with the training's
            number of episodes by the prior, from which alone it infers. Otherwise by the mean of
            the policy, and from all that it has seen.

    """

    def __init__(
        self, spec: PolicySpec, config: Config, state: AgentState, *, trains: bool = False
    ) -> None:
        super().__init__(state)
        with torch.random.fork_rng(devices=[]):  # what torch draws is written over
            acting = Acting(spec, config)
        self._acting = acting.to(dtype=getattr(torch, config.dtype), device=config.device)
        put(self._acting, state.theta)
        self._settings, self._trains = settings_in(config), trains
        self._like = next(self._acting.parameters())
        self._prior_episodes = (
            self._settings.prior_episodes if trains else self._settings.test_prior_episodes
        )

    def blank(self, rows: int) -> Memory:
        """Give the memory at the start of a trial."""
        latent = (rows, self._settings.latent_size)
        last = self._acting.seen + self._acting.actions + 1
        return (
            np.zeros(latent),
            np.zeros(latent),
            np.zeros(latent),
            np.zeros((rows, last)),
            np.zeros((rows, 1), dtype=bool),
            np.ones((rows, 1), dtype=bool),
            np.zeros((rows, 1), dtype=np.int64),
        )

    def draw_noise(
        self, generator: np.random.Generator, steps: int
    ) -> Float[np.ndarray, "time noise"]:
        """Draw the noise of actions and, behind it, of z; of the latter the first step's counts."""
        return generator.standard_normal((steps, self._acting.actions + self._settings.latent_size))

    @torch.no_grad()
    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, "row noise"] | None,
    ) -> tuple[Shaped[np.ndarray, "row act"], Memory]:
        """Choose an action in each trial; without noise by the mean of z and of the policy."""
        latent, precision, weighted, last, pending, fresh, episode = memory
        if self._settings.infer_from_following:
            learned = pending & ~fresh
            told = np.concatenate([last, observations], axis=1)
            precision, weighted = self._inferred(told, learned, precision, weighted)
        actions = self._acting.actions
        latent_noise = np.zeros_like(latent) if noise is None else noise[:, actions:]
        by_prior = (episode < self._prior_episodes) | (precision <= 0)
        safe = np.where(precision > 0, precision, 1.0)
        drawn = np.where(by_prior, latent_noise, weighted / safe + latent_noise / np.sqrt(safe))
        latent = np.where(fresh, drawn, latent)
        inputs = self._blocks(np.concatenate([observations, latent], axis=1))
        mean, log_std = self._acting.policy.parameters_at(filled(inputs))
        before = mean[: len(observations)]
        if self._trains and noise is not None:
            spread = log_std[: len(observations)].exp()
            before = before + spread * self._like.new_tensor(noise[:, :actions])
        chosen = torch.tanh(before).cpu().numpy()
        last = np.concatenate([observations, chosen, np.zeros((len(chosen), 1))], axis=1)
        done = np.zeros_like(fresh)
        return chosen, (latent, precision, weighted, last, done, done, episode)

    @torch.no_grad()
    def observe(
        self,
        memory: Memory,
        rewards: Float[np.ndarray, " row"],
        ended: Bool[np.ndarray, " row"],
    ) -> Memory:
        """Infer from what the last actions brought."""
        latent, precision, weighted, last, _, _, episode = memory
        last = last.copy()
        last[:, -1] = rewards
        learned = np.full_like(ended[:, None], True)
        if self._trains:
            learned = episode < self._prior_episodes
        if self._settings.infer_from_following:
            pending = learned
        else:
            precision, weighted = self._inferred(last, learned, precision, weighted)
            pending = np.zeros_like(learned)
        fresh = ended[:, None].astype(bool)
        return latent, precision, weighted, last, pending, fresh, episode + fresh

    def _inferred(
        self,
        transitions: Float[np.ndarray, "row number"],
        learned: Bool[np.ndarray, "row 1"],
        precision: Float[np.ndarray, "row latent"],
        weighted: Float[np.ndarray, "row latent"],
    ) -> tuple[Float[np.ndarray, "row latent"], Float[np.ndarray, "row latent"]]:
        """Multiply the posterior by the factor of a transition, where it is to be learned from."""
        if not learned.any():
            return precision, weighted
        factors = self._acting.encoder(filled(self._blocks(transitions)))
        rows = len(transitions)
        more, more_weighted = (
            part[:rows].double().cpu().numpy()
            for part in (factors.precision, factors.weighted_mean)
        )
        return (
            np.where(learned, precision + more, precision),
            np.where(learned, weighted + more_weighted, weighted),
        )


@starts_anew
def meet(
    shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Play trials; arguments as for `metarl.agent.memory.meet_in_trials`."""
    trains = Split(key[0]) == Split.TRAIN
    return meet_in_trials(partial(PearlActor, trains=trains), shard, state, tasks, key)


FAMILY = Family(
    "inference",
    UNIT,
    initial_parameters,
    meet,
    states_along_trial,
    PearlActor,
    acts_by_samples=True,
)


# What a gradient step learns from


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


# The agent


class Pearl:
    """Soft actor-critic for policy and critics, whose loss trains the encoder as well."""

    def __init__(self, settings: PearlSettings, config: Config) -> None:
        if config.training_tasks < 2:
            raise ConfigError(
                f"training_tasks = {config.training_tasks}: agent pearl remembers transitions of a "
                "fixed set of tasks and learns to tell them apart; it needs 2 at least, and the "
                "paper has 100"
            )
        if config.adaptation_steps + 1 < settings.prior_episodes:
            raise ConfigError(
                f"prior_episodes = {settings.prior_episodes}: a trial in training has only "
                f"adaptation_steps + 1 = {config.adaptation_steps + 1} episodes"
            )
        if config.initial_policy:
            raise ConfigError(
                f"initial_policy = {config.initial_policy!r}: agent pearl's policy sees a sample "
                "of the posterior, which no saved policy does; leave it away"
            )
        self.family = replace(FAMILY, carried_bytes=settings.replay_mebibytes * MEBIBYTE)
        self._settings = settings
        self._config = config
        of_a_pass = iterations_of_a_pass(config.tasks_per_batch, config.training_tasks)
        self._first_iterations = settings.first_passes * of_a_pass

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Remember what was met, and take an iteration's gradient steps.

        While every task is met for the first times, nothing is learned. Where a number is not
        finite, nothing is changed, and the metrics say so.
        """
        config, settings = self._config, self._settings
        met = workers.map(hand_over)
        iteration = met[0].iteration
        remembered = with_transitions(
            state.experience, self._logs(met), settings.replay_mebibytes * MEBIBYTE
        )
        metrics: dict[str, Any] = {
            "replay_transitions": len(remembered["rewards"]),
            "replay_mebibytes": sum(each.nbytes for each in remembered.values()) / MEBIBYTE,
            "gradient_steps": 0,
            "step_accepted": True,
            "rejection": None,
        }
        if iteration <= self._first_iterations:
            return replace(state, theta=state.theta.copy(), experience=remembered), metrics
        began = time.perf_counter()
        with one_thread():
            learner = Learner(network_of(met[0].policy, config), settings, config)
            learner.load(state)
            drawer = Drawer(remembered, settings, next(learner.network.parameters()))
            said = []
            for step in range(settings.gradient_steps):
                drawn = drawer.draw(stream(config.seed, Purpose.REPLAY, iteration, step))
                said.append(learner.step(*drawn))
            means = {
                name: float(torch.stack([each[name] for each in said]).double().mean())
                for name in said[0]
            }
            theta, optimiser = learner.state()
        finite = all(np.isfinite(each).all() for each in (theta, *optimiser.values()))
        if not finite:
            return state, {**metrics, "step_accepted": False, "rejection": NOT_FINITE}
        metrics |= {
            **means,
            "gradient_steps": settings.gradient_steps,
            "learning_seconds": time.perf_counter() - began,
        }
        return AgentState(theta, optimiser, state.others, remembered), metrics

    def _logs(self, met: list[Met]) -> list[Log]:
        """Turn what was met into transitions of training tasks."""
        config, settings = self._config, self._settings
        numbers = order_of_training(
            config.seed, met[0].iteration, config.tasks_per_batch, config.training_tasks
        )
        prior = settings.prior_episodes
        if met[0].iteration <= self._first_iterations:
            prior = config.adaptation_steps + 1
        logs = [
            transitions_of(each.trials, numbers[each.place], config.horizon, prior) for each in met
        ]
        if settings.shaped_rewards:
            with closing(observed_environment(config)) as environment:
                if not environment.has_wrapper_attr("shaped_rewards"):
                    raise ConfigError(
                        f"shaped_rewards = True: environment {config.env_id!r} has no "
                        "shaped_rewards(task, observations)"
                    )
                shaped = environment.get_wrapper_attr("shaped_rewards")
                for log, each in zip(logs, met, strict=True):
                    rewards = np.asarray(shaped(each.task, log["following"]))
                    log["learned_rewards"] = rewards.astype(np.float32)
        return logs
