"""Episodes of trials played on the device, memory and all, and told afterwards step by step.

While an episode is played, the CPU launches one step after the other and asks for nothing. What was
recorded is then read in one piece and told to the loop that plays through the CPU, which takes it
for environments and actor; so records, statistics and failures are that loop's own.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.foundation.cuda_graphs import GraphedCall
from metarl.foundation.rollout_location import SLOT, STEP
from metarl.tasks.device_slots import DeviceSlots
from metarl.tasks.distribution import Task
from metarl.tasks.environment_batches import EnvironmentBatch, StepResult
from metarl.workers.device_rollout import ASK_EVERY
from metarl.workers.shards import Shard

MemoryThere = tuple[Tensor, ...]
"""What is carried from step to step, a row for each trial, on the device."""


@runtime_checkable
class DeviceTrialActor(Protocol):
    """A `metarl.workers.trials.TrialActor` that can also act in tensors that stay on its device.

    Its numbers there are those of the other methods. Nothing in them may wait for the device.
    """

    def draw_noise(
        self, generator: np.random.Generator, steps: int
    ) -> Float[np.ndarray, "time *noise"]:
        """Draw the noise of one episode's actions."""

    def begin_there(self, rows: int) -> MemoryThere:
        """Give the memory before the first step, for so many trials side by side."""

    def choose_there(
        self,
        observations: Float[Tensor, "row obs"],
        memory: MemoryThere,
        noise: Float[Tensor, "row *noise"] | None,
    ) -> tuple[Shaped[Tensor, "row *act"], MemoryThere]:
        """Choose an action in each trial; leave the memory that was given as it is.

        Observations and noise are float64, as they are in numpy.
        """

    def observe_there(
        self, memory: MemoryThere, rewards: Float[Tensor, " row"], ended: Bool[Tensor, " row"]
    ) -> MemoryThere:
        """Take in what the actions brought; leave the memory that was given as it is."""


class DeviceEpisodes:
    """Plays the episodes of trials side by side, one after the other.

    Args:
        shard: whose slots live on a device.
        slots: these.
        actor: acts there.
        rows: the trials.

    """

    def __init__(
        self, shard: Shard, slots: DeviceSlots, actor: DeviceTrialActor, rows: int
    ) -> None:
        self._shard, self._slots, self._actor = shard, slots, actor
        like = next(iter(shard.template.values()))
        horizon, seen = shard.config.horizon, slots.observations
        self._memory = tuple(part.clone() for part in actor.begin_there(rows))
        self._mapped = shard.action_map.on_device(like.device)
        noise = actor.draw_noise(np.random.default_rng(0), 1)[0]
        self._draws = like.new_zeros(horizon, rows, *noise.shape, dtype=torch.float64)
        first, thought = actor.choose_there(seen.double(), self._memory, self._draws[0])
        self._thought = tuple(part.clone() for part in thought)
        self._actions = self._mapped(first)
        self._seen = seen.new_zeros(horizon + 1, *seen.shape)
        self._chosen = first.new_zeros(horizon, *first.shape)
        self._paid = seen.new_zeros(horizon, rows)
        self._over = like.new_zeros(horizon, rows, dtype=torch.bool)
        self._terminated, self._unstable, self._active = (self._over[0].clone() for _ in range(3))
        self._time = like.new_zeros(1, dtype=torch.int64)
        self._act = GraphedCall(self._choose, like.device)
        self._learn = GraphedCall(self._take_in, like.device)

    def play(
        self, owners: Sequence[Task], seeds: Sequence[int], noise: Float[np.ndarray, "time row *_"]
    ) -> "ToldEpisode":
        """Play an episode of every trial to its end; `noise` is that of its actions."""
        shard, here = self._shard, self._shard.location.numbers
        shard.environments.reset(owners, seeds)
        self._draws.copy_(torch.from_numpy(noise))
        self._active.fill_(True)
        self._terminated.zero_()
        self._unstable.zero_()
        self._time.zero_()
        # Without waiting for the device, what policy and physics take cannot be told apart.
        with shard.stopwatch.phase("physics"):
            for time in range(len(noise)):
                here[STEP], here[SLOT] = time, -1
                self._act()
                self._slots.step(self._actions)
                self._learn()
                if (time + 1) % ASK_EVERY == 0 and not bool(self._active.any()):
                    break
            self._seen.index_copy_(0, self._time, self._slots.observations.unsqueeze(0))
            return ToldEpisode(
                shard.environments,
                self._seen.double().cpu().numpy(),
                self._chosen.cpu().numpy(),
                self._paid.double().cpu().numpy(),
                self._over.cpu().numpy(),
                self._terminated.cpu().numpy(),
                self._unstable.cpu().numpy(),
            )

    def remembered(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Give what some trials remember by now."""
        chosen = torch.from_numpy(rows).to(self._time.device)
        return tuple(part[chosen].cpu().numpy() for part in self._memory)

    def _choose(self) -> None:
        seen, now = self._slots.observations, self._time
        noise = self._draws.index_select(0, now)[0]
        chosen, thought = self._actor.choose_there(seen.double(), self._memory, noise)
        for own, new in zip(self._thought, thought, strict=True):
            own.copy_(new)
        self._actions.copy_(self._mapped(chosen))
        self._seen.index_copy_(0, now, seen.unsqueeze(0))
        self._chosen.index_copy_(0, now, chosen.unsqueeze(0))

    def _take_in(self) -> None:
        slots, now = self._slots, self._time
        self._paid.index_copy_(0, now, slots.rewards.unsqueeze(0))
        self._over.index_copy_(0, now, slots.ended.unsqueeze(0))
        self._terminated |= self._active & slots.terminated
        self._unstable |= self._active & slots.unstable
        learned = self._actor.observe_there(self._thought, slots.rewards.double(), slots.ended)
        for own, new in zip(self._memory, learned, strict=True):
            active = self._active.view(-1, *[1] * (own.dim() - 1))
            own.copy_(torch.where(active, new, own))
        self._active &= ~slots.ended
        self._time += 1


class ToldEpisode:
    """An episode that was played, for a loop that takes it for environments and actor.

    Args:
        environments: it was played in.
        seen: before each step and after the last.
        chosen: actions.
        paid: rewards.
        over: whether the episode had ended after a step.
        terminated: whether it ended by itself.
        unstable: whether the simulation broke it off.

    """

    succeeded: Bool[np.ndarray, " row"] | None = None
    on_device: DeviceSlots | None = None

    def __init__(
        self,
        environments: EnvironmentBatch,
        seen: Float[np.ndarray, "times row obs"],
        chosen: Shaped[np.ndarray, "time row *act"],
        paid: Float[np.ndarray, "time row"],
        over: Bool[np.ndarray, "time row"],
        terminated: Bool[np.ndarray, " row"],
        unstable: Bool[np.ndarray, " row"],
    ) -> None:
        self.tasks_at_once, self.task_space = environments.tasks_at_once, environments.task_space
        self.physics_of = environments.physics_of
        self.terminated, self.unstable = terminated, unstable
        self._seen, self._chosen, self._paid, self._over = seen, chosen, paid, over
        self._time = 0

    def reset(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Float[np.ndarray, "row obs"]:
        """Begin to tell."""
        self._time = 0
        first: np.ndarray = self._seen[0]
        return first

    def step(
        self, actions: Shaped[np.ndarray, "row *act"], active: Bool[np.ndarray, " row"]
    ) -> StepResult:
        """Tell a step."""
        time, self._time = self._time, self._time + 1
        return self._seen[time + 1], self._paid[time], self._over[time]

    def begin(self, rows: int) -> tuple[np.ndarray, ...]:
        """Give nothing: the memory has stayed where it is."""
        return ()

    def draw_noise(
        self, generator: np.random.Generator, steps: int
    ) -> Float[np.ndarray, "time *noise"]:
        """Give nothing: the actions are known."""
        return np.zeros((steps, 0))

    def choose(
        self,
        observations: Float[np.ndarray, "row obs"],
        memory: tuple[np.ndarray, ...],
        noise: Float[np.ndarray, "row *noise"] | None,
    ) -> tuple[Shaped[np.ndarray, "row *act"], tuple[np.ndarray, ...]]:
        """Tell what was chosen."""
        return self._chosen[self._time], memory

    def observe(
        self,
        memory: tuple[np.ndarray, ...],
        rewards: Float[np.ndarray, " row"],
        ended: Bool[np.ndarray, " row"],
    ) -> tuple[np.ndarray, ...]:
        """Learn nothing of it."""
        return memory

    def close(self) -> None:
        """Release nothing."""
