"""One environment that conforms, and others that each make a mistake or declare what is meant."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

LIMIT = 8


class Reach(gym.Env[Any, Any]):
    """A conforming environment with a hook for each mistake below."""

    random_walk = 0.01

    def __init__(self) -> None:
        self.task_space: gym.Space[Any] = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space: gym.Space[Any] = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space: gym.Space[Any] = spaces.Box(-0.5, 0.5, (2,), np.float64)
        self.task: Any = np.zeros(1)
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = options["task"]
        self.position = self.np_random.uniform(-1, 1, 2)
        self.steps = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        noise = self.np_random.normal(0, self.random_walk, 2)
        self.position = self.position + action + noise
        self.steps += 1
        return self.observe(), self.reward(), self.done(), False, {}

    def observe(self) -> Any:
        return self.position.copy()

    def reward(self) -> float:
        return -abs(float(self.position[0] - self.task[0]))

    def done(self) -> bool:
        return False


class SeveralChoices(Reach):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.MultiDiscrete([2, 2])


class TaskOutside(Reach):
    def sample_task(self, generator: np.random.Generator) -> Any:
        return generator.uniform(1.5, 2, 1)


class TaskFromElsewhere(Reach):
    def sample_task(self, generator: np.random.Generator) -> Any:
        return np.random.default_rng().uniform(-1, 1, 1)


class RoundedBox(spaces.Box):
    def to_jsonable(self, sample_n: Any) -> Any:
        return [[round(float(value), 2) for value in sample] for sample in sample_n]


class TaskRounded(Reach):
    def __init__(self) -> None:
        super().__init__()
        self.task_space = RoundedBox(-1.0, 1.0, (1,), np.float64)


class TaskIgnored(Reach):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


class TaskReadOnly(Reach):
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "task" and "position" in self.__dict__ and self.steps == -1:
            raise AttributeError("task is read-only")
        super().__setattr__(name, value)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        result = super().reset(seed=seed, options=options)
        self.steps = -1
        return result


class TaskRedrawn(Reach):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        result = super().reset(seed=seed, options=options)
        if not (options and "task" in options):
            self.task = self.task_space.sample()
        return result


class SinglePrecision(Reach):
    def observe(self) -> Any:
        return self.position.astype(np.float32)


class ShapeChanges(Reach):
    def observe(self) -> Any:
        return np.append(self.position, 0.0)[: 2 + (self.steps > 0)]


class NotFinite(Reach):
    def observe(self) -> Any:
        return np.where(self.steps > 2, np.nan, self.position)


class OutOfBounds(Reach):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float64)


class InfiniteReward(Reach):
    def reward(self) -> float:
        return np.inf if self.steps == 3 else super().reward()


class GlobalRandomness(Reach):
    def reward(self) -> float:
        return super().reward() + np.random.default_rng().normal()


class Fatigue(Reach):
    spent = 0

    def reward(self) -> float:
        self.spent += 1
        return super().reward() - self.spent


class GoalOnlyThroughReset(Reach):
    goal = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        result = super().reset(seed=seed, options=options)
        if options:
            self.goal = float(self.task[0])
        return result

    def reward(self) -> float:
        return -abs(float(self.position[0] - self.goal))


class TaskWithoutEffect(Reach):
    def reward(self) -> float:
        return -abs(float(self.position[0]))


class TaskShown(Reach):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def observe(self) -> Any:
        return np.concatenate([self.position, self.task])


class TaskShownLater(TaskShown):
    def observe(self) -> Any:
        return np.concatenate([self.position, self.task * (self.steps > 0)])


class StartTellsTask(Reach):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        _, info = super().reset(seed=seed, options=options)
        self.position = self.position - self.task
        return self.observe(), info


class OracleWithoutTask(Reach):
    observes_task = True


class BufferReused(Reach):
    def observe(self) -> Any:
        self.buffer = getattr(self, "buffer", np.zeros(2))
        self.buffer[:] = self.position
        return self.buffer


class StateGivenAway(Reach):
    def observe(self) -> Any:
        return self.position


class ConstantElement(Reach):
    def observe(self) -> Any:
        return np.array([self.position[0], 1.0])


class OtherConstantDeclared(ConstantElement):
    constant_observation = (0,)


class TaskOfTheClass(Reach):
    goal: Any = np.zeros(1)

    @property
    def task(self) -> Any:
        return type(self).goal

    @task.setter
    def task(self, task: Any) -> None:
        type(self).goal = task


class FixedStart(Reach):
    random_walk = 0.1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed, options=options)
        self.position = np.zeros(2)
        return self.observe(), {}


class FixedStartUntrue(Reach):
    fixed_start = True


class ClockTerminates(Reach):
    def done(self) -> bool:
        return self.steps >= LIMIT


class TruncatesEarly(Reach):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, self.steps >= 5, info


class ReachVector(gym.vector.VectorEnv[Any, Any, Any]):
    """Single environments in a row, as a native batch would be, with hooks for mistakes."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012
    reward_error = 0.0
    observation_error = 0.0
    late = 0

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None) -> None:
        self.num_envs = num_envs
        self.slots = [Reach() for _ in range(num_envs)]
        self.task_space = self.slots[0].task_space
        self.max_episode_steps = max_episode_steps or 10**6
        self.count = 0

    def set_attr(self, name: str, values: Any) -> None:
        for slot, value in zip(self.slots, values, strict=True):
            setattr(slot, name, value)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.count = 0
        seeds = zip(self.slots, seed, strict=True)
        return np.stack([slot.reset(seed=number)[0] for slot, number in seeds]), {}

    def step(self, actions: Any) -> Any:
        self.count += 1
        pairs = zip(self.slots, actions, strict=True)
        observations, rewards, ended, _, _ = zip(*(s.step(a) for s, a in pairs), strict=True)
        limit = np.full(self.num_envs, self.count >= self.max_episode_steps + self.late)
        shown = np.stack(observations)
        shown[-1] += self.observation_error
        return shown, np.array(rewards) + self.reward_error, np.array(ended), limit, {}


class VectorRewards(ReachVector):
    reward_error = 1e-12


class VectorObservations(ReachVector):
    observation_error = 1e-12


class VectorIsLate(ReachVector):
    late = 1


class DeclaredOracle(TaskShown):
    observes_task = True


class PartlyDeclared(TaskShown):
    observes_task = (0, 1)


class DeclaredPart(TaskShown):
    observes_task = (2,)


class DeclaredFixedStart(FixedStart):
    fixed_start = True


class DeclaredConstant(ConstantElement):
    constant_observation = True


class DeclaredConstantElement(ConstantElement):
    constant_observation = (1,)


class PinnedConstant(ConstantElement):
    def __init__(self) -> None:
        super().__init__()
        low, high = np.array([-np.inf, 1.0]), np.array([np.inf, 1.0])
        self.observation_space = spaces.Box(low, high, (2,), np.float64)
