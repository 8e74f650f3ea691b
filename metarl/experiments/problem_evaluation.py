"""How well models adapt to held-out tasks of a supervised problem, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vmap

from metarl.agent.protocol import AgentState
from metarl.experiments.curves import AdaptationCurve, summarise
from metarl.experiments.problem_learner import Batch, Learner, loss_of, parameters_of_state
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import LearningRate, Parameters, adaptation_path
from metarl.tasks.problems import Episodes, held_out_episodes

MEASURES = {"mse": "mean squared error", "cross-entropy": "accuracy"}
"""What an evaluation measures, by the problem's loss."""

TRIED_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Step sizes that a baseline's is chosen from."""

_TUNING_TASKS = 100
_EXAMPLES_AT_ONCE = 4096


@dataclass(frozen=True)
class Fits:
    """A model's outputs on the query sets of a few tasks, before adaptation and after steps."""

    episodes: Episodes
    steps: tuple[int, ...]
    outputs: Float[np.ndarray, "task step query output"]


def outputs_along_path(
    learner: Learner, theta: Parameters, rates: Sequence[LearningRate], episodes: Episodes
) -> Float[Tensor, "task step query output"]:
    """Adapt to each task's support set; give the outputs on its query set after 0, 1, … K steps."""
    loss = loss_of(learner.model, learner.problem.loss)

    def of_task(support: Batch, query_inputs: Tensor) -> Tensor:
        path = adaptation_path(loss, theta, [support] * len(rates), rates)
        return torch.stack([learner.model(at, query_inputs) for at in path])

    support, query = learner.batches(episodes)
    examples = support[0].shape[1] + query[0].shape[1]
    at_once = max(1, _EXAMPLES_AT_ONCE // examples)
    with torch.no_grad():
        outputs: Tensor = vmap(of_task, chunk_size=at_once)(support, query[0])
    return outputs


def measure(
    outputs: Float[Tensor, "task step query output"], targets: Tensor
) -> Float[np.ndarray, "task step"]:
    """Give mean squared errors, or accuracies where targets are classes."""
    if targets.dtype == torch.long:
        right = outputs.argmax(-1) == targets[:, None]
        return right.double().mean(-1).cpu().numpy()
    return ((outputs - targets[:, None]) ** 2).double().mean((2, 3)).cpu().numpy()


def evaluate(learner: Learner, state: AgentState, shots: int, seed: int) -> AdaptationCurve:
    """Adapt to held-out tasks and measure; the oracle takes no step.

    Args:
        learner: the model and its problem.
        state: what was learned.
        shots: examples to adapt to.
        seed: of the held-out tasks and the bootstrap.

    """
    config = learner.config
    theta, rates = parameters_at_test(learner, state, shots, seed)
    episodes = held_out_episodes(
        learner.problem, seed, config.test_tasks, shots, config.test_queries
    )
    _, query = learner.batches(episodes)
    per_task = measure(outputs_along_path(learner, theta, rates, episodes), query[1])
    return summarise(per_task, 0, seed)


def parameters_at_test(
    learner: Learner, state: AgentState, shots: int, seed: int
) -> tuple[Parameters, list[LearningRate]]:
    """Give θ, and α for each step of an evaluation.

    A baseline's α is the one, of `TRIED_RATES`, with which it does best after the last step on a
    hundred tasks of training, as the paper tunes it (Finn et al. 2017, section 5.1).
    """
    steps = learner.steps_at_test
    theta, rates = parameters_of_state(learner, state, steps)
    if learner.tunes_its_rate and steps:
        rates = [tuned_rate(learner, theta, shots, seed)] * steps
    return theta, rates


def tuned_rate(learner: Learner, theta: Parameters, shots: int, seed: int) -> float:
    """Choose α by the mean measure after the last step, on tasks of training."""
    config = learner.config
    episodes = held_out_episodes(
        learner.problem, seed, _TUNING_TASKS, shots, config.test_queries, split=Split.TRAIN
    )
    _, query = learner.batches(episodes)
    sign = 1 if learner.problem.loss == "mse" else -1
    costs = []
    for rate in TRIED_RATES:
        rates = [rate] * config.test_adaptation_steps
        outputs = outputs_along_path(learner, theta, rates, episodes)
        cost = sign * measure(outputs, query[1])[:, -1].mean()
        costs.append(cost if np.isfinite(cost) else np.inf)
    return TRIED_RATES[int(np.argmin(costs))]


def fits(
    learner: Learner,
    state: AgentState,
    shots: int,
    steps: Sequence[int],
    tasks: int,
    queries: int,
    seed: int,
) -> Fits:
    """Give a model's outputs on a few held-out tasks, for a figure; arguments as for `evaluate`."""
    theta, rates = parameters_of_state(learner, state, max(steps))
    episodes = held_out_episodes(learner.problem, seed, tasks, shots, queries)
    outputs = outputs_along_path(learner, theta, rates, episodes)
    return Fits(episodes, tuple(steps), outputs[:, list(steps)].double().cpu().numpy())


def describe_shots(shots: int) -> str:
    """Say how many examples are adapted to."""
    return f"{shots} shot{'s' * (shots > 1)}"
