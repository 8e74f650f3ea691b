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
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.memory import (
    UNIT,
    Met,
    TensorMemoryActor,
    hand_over,
    meet_in_trials,
    states_along_trial,
)
from metarl.agent.outer_steps import adam_step, is_finite
from metarl.agent.protocol import AgentState, Family, Memory, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.config.reinforcement import Config
from metarl.foundation.files import MEBIBYTE
from metarl.foundation.seeding import Purpose, stream
from metarl.foundation.threads import one_thread
from metarl.learning.memory_policy import (
    action_numbers,
    told_actions,
    told_actions_there,
    what_came_before,
)
from metarl.learning.policies import PolicySpec
from metarl.learning.running_moments import merged, moments_of, no_moments
from metarl.learning.trajectories import TaskStatistics, Trials
from metarl.tasks.distribution import Tasks
from metarl.workers.device_trials import MemoryThere
from metarl.workers.shards import Shard, Vector, Workers, starts_anew
from metarl_agents.device_memory import varibad_bytes_to_meet, varibad_need
from metarl_agents.trial_buffer import Buffer, Rows, compact, draw, with_trials
from metarl_agents.trial_ppo import (
    Learner,
    put,
    require_visible_episodes,
    scales_of,
    tasks_of_a_part,
)
from metarl_agents.trial_ppo_update import update
from metarl_agents.trial_settings import VariBADSettings
from metarl_agents.varibad_evidence import draw_terms, model_loss, whole_trials
from metarl_agents.varibad_networks import (
    BELIEFS,
    BeliefModel,
    BeliefPolicy,
    belief_scales,
    initial_parameters,
    network_of,
    settings_in,
)

_MODEL = "model"
"""Encoder and decoder among the arrays of the policy's update."""
_POLICY_PREFIX, _MODEL_PREFIX = "policy_", "model_"


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
        optimiser = {
            **{_POLICY_PREFIX + name: array for name, array in policy_memory.items()},
            **{_MODEL_PREFIX + name: array for name, array in model_memory.items()},
        }
        if not is_finite(model, {**optimiser, **others, **rows}):
            return state, {**metrics, "step_accepted": False, "rejection": NOT_FINITE}
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
