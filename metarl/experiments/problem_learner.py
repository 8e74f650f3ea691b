"""The supervised learner: the outer loop over the same inner loop as reinforcement learning's.

    θ ← θ − β ∇_θ mean over tasks of L(θ'; query),   θ' = adapt(θ, support)

(Finn, Abbeel, Levine 2017, algorithm 2), by Adam. All tasks of a meta-batch are adapted in one call
(`torch.func.vmap`); the meta-gradient is autograd's through the inner steps, whose graph is kept
once for each step, so memory grows linearly with their number.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

from metarl.agent.gradient import STEP_SIZES, learning_rates
from metarl.agent.protocol import AgentState, Record
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import TaskError
from metarl.learning.adaptation import LearningRate, Parameters, adapt, unflatten
from metarl.learning.policies import CONTEXT
from metarl.tasks.problems import Episodes, Loss, Problem, training_episodes

Batch = tuple[Tensor, Tensor]
"""Inputs and targets of one task, or of several with a first axis for the task."""
LossFunction = Callable[[Parameters, Batch], Tensor]
Model = Callable[[Parameters, Tensor], Tensor]
"""Outputs as a function of parameters and inputs, of one task."""

_NUMBERS_AT_ONCE = 320_000
"""Of inputs in one call; convolutions on more at once leave the processor's caches."""


@dataclass(frozen=True)
class Learner:
    """The parts of a run on a supervised problem."""

    config: SupervisedConfig
    problem: Problem
    model: Model
    initial: Parameters
    """The model's parameters before training."""
    tunes_its_rate: bool = False
    """Whether α at test is chosen on tasks of training, as for models that never adapted."""

    @property
    def adaptation_steps(self) -> int:
        """Inner steps in training; the baselines take none."""
        adapts = self.config.agent in ("maml", "cavia", "random")
        return self.config.adaptation_steps if adapts else 0

    @property
    def only_context_moves(self) -> bool:
        """Whether an inner step moves the context alone, and an outer one all but the context."""
        return self.config.agent == "cavia"

    def rate(self, rate: float) -> LearningRate:
        """Give α of an inner step for what it moves."""
        return {CONTEXT: rate} if self.only_context_moves else rate

    @property
    def steps_at_test(self) -> int:
        """Inner steps in an evaluation; who is told the task takes none."""
        return 0 if self.config.agent == "oracle" else self.config.test_adaptation_steps

    def batches(self, episodes: Episodes) -> tuple[Batch, Batch]:
        """Give the support and query sets as tensors; the oracle's inputs say the task as well."""
        like = next(iter(self.initial.values()))

        def batch(inputs: np.ndarray, targets: np.ndarray) -> Batch:
            if self.config.agent == "oracle" and episodes.told is not None:
                told = np.repeat(episodes.told[:, None], inputs.shape[1], axis=1)
                inputs = np.concatenate([inputs, told], axis=2)
            numbers = torch.as_tensor(inputs, dtype=like.dtype, device=like.device)
            kind = torch.long if self.problem.loss == "cross-entropy" else like.dtype
            return numbers, torch.as_tensor(targets, dtype=kind, device=like.device)

        return (
            batch(episodes.support_inputs, episodes.support_targets),
            batch(episodes.query_inputs, episodes.query_targets),
        )


def loss_of(model: Model, kind: Loss) -> LossFunction:
    """Give the loss of one task as a function of parameters and batch: a mean over examples."""

    def loss(theta: Parameters, batch: Batch) -> Tensor:
        outputs = model(theta, batch[0])
        if kind == "mse":
            return functional.mse_loss(outputs, batch[1])
        return functional.cross_entropy(outputs, batch[1])

    return loss


def query_losses(
    loss: LossFunction,
    theta: Parameters,
    learning_rate: LearningRate,
    support: Batch,
    query: Batch,
    steps: int,
    *,
    first_order: bool = False,
) -> Float[Tensor, " task"]:
    """Adapt to every task from θ and give its query loss; differentiable in θ and α.

    Args:
        loss: of one task.
        theta: the meta-parameters.
        learning_rate: α.
        support: of all tasks.
        query: of all tasks.
        steps: inner steps, all on the same support set.
        first_order: leave second derivatives out of the derivative.

    """

    def of_task(support: Batch, query: Batch) -> Tensor:
        adapted = adapt(
            loss, theta, [support] * steps, [learning_rate] * steps, first_order=first_order
        )
        return loss(adapted, query)

    numbers_of_task = support[0][0].numel() + query[0][0].numel()
    at_once = max(1, _NUMBERS_AT_ONCE // numbers_of_task)
    losses: Tensor = vmap(of_task, chunk_size=at_once)(support, query)
    return losses


def outer_steps(
    learner: Learner, state: AgentState, iterations: Iterable[int]
) -> tuple[AgentState, Record]:
    """Take an outer step in each of some iterations; give the new state and the metrics.

    Raises:
        TaskError: the loss is no longer finite.

    """
    config = learner.config
    loss, steps = loss_of(learner.model, learner.problem.loss), learner.adaptation_steps
    outer = OuterOptimiser(learner, state)
    losses, norms = [], []
    for iteration in iterations:
        support, query = learner.batches(
            training_episodes(
                learner.problem,
                config.seed,
                iteration,
                config.tasks_per_batch,
                config.shots,
                config.queries,
            )
        )
        theta, rate = outer.parameters()
        mean_loss = query_losses(
            loss, theta, rate, support, query, steps, first_order=config.first_order
        ).mean()
        losses.append(mean_loss.item())
        if not np.isfinite(losses[-1]):
            raise TaskError(f"the loss of iteration {iteration} is {losses[-1]}")
        norms.append(outer.step(mean_loss, iteration))
    with torch.no_grad():
        before = query_losses(loss, *outer.parameters(), support, query, 0).mean()
    return outer.state(), {
        "pre_adaptation_loss": before.item(),
        "post_adaptation_loss": float(np.mean(losses)),
        "gradient_norm": float(np.mean(norms)),
    }


class OuterOptimiser:
    """θ and, where it is learned, α in one vector, and torch's Adam over it."""

    def __init__(self, learner: Learner, state: AgentState) -> None:
        self._learner, self._config, self._template = learner, learner.config, learner.initial
        self._parameters = sum(value.numel() for value in self._template.values())
        device = next(iter(self._template.values())).device
        learned = [state.theta, *(state.others[name] for name in state.others)]
        vector = np.concatenate(learned)
        self._learned = torch.tensor(vector, device=device).requires_grad_()
        self._adam = torch.optim.Adam([self._learned], lr=self._config.outer_learning_rate)
        if state.optimiser:
            moments = {name: torch.tensor(value) for name, value in state.optimiser.items()}
            groups = self._adam.state_dict()["param_groups"]
            self._adam.load_state_dict({"state": {0: moments}, "param_groups": groups})

    def parameters(self) -> tuple[Parameters, LearningRate]:
        """Give θ and α, as functions of the learned vector; a context alone is not learned."""
        theta = unflatten(self._learned[: self._parameters], self._template)
        if self._learner.only_context_moves:
            theta[CONTEXT] = theta[CONTEXT].detach()
        if not self._config.learn_step_sizes:
            return theta, self._learner.rate(self._config.inner_learning_rate)
        return theta, unflatten(self._learned[self._parameters :], self._template)

    def step(self, loss: Tensor, iteration: int) -> float:
        """Descend the gradient of a loss; give the gradient's length before it was clipped."""
        dropped = 0 < self._config.drop_after < iteration
        rate = self._config.outer_learning_rate * (0.1 if dropped else 1.0)
        self._adam.param_groups[0]["lr"] = rate
        (gradient,) = torch.autograd.grad(loss, self._learned)
        norm = float(gradient.norm())
        if 0 < self._config.max_gradient_norm < norm:
            gradient = gradient * (self._config.max_gradient_norm / norm)
        self._learned.grad = gradient
        self._adam.step()
        return norm

    def state(self) -> AgentState:
        """Give all that training goes on from."""
        memory: Mapping[str, Tensor] = self._adam.state_dict()["state"].get(0, {})
        learned = self._learned.detach().cpu().numpy().copy()
        return AgentState(
            learned[: self._parameters],
            {name: value.cpu().numpy().copy() for name, value in memory.items()},
            {STEP_SIZES: learned[self._parameters :]} if self._config.learn_step_sizes else {},
        )


def parameters_of_state(
    learner: Learner, state: AgentState, steps: int
) -> tuple[Parameters, list[LearningRate]]:
    """Give θ, and α for each of several steps, as a model is tested with them."""
    like = next(iter(learner.initial.values()))
    theta = unflatten(torch.tensor(state.theta, device=like.device), learner.initial)
    config = learner.config
    rates = learning_rates(state, config.learning_rates_at_test(steps), config.inner_learning_rate)
    return theta, [
        learner.rate(rate)
        if isinstance(rate, float)
        else unflatten(torch.tensor(rate, device=like.device), learner.initial)
        for rate in rates
    ]


def initial_state(learner: Learner) -> AgentState:
    """Give the state before the first iteration."""
    theta = torch.cat([value.reshape(-1) for value in learner.initial.values()]).cpu().numpy()
    rates = np.full_like(theta, learner.config.inner_learning_rate)
    return AgentState(theta, others={STEP_SIZES: rates} if learner.config.learn_step_sizes else {})
