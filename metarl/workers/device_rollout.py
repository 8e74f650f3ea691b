"""Policy × environments → trajectories, without the CPU in between.

Observations, actions, rewards and the record stay on the device for a whole phase. The CPU launches
one step after the other and asks for nothing, but now and then whether any episode still goes on;
what is not finite is found in the record afterwards. The numbers are those of
`metarl.workers.rollout.run_on_host`, and so are the failures.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.foundation.cuda_graphs import GraphedCall
from metarl.foundation.rollout_location import SLOT, STEP, RolloutLocation
from metarl.foundation.stopwatch import Stopwatch
from metarl.learning.adaptation import Parameters
from metarl.learning.policies import Policy
from metarl.learning.trajectories import Trajectories
from metarl.tasks.action_map import ActionMap
from metarl.tasks.device_slots import DeviceSlots
from metarl.tasks.distribution import Task
from metarl.tasks.environment_batches import EnvironmentBatch
from metarl.tasks.failed_episodes import not_finite
from metarl.workers.policies_of_tasks import PoliciesOfTasks
from metarl.workers.rollout import played_slots, trajectories_of

ASK_EVERY = 32
"""Steps after which the device is asked whether any episode goes on; it has to catch up first."""


class DeviceRollout:
    """A `metarl.workers.rollout.EpisodeRunner` in slots that live on a device.

    Its memory there, and what was captured of it as graphs, serve all phases of the same sizes.
    """

    def __init__(self) -> None:
        self._phase: _Phase | None = None

    def __call__(
        self,
        environments: EnvironmentBatch,
        policy: Policy,
        parameters: Sequence[Parameters],
        tasks: Sequence[Task],
        action_map: ActionMap,
        noise: Float[np.ndarray, "slot time *act"],
        seeds: list[int],
        episodes_per_task: int,
        stopwatch: Stopwatch,
        location: RolloutLocation,
    ) -> list[Trajectories]:
        """Give each task's episodes."""
        slots = environments.on_device
        assert slots is not None
        owners = [task for task in tasks for _ in range(len(noise) // len(tasks))]
        environments.reset(owners, seeds)
        draws = torch.from_numpy(noise.swapaxes(0, 1))
        if self._phase is None or not self._phase.serves(slots, policy, len(tasks), draws):
            self._phase = _Phase(slots, policy, parameters, action_map, draws)
        phase = self._phase
        phase.begin(parameters, draws, played_slots(len(noise), len(tasks), episodes_per_task))
        here = location.numbers
        # Without waiting for the device, what policy and physics take cannot be told apart.
        with stopwatch.phase("physics"):
            for time in range(len(draws)):
                here[STEP], here[SLOT] = time, -1
                phase.step()
                if (time + 1) % ASK_EVERY == 0 and not phase.goes_on:
                    break
            phase.require_finite(environments, action_map)
        return trajectories_of(
            phase.columns,
            len(tasks),
            episodes_per_task,
            None,
            phase.unstable.cpu().numpy(),
            phase.chosen.device,
        )


class _Phase:
    """What the slots saw, did and got in a phase; zero where no step was taken. Time first.

    Args:
        slots: to act in.
        policy: the policy's module.
        parameters: of each task.
        action_map: from the policy's actions to the environment's.
        draws: noise of the size of all phases.

    """

    def __init__(
        self,
        slots: DeviceSlots,
        policy: Policy,
        parameters: Sequence[Parameters],
        action_map: ActionMap,
        draws: Float[Tensor, "time slot *act"],
    ) -> None:
        like = next(iter(parameters[0].values()))
        shape, seen = draws.shape[:2], slots.observations
        self._serves = (slots, policy, len(parameters), draws.shape)
        self._slots = slots
        self._dtype = like.dtype
        self._policies = PoliciesOfTasks(policy, parameters, *seen.shape)
        self._mapped = action_map.on_device(like.device)
        self._draws = like.new_zeros(draws.shape)
        first = self._policies(seen, self._draws[0])
        self._actions = self._mapped(first)
        self.seen = seen.new_zeros(*shape, *seen.shape[1:])
        self.chosen = first.new_zeros(*shape, *first.shape[1:])
        self.paid = like.new_zeros(shape, dtype=torch.float64)
        self.mask = like.new_zeros(shape, dtype=torch.bool)
        self.unstable = self.mask[0].clone()
        self._active = self.mask[0].clone()
        self._time = like.new_zeros(1, dtype=torch.int64)
        self._act = GraphedCall(self._choose, like.device)
        self._learn = GraphedCall(self._take_in, like.device)

    def serves(
        self, slots: DeviceSlots, policy: Policy, tasks: int, draws: Float[Tensor, "time slot *act"]
    ) -> bool:
        """Say whether this is memory for such a phase."""
        own_slots, own_policy, *sizes = self._serves
        same = own_slots is slots and own_policy is policy
        return same and sizes == [tasks, draws.shape]

    def begin(
        self,
        parameters: Sequence[Parameters],
        draws: Float[Tensor, "time slot *act"],
        active: Bool[np.ndarray, " slot"],
    ) -> None:
        """Begin a phase in slots that were reset."""
        self._policies.load(parameters)
        self._draws.copy_(draws)
        self._active.copy_(torch.from_numpy(active))
        for memory in (*self._record, self.unstable, self._time):
            memory.zero_()

    def step(self) -> None:
        """Act once in every slot that is active."""
        self._act()
        self._slots.step(self._actions)
        self._learn()

    @property
    def goes_on(self) -> bool:
        """Whether any episode does; waits for the device."""
        return bool(self._active.any())

    @property
    def _record(self) -> tuple[Tensor, ...]:
        return self.seen, self.chosen, self.paid, self.mask

    @property
    def columns(self) -> tuple[Tensor, ...]:
        """Observations, actions, rewards and mask."""
        return self.seen.to(self._dtype), self.chosen, self.paid, self.mask

    def require_finite(self, environments: EnvironmentBatch, action_map: ActionMap) -> None:
        """Refuse a record that is not finite, as a rollout on the host does at the first such step.

        Raises:
            EpisodeError: it is not.

        """
        in_order = torch.stack([~self.seen.isfinite().all(-1), ~self.paid.isfinite()], 1)
        if not bool(in_order.any()):
            return
        time, paid, slot = np.argwhere(in_order.cpu().numpy())[0].tolist()
        what = f"the reward of step {time}" if paid else f"an observation before step {time}"
        values = (self.paid if paid else self.seen)[time, slot]
        error = not_finite(slot, what, values.double().cpu().numpy())
        error.state = environments.physics_of(slot)
        taken = self.chosen[: time + paid, slot].cpu().numpy()
        error.actions = action_map(taken).tolist()
        raise error

    def _choose(self) -> None:
        """Record what is seen, choose actions and record them."""
        seen, active, now = self._slots.observations, self._active, self._time
        chosen = self._policies(seen, self._draws.index_select(0, now)[0])
        self._actions.copy_(self._mapped(chosen))
        self._write(self.seen, seen)
        self._write(self.chosen, chosen)
        self.mask.index_copy_(0, now, active.unsqueeze(0))

    def _take_in(self) -> None:
        """Record what the actions brought."""
        slots = self._slots
        self._write(self.paid, slots.rewards.double())
        self.unstable |= self._active & slots.unstable
        self._active &= ~slots.ended
        self._time += 1

    def _write(self, column: Tensor, values: Shaped[Tensor, "slot *rest"]) -> None:
        """Write the active slots' values at the time that it is."""
        active = self._active.view(-1, *[1] * (values.dim() - 1))
        own = torch.where(active, values, torch.zeros_like(values))
        column.index_copy_(0, self._time, own.unsqueeze(0))
