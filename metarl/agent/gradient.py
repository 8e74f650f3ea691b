"""The gradient family: what changes during a task is θ, by gradient steps on its own episodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from metarl.agent.gradient_memory import bytes_to_meet
from metarl.agent.protocol import AgentState, Family, Memory
from metarl.agent.stacked_objective import stacked_inner_step
from metarl.config.reinforcement import Config
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import LearningRate, Parameters, inner_step, unflatten
from metarl.learning.objectives import act, reinforce_loss
from metarl.learning.policies import Policy, PolicySpec, parameters_of
from metarl.learning.trajectories import Batch, Experience, TaskStatistics, Trajectories
from metarl.tasks.distribution import Tasks
from metarl.tasks.success import success_rates
from metarl.workers.shards import Rate, Shard, Vector, on_own_tasks, starts_anew, to_vector

STEP_SIZES = "step_sizes"
"""The name of learned step sizes α, one for each parameter, among an agent's arrays."""


def learning_rates(
    state: AgentState, rates: Sequence[float], trained_with: float
) -> tuple[Rate, ...]:
    """Give α for each inner step: the numbers, or the learned α in the same proportions.

    Args:
        state: may have learned step sizes.
        rates: what the configuration says, for each step.
        trained_with: the number that the learned α stands in place of.

    """
    learned = state.others.get(STEP_SIZES)
    if learned is None:
        return tuple(rates)
    return tuple(learned * learned.dtype.type(rate / trained_with) for rate in rates)


def configured_rates(config: Config, split: Split) -> tuple[float, ...]:
    """Give α for each inner step of training, or of an evaluation, as the configuration says it."""
    if split == Split.TEST:
        return config.learning_rates_at_test(config.test_adaptation_steps)
    return config.learning_rates


def rates_of(state: AgentState, config: Config, split: Split) -> tuple[Rate, ...]:
    """Give α for each inner step of training, or of an evaluation."""
    return learning_rates(state, configured_rates(config, split), config.inner_learning_rate)


@starts_anew
def collect_and_adapt(
    shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Collect before adaptation and after each inner step; keep the experience in the shard.

    Args:
        shard: the worker's shard.
        state: θ, and learned step sizes where there are any.
        tasks: all tasks of the meta-batch; the shard takes its own.
        key: the key of the random streams, such as (Split.TRAIN, iteration).

    """
    rates = rates_of(state, shard.config, Split(key[0]))
    return collect_with_rates(shard, state.theta, tasks, key, rates)


@starts_anew
def collect_with_rates(
    shard: Shard,
    theta: Vector,
    tasks: Tasks,
    key: tuple[int, ...],
    learning_rates: Sequence[Rate],
) -> list[TaskStatistics]:
    """Collect and adapt by given step sizes: K of them make K + 1 phases; see above."""
    return on_own_tasks(
        shard, tasks, key, lambda: _collect_and_adapt(shard, theta, key, learning_rates)
    )


def _collect_and_adapt(
    shard: Shard, theta: Vector, key: tuple[int, ...], learning_rates: Sequence[Rate]
) -> list[TaskStatistics]:
    """Collect and adapt on the tasks that the shard has begun with."""
    shard.scratch, shard.experience, shard.statistics, shard.adapted = [], [], [], []
    shard.stacks = []
    if not shard.tasks:
        return []
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    paths = [[shard.parameters(theta)] for _ in shard.tasks]
    batches: list[list[Batch]] = []
    trajectories: list[list[Trajectories]] = []
    shard.adapted = paths
    for phase in range(len(rates) + (not shard.adapts_alone)):
        is_query = phase == len(rates)
        trajectories.append(
            shard.collect([path[-1] for path in paths], (*key, phase), query=is_query)
        )
        with shard.stopwatch.phase("advantages"):
            batches.append(shard.batches(trajectories[-1]))
        if phase < len(rates):
            with shard.stopwatch.phase("inner_gradient"):
                adapted = _adapted(shard, paths, batches[-1], rates[phase])
                for path, parameters in zip(paths, adapted, strict=True):
                    path.append(parameters)
    if shard.adapts_alone:
        return []
    for path, (*supports, query) in zip(paths, zip(*batches, strict=True), strict=True):
        old = act(shard.policy, path[-1], query.observations)
        old_log_probs = shard.policy.log_prob(old, query.actions)
        shard.experience.append(Experience(tuple(supports), query, tuple(path), old, old_log_probs))
    returns = [_numbers([each.returns.mean() for each in phase]) for phase in trajectories]
    steps = [_numbers([each.mask.sum() for each in phase]) for phase in trajectories]
    shard.statistics = [
        TaskStatistics(
            mean_returns=tuple(phase[position] for phase in returns),
            phase_env_steps=tuple(phase[position] for phase in steps),
            mean_successes=_success_rates([phase[position] for phase in trajectories]),
            unstable_episodes=sum(phase[position].unstable_episodes for phase in trajectories),
        )
        for position in range(len(shard.tasks))
    ]
    return shard.statistics


def _adapted(
    shard: Shard,
    paths: Sequence[Sequence[Parameters]],
    supports: Sequence[Batch],
    rate: LearningRate,
) -> list[Parameters]:
    """Take an inner step on each task."""
    thetas = [path[-1] for path in paths]
    if shard.tasks_in_one_call:
        return stacked_inner_step(shard, thetas, supports, rate)
    loss = reinforce_loss(shard.policy)
    return [
        inner_step(loss, theta, support, rate)
        for theta, support in zip(thetas, supports, strict=True)
    ]


def _numbers(of_tasks: Sequence[Tensor]) -> list[Any]:
    """Ask the device for a number of each task, all at once."""
    numbers: list[Any] = torch.stack(list(of_tasks)).tolist()
    return numbers


def _success_rates(phases: Sequence[Trajectories]) -> tuple[float, ...] | None:
    rates = success_rates([episodes.success_rate for episodes in phases])
    return None if rates is None else tuple(map(float, rates))


def states_along_path(shard: Shard, state: AgentState) -> list[list[AgentState]]:
    """Give for each task that the shard has met the state with θ, and with θ' after each step."""
    return [
        [AgentState(to_vector(parameters), others=state.others) for parameters in path]
        for path in shard.adapted
    ]


class PolicyActor:
    """Acts by a policy that carries nothing from step to step.

    Args:
        policy: the policy's module.
        parameters: to act with.

    """

    def __init__(self, policy: Policy, parameters: Parameters) -> None:
        self._policy = policy
        self._parameters = parameters
        self._like = next(iter(parameters.values()))

    def begin(self, rows: int) -> Memory:
        """Give the memory before the first step: none."""
        return ()

    @torch.no_grad()
    def act(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        generator: np.random.Generator | None = None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], Memory]:
        """Choose an action in each row."""
        like = self._like
        seen = torch.tensor(observations, dtype=like.dtype, device=like.device)
        distribution = act(self._policy, self._parameters, seen)
        if generator is None:
            return self._policy.mode(distribution).cpu().numpy(), memory
        drawn = np.stack([self._policy.draw_noise(generator, 1)[0] for _ in observations])
        noise = torch.tensor(drawn, dtype=like.dtype, device=like.device)
        return self._policy.sample(distribution, noise).cpu().numpy(), memory

    def observe(
        self,
        memory: Memory,
        rewards: Float[np.ndarray, " row"],
        ended: Shaped[np.ndarray, " row"],
    ) -> Memory:
        """Learn nothing of it."""
        return memory

    @property
    def plain_policy(self) -> Parameters | None:
        """The parameters."""
        return self._parameters


def policy_parameters(spec: PolicySpec, config: Config) -> Parameters:
    """Give the parameters of the policy that a specification makes, before training."""
    return parameters_of(spec.build(config.seed).to(dtype=getattr(torch, config.dtype)))


def policy_actor(spec: PolicySpec, config: Config, state: AgentState) -> PolicyActor:
    """Give the policy with a state's θ."""
    policy = spec.build(config.seed)
    policy.to(device=config.device, dtype=getattr(torch, config.dtype))
    template = parameters_of(policy)
    like = next(iter(template.values()))
    theta = torch.tensor(state.theta, dtype=like.dtype, device=like.device)
    # Each in memory of its own, as the inner step makes them: last bits of products depend on it.
    parameters = {name: value.clone() for name, value in unflatten(theta, template).items()}
    return PolicyActor(policy, parameters)


GRADIENT = Family(
    name="gradient",
    unit="gradient step",
    initial_parameters=policy_parameters,
    meet=collect_and_adapt,
    adapted=states_along_path,
    actor=policy_actor,
    bytes_to_meet=bytes_to_meet,
)
