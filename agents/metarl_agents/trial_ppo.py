"""PPO on whole trials, for the agents that carry a memory through them.

The meta-batch is cut into parts of neighbouring tasks, which never lie in two shards. Each part
gives its gradient of every minibatch; they are added in the parts' order, so that a run has the
same bits with any number of workers.

==============  ==========================================================================
what is mapped  what it gives of each part
==============  ==========================================================================
`prepare`       moments of observations, rewards and returns; the part's tensors stay there
`estimate`      the policy's own probabilities and values, advantages; their moments
`gradient`      a minibatch's gradient, as a sum over its steps
==============  ==========================================================================

Mapped functions give one result for each task: the first task of a part has the part's, the others
have None.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from metarl.agent.protocol import AgentState
from metarl.config.fields import read_fields
from metarl.config.plugins import load_agent
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Purpose, stream
from metarl.learning.policies import Distribution, Policy, PolicySpec
from metarl.learning.ppo import clipped_objective, value_loss
from metarl.learning.returns import discounted_returns, generalised_advantages
from metarl.learning.running_moments import Moments, moments_of, standard_deviation
from metarl.learning.trajectories import Trials
from metarl.workers.shards import Shard, Vector
from metarl_agents.trial_settings import PPOSettings

R = TypeVar("R")

Array = Any
"""numpy's array, or torch's tensor."""

OBSERVATIONS, REWARDS, RETURNS = "observation_moments", "reward_moments", "return_moments"
"""Running moments among an agent's arrays."""
_MOST = 10.0
"""Standard deviations at which normalised observations are cut off."""
_FAINTEST = 1e-3
"""How much what comes an episode later must count at least."""


@runtime_checkable
class TrialNetwork(Protocol):
    """A module that gives policy and value at every step of whole trials."""

    @property
    def policy(self) -> Policy:
        """The mathematics of the action's distribution."""

    def unroll(self, *inputs: Float[Tensor, "time trial _"]) -> tuple[Distribution, Tensor]:
        """Give the action's distribution and the value at every step."""


NetworkOf = Callable[[PolicySpec, Config], Any]
InputsOf = Callable[[Shard, AgentState, Trials], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Learner:
    """What an agent's PPO works on; its functions stand at the top level of a module.

    Args:
        network: gives the module, a `TrialNetwork`, of a policy's specification and configuration.
        inputs: gives what the module unrolls over, for trials of a shard.

    """

    network: NetworkOf
    inputs: InputsOf


@dataclass(frozen=True)
class Scales:
    """What a policy's inputs are normalised by: numpy's arrays, or tensors on a device."""

    observation_mean: Float[Array, " obs"]
    observation_deviation: Float[Array, " obs"]
    reward_deviation: float

    def observations(self, seen: Float[Array, "*batch obs"]) -> Float[Array, "*batch obs"]:
        """Normalise observations."""
        standard = (seen - self.observation_mean) / self.observation_deviation
        return standard.clip(-_MOST, _MOST)

    def on_device(self, device: torch.device) -> "Scales":
        """Give the same for tensors on a device."""
        moments = (self.observation_mean, self.observation_deviation)
        mean, deviation = (torch.tensor(each, device=device) for each in moments)
        return Scales(mean, deviation, self.reward_deviation)


@dataclass
class Part:
    """The trials of neighbouring tasks, in tensors with time first."""

    trials: Trials
    inputs: tuple[Float[Tensor, "time trial _"], ...]
    actions: Tensor
    taken: Bool[Tensor, "time trial"]
    old_log_probs: Tensor = field(default_factory=lambda: torch.zeros(0))
    old_values: Tensor = field(default_factory=lambda: torch.zeros(0))
    advantages: Tensor = field(default_factory=lambda: torch.zeros(0))
    targets: Tensor = field(default_factory=lambda: torch.zeros(0))
    """These four, (time, trial), come with `estimate`."""


@dataclass(frozen=True)
class Prepared:
    """What the trials of a part say before any network is asked."""

    iteration: int
    observations: Moments
    rewards: Moments
    returns: Moments


@dataclass(frozen=True)
class Slope:
    """What a minibatch's steps in a part give: sums over them."""

    gradient: Vector
    steps: int
    sums: Float[np.ndarray, "4"]
    """Clipped steps, KL divergence, value loss, entropy."""


@dataclass(frozen=True)
class Weights:
    """What a minibatch's gradient depends on beside θ."""

    epoch: int
    minibatch: int
    advantage_mean: float
    advantage_deviation: float
    entropy: float


def require_visible_episodes(config: Config) -> None:
    """Refuse a discount by which an episode does not see the next one of its trial.

    Raises:
        ConfigError: it does not.

    """
    if not config.adaptation_steps or config.discount**config.horizon >= _FAINTEST:
        return
    least = math.ceil(1e4 * _FAINTEST ** (1 / config.horizon)) / 1e4
    raise ConfigError(
        f"discount = {config.discount} makes the episodes of a trial invisible to each other: what "
        f"comes an episode of horizon = {config.horizon} steps later counts "
        f"{config.discount**config.horizon:.1g} of itself, so that no episode is played for the "
        f"next; take a discount of {least} or more, or trials of one episode "
        "(adaptation_steps = 0)"
    )


def tasks_of_a_part(settings: PPOSettings, config: Config) -> int:
    """Say how many neighbouring tasks make a part."""
    return math.ceil(config.tasks_per_batch / settings.gradient_parts)


def scales_of(settings: PPOSettings, state: AgentState) -> Scales:
    """Give what inputs are normalised by; nothing, before anything was seen."""
    observed, paid = state.others.get(OBSERVATIONS), state.others.get(REWARDS)
    mean, deviation, reward = np.zeros(1), np.ones(1), 1.0
    if settings.normalise_observations and observed is not None:
        mean, deviation = observed[1], standard_deviation(observed)
    if settings.normalise_rewards and paid is not None:
        reward = float(standard_deviation(paid)[0])
    return Scales(mean, deviation, reward)


# What is mapped over the shards


def prepare(shard: Shard, state: AgentState, learner: Learner) -> list[Prepared | None]:
    """Turn the trials of each part into tensors, which stay; give their moments."""
    like = next(iter(shard.template.values()))
    shard.scratch, prepared = [], []
    for columns in _parts(shard).values():
        assert shard.trials is not None
        trials = shard.trials.of(columns)
        inputs = tuple(
            torch.tensor(values, dtype=like.dtype, device=like.device)
            for values in learner.inputs(shard, state, trials)
        )
        actions = torch.tensor(trials.actions, device=like.device)
        taken = torch.tensor(trials.mask, device=like.device)
        shard.scratch.append(Part(trials, inputs, actions, taken))
        steps = trials.mask
        prepared.append(
            Prepared(
                shard.key[1],
                moments_of(trials.observations[steps]),
                moments_of(trials.rewards[steps][:, None]),
                moments_of(_running_returns(trials, shard.config.discount)[steps][:, None]),
            )
        )
    return _for_each_task(shard, prepared)


def estimate(
    shard: Shard, theta: Vector, reward_deviation: float, learner: Learner
) -> list[Moments | None]:
    """Estimate each part's advantages by the policy that played; give their moments.

    The trial is one long episode: advantages run through the ends of its episodes, and nothing
    counts after its last step.
    """
    network = loaded(shard, learner, theta)
    config, settings = shard.config, settings_of(shard)
    found = []
    for part in shard.scratch:
        log_probs, values = [], []
        with shard.stopwatch.phase("values"), torch.no_grad():
            for rows in torch.arange(len(part.trials)).tensor_split(settings.minibatches):
                distribution, value = network.unroll(*(each[:, rows] for each in part.inputs))
                log_probs.append(network.policy.log_prob(distribution, part.actions[:, rows]))
                values.append(value)
        part.old_log_probs, part.old_values = torch.cat(log_probs, 1), torch.cat(values, 1)
        with shard.stopwatch.phase("advantages"):
            rewards = torch.tensor(part.trials.rewards / reward_deviation)
            expected = part.old_values.double().cpu()
            taken = part.taken.cpu()
            advantages = generalised_advantages(
                rewards.T, expected.T, taken.T, config.discount, config.gae_lambda
            ).T
            targets = expected + advantages
            if settings.value_targets == "returns":
                targets = discounted_returns(rewards.T, taken.T, config.discount).T
            part.advantages = advantages.to(part.old_values).contiguous()
            part.targets = targets.to(part.old_values).contiguous()
        found.append(moments_of(advantages[taken].numpy()[:, None]))
    return _for_each_task(shard, found)


def gradient(shard: Shard, theta: Vector, weights: Weights, learner: Learner) -> list[Slope | None]:
    """Give each part's gradient of a minibatch."""
    network = loaded(shard, learner, theta)
    settings = settings_of(shard)
    slopes = []
    for number, part in zip(_parts(shard), shard.scratch, strict=True):
        key = (*shard.key, weights.epoch, number)
        order = stream(shard.config.seed, Purpose.MINIBATCH, *key).permutation(len(part.trials))
        # Where trials do not come out even, each part begins to deal where the one before stopped.
        before = number * shard.spec.tasks_together * shard.slots_per_task
        hand = (weights.minibatch - before) % settings.minibatches
        rows = np.array_split(order, settings.minibatches)[hand]
        slopes.append(_slope(network, part, torch.from_numpy(rows), weights, settings))
    return _for_each_task(shard, slopes)


def _slope(
    network: Any, part: Part, rows: Tensor, weights: Weights, settings: PPOSettings
) -> Slope:
    leaves = list(network.parameters())
    if not len(rows):
        size = sum(leaf.numel() for leaf in leaves)
        return Slope(np.zeros(size, dtype=np.float32), 0, np.zeros(4))
    taken = part.taken[:, rows]
    distribution, values = network.unroll(*(each[:, rows] for each in part.inputs))
    objective = clipped_objective(
        network.policy.log_prob(distribution, part.actions[:, rows]),
        part.old_log_probs[:, rows],
        (part.advantages[:, rows] - weights.advantage_mean) / weights.advantage_deviation,
        taken,
        settings.clip_ratio,
    )
    error = value_loss(
        values,
        part.old_values[:, rows],
        part.targets[:, rows],
        taken,
        settings.value_clip,
        settings.value_huber,
    )
    entropy = torch.where(taken, network.policy.entropy(distribution), 0.0).sum()
    loss = objective.loss + settings.value_weight * error - weights.entropy * entropy
    slopes = torch.autograd.grad(loss, leaves)
    sums = torch.stack([objective.clipped, objective.kl, error.detach(), entropy.detach()])
    return Slope(
        torch.cat([slope.flatten() for slope in slopes]).cpu().numpy(),
        int(taken.sum()),
        sums.double().cpu().numpy(),
    )


def loaded(shard: Shard, learner: Learner, theta: Vector) -> Any:
    """Give the network with θ for its parameters; it is built once for each shard."""
    if "network" not in shard.kept:
        network = learner.network(shard.spec.policy, shard.config)
        like = next(iter(shard.template.values()))
        shard.kept["network"] = network.to(dtype=like.dtype, device=like.device)
    network = shard.kept["network"]
    put(network, theta)
    return network


@torch.no_grad()
def put(network: nn.Module, theta: Vector) -> None:
    """Give a module the parameters of a vector."""
    values, first = torch.from_numpy(theta), 0
    for own in network.parameters():
        own.copy_(values[first : first + own.numel()].view_as(own))
        first += own.numel()


def settings_of(shard: Shard) -> Any:
    """Give the agent's settings, as the configuration of a shard has them."""
    if "settings" not in shard.kept:
        config = shard.config
        kind = load_agent(config.agent).settings
        shard.kept["settings"] = read_fields(kind, config.agent_settings, "agent_settings")
    return shard.kept["settings"]


def _running_returns(trials: Trials, discount: float) -> Float[np.ndarray, "time trial"]:
    """Give what the rewards up to each step come to, the older ones discounted."""
    so_far = np.zeros(len(trials))
    returns = np.zeros_like(trials.rewards)
    for time, reward in enumerate(trials.rewards):
        so_far = discount * so_far + reward
        returns[time] = so_far
    return returns


def _parts(shard: Shard) -> dict[int, slice]:
    """Give the trials of each part of the meta-batch that the shard has, by the part's number."""
    # The tasks are in order, so that each part's are neighbours.
    owners = np.asarray(shard.task_indices, dtype=np.int64) // shard.spec.tasks_together
    numbers, firsts, counts = np.unique(owners, return_index=True, return_counts=True)
    starts, stops = firsts * shard.slots_per_task, (firsts + counts) * shard.slots_per_task
    spans = map(slice, starts.tolist(), stops.tolist())
    return dict(zip(numbers.tolist(), spans, strict=True))


def _for_each_task(shard: Shard, results: Sequence[R]) -> list[R | None]:
    """Give the results of the shard's parts to the first task of each."""
    for_tasks: list[R | None] = [None] * len(shard.tasks)
    for trials, result in zip(_parts(shard).values(), results, strict=True):
        for_tasks[trials.start // shard.slots_per_task] = result
    return for_tasks
