"""VariBAD: a policy that sees what it believes of its task (Zintgraf et al. 2020).

An encoder reads what was seen, done and paid, through all episodes of a trial, and gives at every
step a Gaussian belief about a vector m that stands for the task. It is learned with a decoder,
which says from a sample of m what the steps of the whole trial bring, by the evidence lower bound
of each prefix (see `metarl.learning.beliefs`), on trials that are remembered. The policy sees the
observation and the belief's means and log-variances; it is trained by PPO on whole trials, and its
gradient stops at the belief.

=========================  =========================================================================
part of θ                  trained by
=========================  =========================================================================
``model.encoder``          the evidence lower bound, in the parent process, on one thread
``model.decoder``          likewise
``heads``                  PPO, in the shards (see `metarl_agents.trial_ppo`)
=========================  =========================================================================

The memories of both optimisers are in `AgentState.optimiser`, the trials remembered (see
`metarl_agents.trial_buffer`) in `AgentState.experience`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.memory import (
    UNIT,
    Met,
    TensorMemoryActor,
    hand_over,
    meet_in_trials,
    states_along_trial,
)
from metarl.agent.outer_steps import adam_step
from metarl.agent.protocol import AgentState, Family, Memory, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.files import MEBIBYTE
from metarl.foundation.seeding import Purpose, stream
from metarl.foundation.threads import one_thread
from metarl.learning.adaptation import Parameters
from metarl.learning.beliefs import (
    BeliefEncoder,
    CellDecoder,
    Drawn,
    Evidence,
    StepDecoder,
    cell_errors,
    chosen_beliefs,
    evidence,
    of_each_trial,
    sampled,
    squared_errors,
)
from metarl.learning.layers import even, filled
from metarl.learning.memory_policy import (
    ActorCritic,
    action_numbers,
    initialise,
    told_actions,
    told_actions_there,
    what_came_before,
)
from metarl.learning.policies import Distribution, Policy, PolicySpec
from metarl.learning.running_moments import merged, moments_of, no_moments, standard_deviation
from metarl.learning.trajectories import TaskStatistics, Trials
from metarl.tasks.distribution import Tasks
from metarl.tasks.observations import flat_layout
from metarl.workers.device_trials import MemoryThere
from metarl.workers.shards import Shard, Vector, Workers, starts_anew
from metarl_agents.device_memory import varibad_bytes_to_meet, varibad_need
from metarl_agents.settings import VariBADSettings
from metarl_agents.trial_buffer import Buffer, Rows, compact, draw, reached, time_first, with_trials
from metarl_agents.trial_ppo import (
    Learner,
    Scales,
    put,
    require_visible_episodes,
    scales_of,
    tasks_of_a_part,
    update,
)
from metarl_agents.varibad_cells import Cells, cells_of

BELIEFS = "belief_moments"
"""Running moments of beliefs, among the agent's arrays."""
_MODEL = "model"
"""Encoder and decoder among the arrays of the policy's update."""
_POLICY_PREFIX, _MODEL_PREFIX = "policy_", "model_"


def settings_in(config: Config) -> VariBADSettings:
    """Give the settings that a configuration has."""
    settings: VariBADSettings = read_fields(VariBADSettings, config.agent_settings, "agent varibad")
    return settings


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


# How it acts


class VariBADActor(TensorMemoryActor):
    """Acts by observation and belief.

    Its memory: the encoder's hidden state; the last action, reward and end; whether the trial has
    had a step, since before the first the belief is the prior.

    Args:
        spec: of the policy.
        config: of the run.
        state: θ, running moments, and where a trial stands.

    """

    def __init__(self, spec: PolicySpec, config: Config, state: AgentState) -> None:
        super().__init__(state)
        network = network_of(spec, config)
        put(network, state.theta)
        self._encoder, self._acting = network.model.encoder, network.acting
        self._spec = spec
        settings = settings_in(config)
        self._scales, self._belief_scales = (
            scales_of(settings, state),
            belief_scales(settings, state),
        )
        self._like = next(network.parameters())
        self._scales_there, self._belief_scales_there = (
            scales.on_device(self._like.device) for scales in (self._scales, self._belief_scales)
        )

    def blank(self, rows: int) -> Memory:
        """Give the memory at the start of a trial: zeros."""
        (hidden,) = self._encoder.memory.start(rows)
        last = np.zeros((rows, action_numbers(self._spec) + 2))
        return hidden.cpu().numpy(), last, np.zeros((rows, 1), dtype=bool)

    def draw_noise(
        self, generator: np.random.Generator, steps: int
    ) -> Float[np.ndarray, "time *noise"]:
        """Draw what actions are sampled with."""
        return self._acting.policy.draw_noise(generator, steps)

    @torch.no_grad()
    def choose_there(
        self,
        observations: Float[Tensor, "row obs"],
        memory: MemoryThere,
        noise: Float[Tensor, "row *noise"] | None,
    ) -> tuple[Shaped[Tensor, "row *act"], MemoryThere]:
        """Choose an action in each trial."""
        hidden, last, begun = memory
        policy, rows, blocks = self._acting.policy, len(observations), self._blocks_there
        believed, following = self._encoder.step(
            blocks(observations), blocks(last), blocks(hidden), blocks(begun) > 0
        )
        beliefs = self._belief_scales_there.observations(believed[:rows].double())
        seen = self._scales_there.observations(observations)
        distribution = self._acting.step(blocks(seen), blocks(beliefs))
        distribution = tuple(part[:rows] for part in distribution)
        if noise is None:
            chosen = policy.mode(distribution)
        else:
            chosen = policy.sample(distribution, noise.to(self._like.dtype))
        told = torch.zeros_like(last)
        told[:, :-2] = told_actions_there(self._spec, chosen)
        return chosen, (following[:rows], told, begun)

    def observe_there(
        self, memory: MemoryThere, rewards: Float[Tensor, " row"], ended: Bool[Tensor, " row"]
    ) -> MemoryThere:
        """Remember what the last actions paid, and where an episode has ended."""
        hidden, last, begun = memory
        last = last.clone()
        last[:, -2] = rewards
        last[:, -1] = ended
        return hidden, last, torch.ones_like(begun)

    def believe(
        self, observations: Float[np.ndarray, "row obs"], memory: Memory
    ) -> Float[np.ndarray, "row belief"]:
        """Give the belief in each trial before its next action: means, then log-variances."""
        hidden, last, begun = map(self._blocks, memory)
        with torch.no_grad():
            belief, _ = self._encoder.step(self._blocks(observations), last, hidden, begun > 0)
        found: np.ndarray = belief[: len(observations)].cpu().numpy()
        return found


@starts_anew
def meet(
    shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Play trials; arguments as for `metarl.agent.memory.meet_in_trials`."""
    return meet_in_trials(VariBADActor, shard, state, tasks, key)


def bytes_to_meet(sizes: Sizes) -> int:
    """Estimate what acting takes on a device."""
    return varibad_bytes_to_meet(sizes, settings_in(sizes.config))


FAMILY = Family(
    "memory",
    UNIT,
    initial_parameters,
    meet,
    states_along_trial,
    VariBADActor,
    bytes_to_meet=bytes_to_meet,
)


# What PPO works on: policy and value, on beliefs that are given


def policy_of(spec: PolicySpec, config: Config) -> BeliefPolicy:
    """Build policy and value alone."""
    return BeliefPolicy(spec, settings_in(config))


def inputs_of(shard: Shard, state: AgentState, trials: Trials) -> tuple[np.ndarray, ...]:
    """Give what the policy sees: observations and beliefs, normalised."""
    settings = settings_in(shard.config)
    if _MODEL not in shard.kept:
        shard.kept[_MODEL] = network_of(shard.spec.policy, shard.config).model
    model: BeliefModel = shard.kept[_MODEL]
    put(model, state.others[_MODEL])
    like = next(model.parameters())
    told = told_actions(shard.spec.policy, trials.actions)
    inputs = trials.observations, what_came_before(told, trials.rewards, trials.ended)
    with torch.no_grad():
        beliefs = model.encoder.unroll(
            *(torch.as_tensor(each).to(device=like.device, dtype=like.dtype) for each in inputs)
        )
    seen = scales_of(settings, state).observations(trials.observations)
    believed = belief_scales(settings, state).observations(beliefs.double().cpu().numpy())
    return seen, believed


LEARNER = Learner(policy_of, inputs_of)


# What encoder and decoder learn from


@dataclass(frozen=True)
class Steps:
    """Some steps of each trial."""

    observations: Float[Tensor, "trial step obs"]
    actions: Float[Tensor, "trial step act"]
    """Told in numbers."""
    reached: Float[Tensor, "trial step obs"]
    """What was seen after the step."""
    rewards: Float[Tensor, "trial step 1"]


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


# The outer step


class VariBAD:
    """PPO for the policy, evidence lower bounds for the belief that it sees."""

    def __init__(self, settings: VariBADSettings, config: Config) -> None:
        require_visible_episodes(config)
        self.family = replace(
            FAMILY,
            tasks_together=tasks_of_a_part(settings, config),
            carried_bytes=settings.buffer_mebibytes * MEBIBYTE,
        )
        self._settings = settings
        self._config = config

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return varibad_need(sizes, self._settings)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take an iteration's steps of PPO, then of encoder and decoder.

        Where a number is not finite, nothing is changed, and the metrics say so.
        """
        settings = self._settings
        met = workers.map(hand_over)
        network = network_of(met[0].policy, self._config)
        size, iteration = network.model_size, met[0].iteration
        model, heads = state.theta[:size], state.theta[size:]
        policy_memory = _with_prefix(state.optimiser, _POLICY_PREFIX)
        others: dict[str, np.ndarray] = dict(state.others)
        metrics: dict[str, Any] = {"step_accepted": True, "rejection": None}
        if iteration > settings.warm_up_iterations:
            seen = AgentState(heads, policy_memory, {**state.others, _MODEL: model})
            found = update(workers, seen, policy_memory, settings, LEARNER)
            metrics = dict(found.metrics)
            if not metrics["step_accepted"]:
                return state, metrics
            heads, policy_memory = found.theta, dict(found.optimiser)
            others |= found.others

        began = time.perf_counter()
        with one_thread():
            rows = self._compact(met)
            if iteration > settings.warm_up_iterations:
                put(network.model, model)
                others[BELIEFS] = self._belief_moments(network.model, rows, met[0].policy, others)
            remembered = with_trials(
                state.experience,
                rows,
                settings.buffer_trials,
                settings.buffer_mebibytes * MEBIBYTE,
            )
            model, model_memory, learned = self._learn(
                network.model,
                model,
                _with_prefix(state.optimiser, _MODEL_PREFIX),
                remembered,
                met[0].policy,
                iteration,
            )
        if not np.isfinite(model).all():
            return state, {**metrics, "step_accepted": False, "rejection": NOT_FINITE}
        optimiser = {
            **{_POLICY_PREFIX + name: array for name, array in policy_memory.items()},
            **{_MODEL_PREFIX + name: array for name, array in model_memory.items()},
        }
        metrics |= {**learned, "model_seconds": time.perf_counter() - began}
        return AgentState(np.concatenate([model, heads]), optimiser, others, remembered), metrics

    def _compact(self, met: list[Met]) -> Rows:
        actions = met[0].policy.action_space
        choices = int(actions.n) if isinstance(actions, gym.spaces.Discrete) else 0
        return compact([each.trials for each in met], self._config.horizon, choices)

    def _belief_moments(
        self, model: BeliefModel, rows: Rows, spec: PolicySpec, others: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Merge the moments of the beliefs that the policy has just seen into the running ones."""
        trials = whole_trials(rows, spec, next(model.parameters()))
        with torch.no_grad():
            beliefs = model.encoder.unroll(trials.observations, trials.last)
        seen = beliefs.transpose(0, 1).cpu().numpy()[trials.taken]
        return merged([moments_of(seen)], others.get(BELIEFS, no_moments(seen.shape[1])))

    def _learn(
        self,
        network: BeliefModel,
        model: Vector,
        memory: Mapping[str, np.ndarray],
        buffer: Buffer,
        spec: PolicySpec,
        iteration: int,
    ) -> tuple[Vector, Mapping[str, np.ndarray], dict[str, float]]:
        """Take the steps of encoder and decoder; give both, Adam's memory and the metrics."""
        settings, said = self._settings, []
        learning_rate = settings.model_rate_at(iteration)
        leaves = list(network.parameters())
        for step in range(settings.model_steps):
            generator = stream(self._config.seed, Purpose.BELIEF, iteration, step)
            rows = draw(buffer, settings.model_trials, generator)
            put(network, model)
            trials = whole_trials(rows, spec, leaves[0])
            drawn = draw_terms(trials, settings, generator)
            loss, about = model_loss(network, trials, drawn, settings)
            slopes = torch.autograd.grad(loss, leaves)
            gradient = torch.cat([slope.flatten() for slope in slopes]).cpu()
            model, memory = adam_step(model, gradient, memory, learning_rate)
            said.append(about)
        metrics = (
            {name: float(np.mean([each[name] for each in said])) for name in said[0]}
            if said
            else {}
        )
        return model, memory, metrics


def _with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
