"""MAML with a trust-region outer step (Finn, Abbeel, Levine 2017, algorithm 3; TRPO, section 5.3).

The outer objective is the mean over tasks of the adapted policies' surrogate loss; the trust
region bounds the mean over tasks of their KL divergence from the policies that collected the query
data. With J = ∂θ'/∂θ the Jacobian of the inner loop (see `metarl.adaptation`) and F the Fisher
information of the adapted policy on its query data,

    meta-gradient        g   = mean over tasks of Jᵀ ∇L(θ')
    curvature product    A v = mean over tasks of Jᵀ F J v + damping · v

At the current θ the KL divergence is 0 and so is its gradient at θ'; the terms with derivatives of
J vanish, and Jᵀ F J is the exact Hessian of the KL divergence through the adaptation. The products
may estimate J and F from a sample of the steps (`curvature_fraction`): that changes the metric in
which the step is taken, never the gradient, nor the loss and KL divergence that the line search
holds the step to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.func import vmap

from metarl.adaptation import AdaptationJacobian, Parameters, adapt, as_leaves, linearise
from metarl.agents import AgentState, Metrics
from metarl.config import Config
from metarl.objectives import act, fisher_product, reinforce_loss, surrogate_loss
from metarl.seeding import Purpose
from metarl.shards import Experience, Shard, Vector, Workers, to_vector
from metarl.stacking import (
    BLOCK,
    aligned,
    never_alone,
    one_by_one,
    repeat,
    stack_parameters,
    stack_rows,
    unstack,
    whole_blocks,
)
from metarl.trajectories import Batch
from metarl.trust_region import (
    CurvatureError,
    LineSearch,
    backtrack,
    conjugate_gradient,
    trust_region_step,
)
from metarl_agents.settings import TrustRegionSettings


class MamlTrpo:
    """The outer step of MAML-TRPO."""

    def __init__(self, settings: TrustRegionSettings, config: Config) -> None:
        self._settings = settings
        self._learning_rates = config.learning_rates
        self._first_order = config.first_order

    def initial_state(self, theta: Vector) -> AgentState:
        """Give the state before the first iteration; TRPO remembers nothing but θ."""
        return AgentState(theta)

    def outer_step(self, workers: Workers, state: AgentState) -> tuple[AgentState, Metrics]:
        """Take one trust-region step on the experience in the shards."""
        settings = self._settings
        theta = torch.as_tensor(state.theta, dtype=torch.float64)

        def evaluate(candidate: torch.Tensor) -> tuple[float, float]:
            rates = self._learning_rates
            outcomes = workers.map(surrogate, candidate.numpy(), rates)
            loss, kl = np.mean(outcomes, axis=0)
            return float(loss), float(kl)

        def curvature(vector: torch.Tensor) -> torch.Tensor:
            products = workers.map(curvature_product, vector.numpy())
            return _mean(products) + settings.cg_damping * vector

        gradients, *before = zip(
            *workers.map(
                meta_gradient,
                self._learning_rates,
                self._first_order,
                settings.curvature_fraction,
            ),
            strict=True,
        )
        gradient = _mean(gradients)
        loss_before, kl_before = (float(np.mean(values)) for values in before)
        search, rejection = self._search(evaluate, curvature, theta, gradient, loss_before)
        metrics = {
            "loss_before": loss_before,
            "loss": search.loss,
            "kl_before": kl_before,
            "kl": search.kl,
            "gradient_norm": float(gradient.norm()),
            "line_search_steps": search.steps,
            "step_accepted": search.accepted,
            "rejection": rejection,
        }
        # A search that failed gives θ back; float32 survives the way to float64 and back.
        return AgentState(search.theta.numpy().astype(state.theta.dtype)), metrics

    def _search(
        self,
        evaluate: Callable[[torch.Tensor], tuple[float, float]],
        curvature: Callable[[torch.Tensor], torch.Tensor],
        theta: torch.Tensor,
        gradient: torch.Tensor,
        loss_before: float,
    ) -> tuple[LineSearch, str | None]:
        """Search along the natural gradient; give the outcome and, without a step, the reason."""
        settings = self._settings
        nothing = LineSearch(theta, False, 0, loss_before, 0.0)
        if not np.isfinite([loss_before, float(gradient.norm())]).all():
            return nothing, "the loss or its gradient is not finite"
        try:
            solved = conjugate_gradient(curvature, gradient, settings.cg_iterations)
            step = trust_region_step(solved, gradient, settings.max_kl)
        except CurvatureError as error:
            return nothing, str(error)
        search = backtrack(
            evaluate,
            theta,
            step,
            loss_before=loss_before,
            max_kl=settings.max_kl,
            ratio=settings.line_search_ratio,
            max_steps=settings.line_search_steps,
        )
        if not search.accepted:
            return search, "the line search found no step that lowers the loss within max_kl"
        return search, None


@dataclass(frozen=True)
class _Curvature:
    """J and F of some tasks, stacked, kept for the products of conjugate gradient."""

    tasks: int
    stacked: int
    """One more, where a task had to be stacked twice."""
    jacobian: AdaptationJacobian
    fisher: Callable[[Parameters], Parameters]


def meta_gradient(
    shard: Shard,
    learning_rates: tuple[float, ...],
    first_order: bool,
    curvature_fraction: float,
) -> list[tuple[Vector, float, float]]:
    """Give each task's Jᵀ ∇L(θ'), outer loss and KL divergence; keep J and F in the shard.

    All at the θ that collected the experience, where the KL divergence is 0, or something is wrong.
    """
    loss = reinforce_loss(shard.policy)
    contributions = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            adapted = as_leaves(data.path[-1])
            outer, kl = _outer_loss(shard, data)(adapted)
            slope = torch.autograd.grad(outer, tuple(adapted.values()), materialize_grads=True)
            jacobian = linearise(
                loss, data.path, data.supports, learning_rates, first_order=first_order
            )
            vector = to_vector(jacobian.transposed_product(dict(zip(adapted, slope, strict=True))))
            contributions.append((vector, outer.item(), kl.item()))

    # From the longest episodes there can be: a task's rows must not depend on other tasks' lengths.
    longest = shard.episodes_per_task * shard.config.horizon
    rows = whole_blocks(_kept(curvature_fraction, longest))
    at_once = 1 if shard.policy.one_task_at_a_time else max(1, _ROWS_AT_ONCE // rows)
    shard.scratch = []
    for start in range(0, len(shard.experience), at_once):
        positions = list(range(start, min(start + at_once, len(shard.experience))))
        # All stacks hold one task, or none does.
        stacked = never_alone(positions) if at_once > 1 else positions
        shard.scratch.append(
            _Curvature(
                len(positions),
                len(stacked),
                *_linearise(shard, stacked, rows, learning_rates, first_order, curvature_fraction),
            )
        )
    return contributions


def curvature_product(shard: Shard, vector: Vector) -> list[Vector]:
    """Give each task's Jᵀ F J v; `meta_gradient` must have been mapped before."""
    direction = shard.parameters(vector)
    products: list[Vector] = []
    for stack in shard.scratch:
        moved = stack.jacobian.product(repeat(direction, stack.stacked))
        curved = stack.fisher(aligned(moved, stack.stacked))
        pulled = stack.jacobian.transposed_product(aligned(curved, stack.stacked))
        products += map(to_vector, unstack(pulled, stack.tasks))
    return products


_ROWS_AT_ONCE = 4096
"""So many rows of a hidden layer's activations stay in a core's cache."""


def _linearise(
    shard: Shard,
    positions: Sequence[int],
    rows: int,
    learning_rates: tuple[float, ...],
    first_order: bool,
    fraction: float,
) -> tuple[AdaptationJacobian, Callable[[Parameters], Parameters]]:
    """Give J and F of some tasks, stacked, from a sample of the steps."""
    policy, loss = shard.policy, reinforce_loss(shard.policy)
    experience = [shard.experience[position] for position in positions]
    supports, queries = [], []
    for position, data in zip(positions, experience, strict=True):
        generator = shard.generator(Purpose.CURVATURE, position)
        supports.append([_sample(batch, fraction, generator) for batch in data.supports])
        queries.append(_sample(data.query, fraction, generator))
    each = one_by_one if policy.one_task_at_a_time else vmap
    each_loss = each(lambda theta, *parts: loss(theta, Batch(*parts)))
    jacobian = linearise(
        lambda thetas, batch: each_loss(thetas, *batch).sum(),
        [
            stack_parameters(thetas)
            for thetas in zip(*(data.path for data in experience), strict=True)
        ],
        [_stack(batches, rows) for batches in zip(*supports, strict=True)],
        learning_rates,
        first_order=first_order,
    )
    observations = stack_rows([query.observations for query in queries], rows)
    weights = [torch.full_like(query.advantages, 1 / len(query.advantages)) for query in queries]
    fisher = fisher_product(
        policy,
        lambda thetas: each(partial(act, policy))(thetas, observations),
        stack_parameters([data.path[-1] for data in experience]),
        stack_rows(weights, rows),
    )
    return jacobian, fisher


def _sample(batch: Batch, fraction: float, generator: np.random.Generator) -> Batch:
    """Draw a fraction of the steps: cut them into as many equal runs, draw one from each."""
    steps = len(batch.observations)
    edges = np.linspace(0, steps, _kept(fraction, steps) + 1).astype(int)
    drawn = generator.integers(edges[:-1], edges[1:])
    chosen = torch.from_numpy(drawn).to(batch.observations.device)
    return Batch(batch.observations[chosen], batch.actions[chosen], batch.advantages[chosen])


def _kept(fraction: float, steps: int) -> int:
    """Say how many steps a fraction of them is; a block, which costs no more, or all of fewer."""
    return min(steps, max(BLOCK, round(fraction * steps)))


def _stack(batches: Sequence[Batch], rows: int) -> tuple[torch.Tensor, ...]:
    """Stack batches, filled up with steps of advantage 0; their mean loss stays that of the taken.

    The mean over all rows is the mean over the taken ones times their share, which the advantages
    make good.
    """
    return (
        stack_rows([batch.observations for batch in batches], rows),
        stack_rows([batch.actions for batch in batches], rows),
        stack_rows([batch.advantages * (rows / len(batch.advantages)) for batch in batches], rows),
    )


def surrogate(
    shard: Shard, theta: Vector, learning_rates: tuple[float, ...]
) -> list[tuple[float, float]]:
    """Adapt θ anew on each task's support data; give the outer loss and the KL divergence there."""
    loss = reinforce_loss(shard.policy)
    at = shard.parameters(theta)
    outcomes = []
    for position, data in enumerate(shard.experience):
        with shard.blame(position):
            adapted = adapt(loss, at, data.supports, learning_rates)
            outer, kl = _outer_loss(shard, data)(adapted)
            outcomes.append((float(outer), float(kl)))
    return outcomes


def _outer_loss(
    shard: Shard, data: Experience
) -> Callable[[Parameters], tuple[torch.Tensor, torch.Tensor]]:
    """Give the function from θ' to the outer loss and the KL divergence, from one pass."""

    def outer_loss(adapted: Parameters) -> tuple[torch.Tensor, torch.Tensor]:
        distribution = act(shard.policy, adapted, data.query.observations)
        log_probs = shard.policy.log_prob(distribution, data.query.actions)
        loss = surrogate_loss(log_probs, data.old_log_probs, data.query.advantages)
        return loss, shard.policy.kl(data.old_distribution, distribution).mean()

    return outer_loss


def _mean(contributions: Sequence[Vector]) -> torch.Tensor:
    """Average over tasks, in float64 and in task order."""
    return torch.as_tensor(np.mean(np.asarray(contributions, dtype=np.float64), axis=0))
