"""The memory family: what changes during a task is what is remembered; a unit is an episode.

A trial is `adaptation_steps + 1` episodes of one task, `test_adaptation_steps + 1` in evaluations:
R_k is the return of the episode after k episodes. `episodes_per_task` trials of a task run side by
side. Whoever acts here is a `metarl.workers.trials.TrialActor`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.agent.protocol import AgentState, Memory
from metarl.config.reinforcement import Config
from metarl.foundation.seeding import Split
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import PolicySpec
from metarl.learning.stacking import whole_blocks
from metarl.learning.trajectories import TaskStatistics, Trials
from metarl.tasks.distribution import Task, Tasks
from metarl.workers.device_trials import MemoryThere
from metarl.workers.shards import Shard, on_own_tasks
from metarl.workers.trials import TrialActor, play_trials

UNIT = "episode"
_PREFIX = "memory/"

ActorOf = Callable[[PolicySpec, Config, AgentState], TrialActor]


class MemoryActor:
    """What actors with a memory have in common: the start that a state gives, and single steps.

    A subclass gives `blank` (the memory of so many trials at their start), `draw_noise`, `choose`
    and `observe`; see `metarl.workers.trials.TrialActor`. One that acts by a network gives `_like`.

    Args:
        state: what the agent has become; a trial begins with what it remembers, if it does.

    """

    _like: Tensor
    """A parameter of the network: of the type and on the device wanted."""

    def __init__(self, state: AgentState) -> None:
        names = sorted(name for name in state.others if name.startswith(_PREFIX))
        self._remembered = tuple(state.others[name] for name in names)

    def blank(self, rows: int) -> Memory:
        """Give the memory of so many trials that have seen nothing."""
        raise NotImplementedError

    def draw_noise(
        self, generator: np.random.Generator, steps: int
    ) -> Float[np.ndarray, "time *noise"]:
        """Draw the noise of one episode's actions."""
        raise NotImplementedError

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, "row *noise"] | None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], Memory]:
        """Choose an action in each trial; without noise the most likely ones."""
        raise NotImplementedError

    def observe(
        self,
        memory: Memory,
        rewards: Float[np.ndarray, " row"],
        ended: Bool[np.ndarray, " row"],
    ) -> Memory:
        """Take in what the actions brought."""
        raise NotImplementedError

    def begin(self, rows: int) -> Memory:
        """Give the memory before the first step."""
        if not self._remembered:
            return self.blank(rows)
        return tuple(np.repeat(part, rows, axis=0) for part in self._remembered)

    def act(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        generator: np.random.Generator | None = None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], Memory]:
        """Choose an action in each row, with noise from one generator."""
        if generator is None:
            return self.choose(observations, memory, None)
        noise = np.stack([self.draw_noise(generator, 1)[0] for _ in observations])
        return self.choose(observations, memory, noise)

    def _blocks(self, rows: Shaped[np.ndarray, "row *number"]) -> Tensor:
        """Turn rows into a tensor that fills whole blocks; see `metarl.learning.memory_policy`."""
        return self._blocks_there(torch.from_numpy(rows))

    def _blocks_there(self, rows: Shaped[Tensor, "row *number"]) -> Tensor:
        """Fill rows up to whole blocks, as a copy."""
        blocks = self._like.new_zeros(whole_blocks(len(rows)), *rows.shape[1:])
        blocks[: len(rows)] = rows
        return blocks

    @property
    def plain_policy(self) -> Parameters | None:
        """None: a plain policy has no memory."""
        return None


class TensorMemoryActor(MemoryActor):
    """An actor with a memory that is written in tensors, and so can stay on a device.

    A subclass gives `blank`, `draw_noise`, `choose_there` and `observe_there`; see
    `metarl.workers.device_trials.DeviceTrialActor`.
    """

    def choose_there(
        self,
        observations: Float[Tensor, "row obs"],
        memory: MemoryThere,
        noise: Float[Tensor, "row *noise"] | None,
    ) -> tuple[Shaped[Tensor, "row *act"], MemoryThere]:
        """Choose an action in each trial; leave the memory that was given as it is."""
        raise NotImplementedError

    def observe_there(
        self, memory: MemoryThere, rewards: Float[Tensor, " row"], ended: Bool[Tensor, " row"]
    ) -> MemoryThere:
        """Take in what the actions brought; leave the memory that was given as it is."""
        raise NotImplementedError

    def begin_there(self, rows: int) -> MemoryThere:
        """Give the memory before the first step, on the device."""
        return self._there(*self.begin(rows))

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: Memory,
        noise: Float[np.ndarray, "row *noise"] | None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], Memory]:
        """Choose an action in each trial."""
        (seen,) = self._there(observations)
        draws = None if noise is None else self._there(noise)[0]
        chosen, thought = self.choose_there(seen, self._there(*memory), draws)
        return chosen.cpu().numpy(), _here(thought)

    def observe(
        self,
        memory: Memory,
        rewards: Float[np.ndarray, " row"],
        ended: Bool[np.ndarray, " row"],
    ) -> Memory:
        """Take in what the actions brought."""
        paid, over = self._there(rewards, ended)
        return _here(self.observe_there(self._there(*memory), paid, over))

    def _there(self, *arrays: np.ndarray) -> MemoryThere:
        return tuple(torch.as_tensor(array, device=self._like.device) for array in arrays)


def _here(memory: MemoryThere) -> Memory:
    return tuple(part.cpu().numpy() for part in memory)


def meet_in_trials(
    actor_of: ActorOf, shard: Shard, state: AgentState, tasks: Tasks, key: tuple[int, ...]
) -> list[TaskStatistics]:
    """Play trials on the shard's tasks; leave them in `shard.trials`.

    For `Family.meet`: a top-level function that is marked by `metarl.workers.shards.starts_anew`
    calls it.

    Args:
        actor_of: makes who acts.
        shard: the worker's shard.
        state: what the agent has become.
        tasks: all tasks of the meta-batch; the shard takes its own.
        key: the key of the random streams, such as (Split.TRAIN, iteration).

    """
    return on_own_tasks(shard, tasks, key, lambda: _play(actor_of, shard, state, key))


def _play(
    actor_of: ActorOf, shard: Shard, state: AgentState, key: tuple[int, ...]
) -> list[TaskStatistics]:
    shard.scratch, shard.trials, shard.adapted, shard.statistics = [], None, [], []
    if not shard.tasks:
        return []
    config = shard.config
    units = config.test_adaptation_steps if key[0] == Split.TEST else config.adaptation_steps
    actor = actor_of(shard.spec.policy, config, state)
    episodes = units + (not shard.adapts_alone)
    if not episodes:  # nothing is collected after the last unit, and there is none
        shard.adapted = [[actor.begin(1)] for _ in shard.tasks]
        return []
    played = play_trials(shard, actor, key, episodes)
    shard.trials, shard.statistics = played.trials, played.statistics
    shard.adapted = [memories[: units + 1] for memories in played.memories]
    return played.statistics


def states_along_trial(shard: Shard, state: AgentState) -> list[list[AgentState]]:
    """Give for each task the state before its first trial, and after each episode of it."""
    return [
        [
            AgentState(
                state.theta,
                others={
                    **state.others,
                    **{f"{_PREFIX}{number:02}": part for number, part in enumerate(memory)},
                },
            )
            for memory in memories
        ]
        for memories in shard.adapted
    ]


@dataclass(frozen=True)
class Met:
    """What a shard hands over of a task that it has met."""

    iteration: int
    place: int
    """In the meta-batch."""
    task: Task
    policy: PolicySpec
    trials: Trials


def hand_over(shard: Shard) -> list[Met]:
    """Give the trials of each task, for agents that learn from them in the parent process."""
    slots, trials = shard.slots_per_task, shard.trials
    if trials is None:  # no task is left
        return []
    return [
        Met(
            shard.key[1],
            place,
            task,
            shard.spec.policy,
            trials.of(slice(position * slots, (position + 1) * slots)),
        )
        for position, (place, task) in enumerate(zip(shard.task_indices, shard.tasks, strict=True))
    ]
