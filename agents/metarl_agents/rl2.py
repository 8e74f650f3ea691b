"""RL²: a policy whose memory learns to learn (Duan et al. 2016; Wang et al. 2016).

A recurrent network sees, beside the observation, what it did last, what that paid and whether an
episode has ended. Its memory goes through all episodes of a trial and begins anew with the next
trial. It is trained to make the most of the whole trial, by PPO; so exploring in one episode is
paid for in the next.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.memory import UNIT, TensorMemoryActor, meet_in_trials, states_along_trial
from metarl.agent.protocol import AgentState, Family, Memory, Metrics
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.learning.adaptation import Parameters
from metarl.learning.memory_policy import (
    MemoryPolicy,
    action_numbers,
    initialise,
    told_actions,
    told_actions_there,
    what_came_before,
)
from metarl.learning.policies import PolicySpec
from metarl.learning.trajectories import TaskStatistics, Trials
from metarl.tasks.distribution import Tasks
from metarl.tasks.observations import flat_layout
from metarl.workers.device_trials import MemoryThere
from metarl.workers.shards import Shard, Vector, Workers, starts_anew
from metarl_agents.device_memory import rl2_bytes_to_meet, rl2_need
from metarl_agents.trial_ppo import (
    Array,
    Learner,
    put,
    require_visible_episodes,
    scales_of,
    tasks_of_a_part,
)
from metarl_agents.trial_ppo_update import update
from metarl_agents.trial_settings import RL2Settings


def settings_in(config: Config) -> RL2Settings:
    """Give the settings that a configuration has."""
    settings: RL2Settings = read_fields(RL2Settings, config.agent_settings, "agent rl2")
    return settings


def network_of(spec: PolicySpec, config: Config) -> MemoryPolicy:
    """Build the network of policy and value, its weights drawn from the run's seed.

    Raises:
        ConfigError: pixels would be scaled twice.

    """
    settings = settings_in(config)
    if settings.normalise_observations and spec.layout and spec.layout.has_images:
        raise ConfigError(
            "normalise_observations = True: observations are images, which are divided by "
            "image_scale already, and twice would leave nothing to see; leave it at False"
        )
    with torch.random.fork_rng(devices=[]):  # what torch draws by itself is drawn over
        network = MemoryPolicy(spec, settings)
    initialise(network, config.seed, settings.remembered_steps)
    return network


def initial_parameters(spec: PolicySpec, config: Config) -> Parameters:
    """Give the parameters before training."""
    network = network_of(spec, config).to(dtype=getattr(torch, config.dtype))
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def inputs_of(shard: Shard, state: AgentState, trials: Trials) -> tuple[np.ndarray, ...]:
    """Give what the network unrolls over: observations, and what came before each of them."""
    settings = settings_in(shard.config)
    scales = scales_of(settings, state)
    told = told_actions(shard.spec.policy, trials.actions)
    seen = scales.observations(trials.observations)
    answered = seen if settings.observe_before else None
    rewards = trials.rewards / scales.reward_deviation
    return seen, what_came_before(told, rewards, trials.ended, answered)


LEARNER = Learner(network_of, inputs_of)


class RL2Actor(TensorMemoryActor):
    """Acts by the network; remembers its hidden state, and its last action, reward and end.

    Args:
        spec: of the policy.
        config: of the run.
        state: θ, running moments, and where a trial stands.

    """

    def __init__(self, spec: PolicySpec, config: Config, state: AgentState) -> None:
        super().__init__(state)
        network = network_of(spec, config)
        self._network = network.to(dtype=getattr(torch, config.dtype), device=config.device)
        put(self._network, state.theta)
        self._spec = spec
        settings = settings_in(config)
        self._scales = scales_of(settings, state)
        layout = spec.layout or flat_layout(spec.observation_space)
        self._actions = action_numbers(spec)
        self._answered = layout.size if settings.observe_before else 0
        self._like = next(self._network.parameters())
        self._scales_there = self._scales.on_device(self._like.device)

    def blank(self, rows: int) -> Memory:
        """Give the memory at the start of a trial: zeros."""
        hidden = self._network.memory.start(rows)
        last = np.zeros((rows, self._actions + 2 + self._answered))
        return (*(part.cpu().numpy() for part in hidden), last)

    def draw_noise(
        self, generator: np.random.Generator, steps: int
    ) -> Float[np.ndarray, "time *noise"]:
        """Draw what actions are sampled with."""
        return self._network.policy.draw_noise(generator, steps)

    @torch.no_grad()
    def choose_there(
        self,
        observations: Float[Tensor, "row obs"],
        memory: MemoryThere,
        noise: Float[Tensor, "row *noise"] | None,
    ) -> tuple[Shaped[Tensor, "row *act"], MemoryThere]:
        """Choose an action in each trial."""
        *hidden, last = memory
        policy, rows = self._network.policy, len(observations)
        seen = self._scales_there.observations(observations)
        distribution, following = self._network.step(
            self._blocks_there(seen),
            self._blocks_there(last),
            tuple(map(self._blocks_there, hidden)),
        )
        distribution = tuple(part[:rows] for part in distribution)
        if noise is None:
            chosen = policy.mode(distribution)
        else:
            chosen = policy.sample(distribution, noise.to(self._like.dtype))
        told = torch.zeros_like(last)
        told[:, : self._actions] = told_actions_there(self._spec, chosen)
        if self._answered:
            told[:, -self._answered :] = seen
        return chosen, (*(part[:rows] for part in following), told)

    def observe(
        self,
        memory: Memory,
        rewards: Float[np.ndarray, " row"],
        ended: Bool[np.ndarray, " row"],
    ) -> Memory:
        """Remember what the last actions paid, and where an episode has ended."""
        return (*memory[:-1], self._told(memory[-1].copy(), rewards, ended))

    def observe_there(
        self, memory: MemoryThere, rewards: Float[Tensor, " row"], ended: Bool[Tensor, " row"]
    ) -> MemoryThere:
        """Remember it, on the device."""
        return (*memory[:-1], self._told(memory[-1].clone(), rewards, ended))

    def _told(self, last: Array, rewards: Array, ended: Array) -> Array:
        last[:, self._actions] = rewards / self._scales.reward_deviation
        last[:, self._actions + 1] = ended
        return last


@starts_anew
def meet(
    shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Play trials; arguments as for `metarl.agent.memory.meet_in_trials`."""
    return meet_in_trials(RL2Actor, shard, state, tasks, key)


def bytes_to_meet(sizes: Sizes) -> int:
    """Estimate what acting takes on a device."""
    return rl2_bytes_to_meet(sizes, settings_in(sizes.config))


FAMILY = Family(
    "memory",
    UNIT,
    initial_parameters,
    meet,
    states_along_trial,
    RL2Actor,
    bytes_to_meet=bytes_to_meet,
)


class RL2:
    """PPO on whole trials."""

    def __init__(self, settings: RL2Settings, config: Config) -> None:
        require_visible_episodes(config)
        self.family = replace(FAMILY, tasks_together=tasks_of_a_part(settings, config))
        self._settings = settings

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return rl2_need(sizes, self._settings)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take an iteration's steps of PPO."""
        found = update(workers, state, state.optimiser, self._settings, LEARNER)
        return AgentState(found.theta, found.optimiser, found.others), found.metrics
