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
the parent process on one thread, for all tasks of a meta-batch in single calls
(`metarl_agents.pearl_learning`); on a CUDA device each is one graph.
"""

import math
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

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
from metarl.agent.outer_steps import is_finite
from metarl.agent.protocol import AgentState, Family, Memory, Metrics
from metarl.agent.rejections import NOT_FINITE
from metarl.config.reinforcement import Config
from metarl.foundation.errors import ConfigError
from metarl.foundation.files import MEBIBYTE
from metarl.foundation.seeding import Purpose, Split, stream
from metarl.foundation.threads import one_thread
from metarl.learning.layers import filled
from metarl.learning.policies import PolicySpec
from metarl.learning.trajectories import TaskStatistics
from metarl.tasks.distribution import Tasks
from metarl.tasks.policy_environment import observed_environment
from metarl.tasks.training_sets import iterations_of_a_pass, order_of_training
from metarl.workers.device_trials import MemoryThere
from metarl.workers.shards import Shard, Vector, Workers, starts_anew
from metarl_agents.device_memory import pearl_bytes_to_meet, pearl_need
from metarl_agents.pearl_learning import STEP_METRICS, Drawer, Learner
from metarl_agents.pearl_networks import Acting, initial_parameters, network_of, settings_in
from metarl_agents.pearl_settings import PearlSettings
from metarl_agents.replay import Log, transitions_of, with_transitions
from metarl_agents.trial_ppo import put


class PearlActor(TensorMemoryActor):
    """Acts by an observation and a sample of z.

    Its memory: z; the posterior's precision and weighted mean; the observation, action and reward
    of the last step; whether that is still to be learned from; whether a new z is due; the number
    of the episode.

    Args:
        spec: of the policy.
        config: of the run.
        state: θ, and where a trial stands.
        trains: whether to act as in training: by samples of the policy, with the training's
            number of episodes by the prior, from which alone it infers (unless
            `infer_from_posterior`), and of those that hold one action. Otherwise by the mean of
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
        self._infers_from_all = not trains or self._settings.infer_from_posterior
        self._like = next(self._acting.parameters())
        self._prior_episodes = (
            self._settings.prior_episodes if trains else self._settings.test_prior_episodes
        )
        self._held_episodes = self._settings.held_episodes if trains else 0
        self._by_prior = self._prior_episodes + self._held_episodes

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
    def choose_there(
        self,
        observations: Float[Tensor, "row obs"],
        memory: MemoryThere,
        noise: Float[Tensor, "row noise"] | None,
    ) -> tuple[Shaped[Tensor, "row act"], MemoryThere]:
        """Choose an action in each trial; without noise by the mean of z and of the policy."""
        latent, precision, weighted, last, pending, fresh, episode = memory
        if self._settings.infer_from_following:
            learned = pending & ~fresh
            told = torch.cat([last, observations], 1)
            precision, weighted = self._inferred(told, learned, precision, weighted)
        actions = self._acting.actions
        latent_noise = torch.zeros_like(latent) if noise is None else noise[:, actions:]
        by_prior = (episode < self._by_prior) | (precision <= 0)
        safe = torch.where(precision > 0, precision, 1.0)
        drawn = torch.where(by_prior, latent_noise, weighted / safe + latent_noise / safe.sqrt())
        latent = torch.where(fresh, drawn, latent)
        inputs = self._blocks_there(torch.cat([observations, latent], 1))
        mean, log_std = self._acting.policy.parameters_at(filled(inputs))
        before = mean[: len(observations)]
        if self._trains and noise is not None:
            spread = log_std[: len(observations)].exp()
            before = before + spread * noise[:, :actions].to(self._like.dtype)
        chosen = torch.tanh(before)
        if self._held_episodes:
            holds = (episode >= self._prior_episodes) & (episode < self._by_prior)
            held = torch.erf(latent[:, :actions] / math.sqrt(2.0))  # even, as z is from N(0, I)
            chosen = torch.where(holds, held.to(chosen.dtype), chosen)
        last = torch.cat([observations, chosen.double(), torch.zeros_like(last[:, :1])], 1)
        done = torch.zeros_like(fresh)
        return chosen, (latent, precision, weighted, last, done, done, episode)

    @torch.no_grad()
    def observe_there(
        self, memory: MemoryThere, rewards: Float[Tensor, " row"], ended: Bool[Tensor, " row"]
    ) -> MemoryThere:
        """Infer from what the last actions brought."""
        latent, precision, weighted, last, _, _, episode = memory
        last = last.clone()
        last[:, -1] = rewards
        learned = (episode < self._prior_episodes) | self._infers_from_all
        if self._settings.infer_from_following:
            pending = learned
        else:
            precision, weighted = self._inferred(last, learned, precision, weighted)
            pending = torch.zeros_like(learned)
        fresh = ended.bool().unsqueeze(1)
        return latent, precision, weighted, last, pending, fresh, episode + fresh

    def _inferred(
        self,
        transitions: Float[Tensor, "row number"],
        learned: Bool[Tensor, "row 1"],
        precision: Float[Tensor, "row latent"],
        weighted: Float[Tensor, "row latent"],
    ) -> tuple[Float[Tensor, "row latent"], Float[Tensor, "row latent"]]:
        """Multiply the posterior by the factor of a transition, where it is to be learned from."""
        if learned.device.type == "cpu" and not learned.any():  # elsewhere it would be waited for
            return precision, weighted
        factors = self._acting.encoder(filled(self._blocks_there(transitions)))
        rows = len(transitions)
        more, more_weighted = (
            part[:rows].double() for part in (factors.precision, factors.weighted_mean)
        )
        return (
            torch.where(learned, precision + more, precision),
            torch.where(learned, weighted + more_weighted, weighted),
        )


@starts_anew
def meet(
    shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Play trials; arguments as for `metarl.agent.memory.meet_in_trials`."""
    trains = Split(key[0]) == Split.TRAIN
    return meet_in_trials(partial(PearlActor, trains=trains), shard, state, tasks, key)


def bytes_to_meet(sizes: Sizes) -> int:
    """Estimate what acting takes on a device."""
    return pearl_bytes_to_meet(sizes, settings_in(sizes.config))


FAMILY = Family(
    "inference",
    UNIT,
    initial_parameters,
    meet,
    states_along_trial,
    PearlActor,
    acts_by_samples=True,
    bytes_to_meet=bytes_to_meet,
)


class Pearl:
    """Soft actor-critic for policy and critics, whose loss trains the encoder as well."""

    def __init__(self, settings: PearlSettings, config: Config) -> None:
        if config.training_tasks < 2:
            raise ConfigError(
                f"training_tasks = {config.training_tasks}: agent pearl remembers transitions of a "
                "fixed set of tasks and learns to tell them apart; it needs 2 at least, and the "
                "paper has 100"
            )
        if config.adaptation_steps + 1 < settings.prior_episodes + settings.held_episodes:
            held = f" and held_episodes = {settings.held_episodes}" * bool(settings.held_episodes)
            raise ConfigError(
                f"prior_episodes = {settings.prior_episodes}{held}: a trial in training has only "
                f"adaptation_steps + 1 = {config.adaptation_steps + 1} episodes"
            )
        self.family = replace(FAMILY, carried_bytes=settings.replay_mebibytes * MEBIBYTE)
        self._settings = settings
        self._config = config
        of_a_pass = iterations_of_a_pass(config.tasks_per_batch, config.training_tasks)
        self._first_iterations = settings.first_passes * of_a_pass
        self._learner: Learner | None = None

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration."""
        return AgentState(theta)

    def device_need(self, sizes: Sizes) -> Need:
        """Estimate what the step takes on a device."""
        return pearl_need(sizes, self._settings)

    def improve(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Remember what was met, and take an iteration's gradient steps.

        While every task is met for the first times, nothing is learned. Where a number is not
        finite, nothing is changed, and the metrics say so.
        """
        config, settings = self._config, self._settings
        met = workers.map(hand_over)
        iteration, logs = met[0].iteration, self._logs(met)
        rejected: Metrics = {"step_accepted": False, "rejection": NOT_FINITE}
        if not all(is_finite(log["rewards"], log) for log in logs):
            return state, rejected
        remembered = with_transitions(state.experience, logs, settings.replay_mebibytes * MEBIBYTE)
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
            learner = self._learner_at(state, met[0].policy)
            drawer = Drawer(remembered, settings, next(learner.network.parameters()))
            said = []
            for step in range(settings.gradient_steps):
                drawn = drawer.draw(stream(config.seed, Purpose.REPLAY, iteration, step))
                said.append(learner.step(*drawn))
            by_metric = torch.stack(said, dim=1).double()
            means = torch.stack([values.mean() for values in by_metric]).tolist()
            theta, optimiser = learner.state()
        if not is_finite(theta, optimiser):
            return state, {**metrics, **rejected}
        metrics |= {
            **dict(zip(STEP_METRICS, means, strict=True)),
            "gradient_steps": settings.gradient_steps,
            "learning_seconds": time.perf_counter() - began,
        }
        return AgentState(theta, optimiser, state.others, remembered), metrics

    def _learner_at(self, state: AgentState, spec: PolicySpec) -> Learner:
        """Give what goes on from a state; all iterations share it, and its graph on a device."""
        if self._learner is None or not state.optimiser:  # critics begin as the seed draws them
            network = network_of(spec, self._config)
            self._learner = Learner(network, self._settings, self._config)
        self._learner.load(state)
        return self._learner

    def _logs(self, met: list[Met]) -> list[Log]:
        """Turn what was met into transitions of training tasks."""
        config, settings = self._config, self._settings
        numbers = order_of_training(
            config.seed, met[0].iteration, config.tasks_per_batch, config.training_tasks
        )
        told = settings.prior_episodes
        if settings.infer_from_posterior or met[0].iteration <= self._first_iterations:
            told = config.adaptation_steps + 1
        logs = [
            transitions_of(each.trials, numbers[each.place], config.horizon, told) for each in met
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
