"""Whether memory has room for what an experiment meets, in the machine and on a card."""

from metarl.agent.device_memory import Need, SizedAgent, Sizes
from metarl.agent.protocol import Agent
from metarl.experiments.curves import bootstrap_bytes
from metarl.foundation.memory import require_room
from metarl.tasks.physics import bytes_on_device

PROCESS_BYTES = 500 * 2**20
"""What CUDA and torch take on a card for each process, before it has computed anything. Cards and
versions differ; this is a usual amount."""


def require_room_to_train(agent: Agent, sizes: Sizes) -> None:
    """Refuse a meta-batch that cannot fit.

    Args:
        agent: who is trained.
        sizes: of an iteration.

    Raises:
        ConfigError: with an estimate, and what to change.

    """
    config, carried = sizes.config, agent.family.carried_bytes
    require_room(
        carried,
        f"what agent {config.agent} remembers of tasks",
        "let it remember less, by the setting that ends in _mebibytes",
    )
    met = (
        f"tasks_per_batch = {config.tasks_per_batch} × episodes_per_task = "
        f"{config.episodes_per_task} × horizon = {config.horizon} × {sizes.phases} phases"
    )
    require_room(
        carried + bytes_of_experience(sizes),
        f"the experience of {met}",
        "take fewer tasks, episodes or steps",
    )
    if need := iteration_need(agent, sizes):
        what = f"an iteration of {met} in {sizes.workers} workers"
        require_room(need.count, what, need.advice, config.device)


def require_room_to_evaluate(agent: Agent, sizes: Sizes, workers: int | str) -> None:
    """Refuse an evaluation that cannot fit; on a cluster, whose cards are not known, on none.

    Args:
        agent: who is evaluated.
        sizes: of what is met at once.
        workers: as `metarl evaluate` takes them.

    Raises:
        ConfigError: with an estimate, and what to change.

    """
    config = sizes.config
    what = (
        f"an evaluation of tasks = {config.test_tasks} × episodes_per_task = {sizes.episodes} × "
        f"horizon = {config.horizon} × {sizes.phases} phases"
    )
    require_room(
        bytes_of_experience(sizes) + bootstrap_bytes(config.test_tasks),
        what,
        "take fewer tasks, episodes or steps",
    )
    if isinstance(workers, int) and agent.family.bytes_to_meet:
        require_room(
            bytes_to_meet(agent, sizes),
            f"{what} in {workers} workers",
            "take fewer tasks, episodes, steps or workers",
            config.device,
        )


def iteration_need(agent: Agent, sizes: Sizes) -> Need | None:
    """Estimate what an iteration of training takes on a device; None: the agent does not say."""
    if not isinstance(agent, SizedAgent):
        return None
    need = agent.device_need(sizes)
    to_meet = agent.family.bytes_to_meet
    most = max(need.count, to_meet(sizes)) if to_meet else need.count
    return Need(_beside(sizes) + most, need.advice)


def bytes_to_meet(agent: Agent, sizes: Sizes) -> int:
    """Estimate what meeting tasks takes on a device; 0: the agent's family does not say."""
    to_meet = agent.family.bytes_to_meet
    if to_meet is None:
        return 0
    return _beside(sizes) + to_meet(sizes)


def bytes_of_experience(sizes: Sizes) -> int:
    """Estimate what the experience takes of the machine's memory, in all workers together."""
    # Trajectories, and the batches made of them; noise, reward, return and value in float64.
    step = 2 * sizes.number * (sizes.seen + sizes.done) + 8 * (sizes.done + 3)
    return sizes.tasks * sizes.longest * sizes.phases * step


def _beside(sizes: Sizes) -> int:
    """Give what simulations and processes take on a device, beside what the agent computes."""
    return bytes_on_device(sizes.config, sizes.trials) + sizes.workers * PROCESS_BYTES
