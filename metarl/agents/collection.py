"""What an iteration begins with: experience of every task, before and after adaptation to it."""

from collections.abc import Sequence

from metarl.foundation.seeding import Split
from metarl.learning.adaptation import inner_step
from metarl.learning.objectives import act, reinforce_loss
from metarl.learning.trajectories import Batch, Experience, TaskStatistics, Trajectories
from metarl.tasks.distribution import Task
from metarl.workers.shards import Rate, Shard, TaskFailed, Vector, starts_anew

ATTEMPTS = 3
"""How often an environment that fails is tried, where it is to be tried again."""


@starts_anew
def collect_and_adapt(
    shard: Shard,
    theta: Vector,
    tasks: Sequence[Task],
    key: tuple[int, ...],
    learning_rates: Sequence[Rate],
) -> list[TaskStatistics]:
    """Collect before adaptation and after each inner step; keep the experience in the shard.

    Args:
        shard: the worker's shard.
        theta: the meta-parameters.
        tasks: all tasks of the meta-batch; the shard takes its own.
        key: the key of the random streams, such as (Split.TRAIN, iteration).
        learning_rates: α for each inner step; K of them make K + 1 phases.

    """
    shard.left_out = []
    attempts = 0
    while True:
        shard.begin(tasks, key, [episode.task_index for episode in shard.left_out])
        try:
            return _collect_and_adapt(shard, theta, key, learning_rates)
        except TaskFailed as failure:
            attempts += 1
            how = shard.config.on_env_error
            if how == "skip-task" and key[0] == Split.TEST:
                how = "stop"  # an evaluation says something of all its tasks, or nothing
            if how == "stop" or (how == "retry" and attempts == ATTEMPTS):
                raise
            if how == "skip-task":
                shard.left_out.append(failure.episode)


def _collect_and_adapt(
    shard: Shard, theta: Vector, key: tuple[int, ...], learning_rates: Sequence[Rate]
) -> list[TaskStatistics]:
    """Collect and adapt on the tasks that the shard has begun with."""
    shard.scratch, shard.experience, shard.statistics = [], [], []
    if not shard.tasks:
        return []
    loss = reinforce_loss(shard.policy)
    rates = [shard.learning_rate(rate) for rate in learning_rates]
    paths = [[shard.parameters(theta)] for _ in shard.tasks]
    batches: list[list[Batch]] = []
    trajectories: list[list[Trajectories]] = []
    for phase in range(len(rates) + 1):
        is_query = phase == len(rates)
        trajectories.append(
            shard.collect([path[-1] for path in paths], (*key, phase), query=is_query)
        )
        with shard.stopwatch.phase("advantages"):
            batches.append(shard.batches(trajectories[-1]))
        if phase < len(rates):
            with shard.stopwatch.phase("inner_gradient"):
                for path, support in zip(paths, batches[-1], strict=True):
                    path.append(inner_step(loss, path[-1], support, rates[phase]))
    for path, (*supports, query) in zip(paths, zip(*batches, strict=True), strict=True):
        old = act(shard.policy, path[-1], query.observations)
        old_log_probs = shard.policy.log_prob(old, query.actions)
        shard.experience.append(Experience(tuple(supports), query, tuple(path), old, old_log_probs))
    shard.statistics = [
        TaskStatistics(
            mean_returns=tuple(float(phase[position].returns.mean()) for phase in trajectories),
            env_steps=sum(phase[position].env_steps for phase in trajectories),
            mean_successes=_success_rates([phase[position] for phase in trajectories]),
            unstable_episodes=sum(phase[position].unstable_episodes for phase in trajectories),
        )
        for position in range(len(shard.tasks))
    ]
    return shard.statistics


def _success_rates(phases: Sequence[Trajectories]) -> tuple[float, ...] | None:
    rates = [episodes.success_rate for episodes in phases]
    said = tuple(rate for rate in rates if rate is not None)
    return said if len(said) == len(rates) else None
