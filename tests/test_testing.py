"""The conformance kit: every registered environment passes, and each check catches its mistake."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from metarl.cli import main
from metarl.errors import ConfigError
from metarl.plugins import environment_ids
from metarl.testing import CHECKS, check_task_env

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


class DiscreteObservation(Reach):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Discrete(3)


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


@pytest.fixture
def register() -> Iterator[Callable[..., str]]:
    names: list[str] = []

    def register_one(environment: Any, vector: Any = None) -> str:
        names.append(f"tests/{environment.__name__}{len(names)}-v0")
        gym.register(
            names[-1],
            entry_point=environment,
            vector_entry_point=vector,
            max_episode_steps=LIMIT,
        )
        return names[-1]

    yield register_one
    for name in names:
        del gym.registry[name]


@pytest.mark.parametrize("env_id", [origin.name for origin in environment_ids()])
def test_every_registered_environment_conforms(env_id: str) -> None:
    verdicts = check_task_env(env_id)
    assert [verdict for verdict in verdicts if not verdict.passed] == []
    assert [verdict.name for verdict in verdicts] == list(CHECKS)


@pytest.mark.parametrize("vector", [None, ReachVector])
def test_a_conforming_environment_passes_everything(
    register: Callable[..., str], vector: Any
) -> None:
    verdicts = check_task_env(register(Reach, vector))
    assert [verdict for verdict in verdicts if not verdict.passed] == []
    native = next(verdict for verdict in verdicts if verdict.name == "native batch")
    assert ("8 slots" in native.explanation) == (vector is not None)


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (DiscreteObservation, "spaces", "FlattenObservation"),
        (SeveralChoices, "spaces", "action space MultiDiscrete"),
        (TaskOutside, "tasks sampled", "is not in task_space"),
        (TaskFromElsewhere, "tasks sampled", "must draw from the generator"),
        (TaskRounded, "tasks written", "came back as"),
        (TaskIgnored, "task set", "after reset(options={'task': task})"),
        (TaskReadOnly, "task set", "task is read-only"),
        (TaskRedrawn, "task kept", "after reset(seed=…)"),
        (SinglePrecision, "observations", "dtype float32"),
        (ShapeChanges, "observations", "shape (3,)"),
        (NotFinite, "observations", "not finite"),
        (OutOfBounds, "observations", "outside observation_space"),
        (InfiniteReward, "observations", "the reward of step 2 is inf"),
        (GlobalRandomness, "deterministic", "must come from self.np_random"),
        (Fatigue, "deterministic", "a used environment gave another episode"),
        (GoalOnlyThroughReset, "task decides", "when set as the attribute task"),
        (Fatigue, "task decides", "something of the earlier task was left"),
        (TaskWithoutEffect, "tasks differ", "neither rewards nor dynamics"),
        (TaskShown, "task hidden", "elements [2] tell the task"),
        (TaskShownLater, "task hidden", "elements [2] tell the task"),
        (StartTellsTask, "task hidden", "elements [0, 1] tell the task"),
        (OracleWithoutTask, "task hidden", "observes_task is declared"),
        (BufferReused, "memory", "writes into an array it has given away"),
        (StateGivenAway, "memory", "goes on using an array it has given away"),
        (ConstantElement, "elements vary", "elements [1] never changed"),
        (OtherConstantDeclared, "elements vary", "elements [1] never changed"),
        (FixedStart, "random starts", "declare fixed_start = True"),
        (FixedStartUntrue, "random starts", "yet starts differ"),
        (ClockTerminates, "time limit", "leave the clock to max_episode_steps"),
        (TruncatesEarly, "time limit", "before the time limit of 8"),
    ],
)
def test_each_check_catches_its_mistake(
    register: Callable[..., str], broken: Any, check: str, words: str
) -> None:
    verdicts = {verdict.name: verdict for verdict in check_task_env(register(broken))}
    assert not verdicts[check].passed
    assert words in verdicts[check].explanation


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (VectorRewards, "reward of slot 0 in step 0"),
        (VectorObservations, "first observation of slot 7|observation of slot 7 in step 0"),
        (VectorIsLate, "end of slot 0 in step 7"),
    ],
)
def test_a_native_batch_that_differs_is_caught(
    register: Callable[..., str], vector: Any, words: str
) -> None:
    verdicts = {verdict.name: verdict for verdict in check_task_env(register(Reach, vector))}
    assert not verdicts["native batch"].passed
    assert any(part in verdicts["native batch"].explanation for part in words.split("|"))
    others = [verdict for verdict in verdicts.values() if verdict.name != "native batch"]
    assert all(verdict.passed for verdict in others)


class DeclaredOracle(TaskShown):
    observes_task = True


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


@pytest.mark.parametrize(
    ("environment", "check", "words"),
    [
        (DeclaredOracle, "task hidden", "declared an oracle"),
        (DeclaredFixedStart, "random starts", "declared fixed"),
        (DeclaredConstant, "elements vary", "elements [1] never changed, as declared"),
        (DeclaredConstantElement, "elements vary", "elements [1] never changed, as declared"),
        (PinnedConstant, "elements vary", "elements [1] never changed, as declared"),
    ],
)
def test_what_is_declared_passes_and_is_said(
    register: Callable[..., str], environment: Any, check: str, words: str
) -> None:
    verdicts = {verdict.name: verdict for verdict in check_task_env(register(environment))}
    assert all(verdict.passed for verdict in verdicts.values())
    assert words in verdicts[check].explanation


def test_a_termination_is_told_from_the_time_limit(register: Callable[..., str]) -> None:
    class EndsItself(Reach):
        def done(self) -> bool:
            return self.steps >= LIMIT - 1

    verdicts = {verdict.name: verdict for verdict in check_task_env(register(EndsItself))}
    assert verdicts["time limit"].passed
    assert "4 terminated by themselves" in verdicts["time limit"].explanation


def test_a_task_on_a_wrapper_conforms(register: Callable[..., str]) -> None:
    """Ten lines make somebody else's environment task-distributed; they may be a wrapper."""

    class Shifted(gym.Wrapper[Any, Any, Any, Any]):
        def __init__(self, env: Any) -> None:
            super().__init__(env)
            self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
            self.task = np.zeros(1)

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            if options is not None and "task" in options:
                self.task = options["task"]
            return self.env.reset(seed=seed)

        def step(self, action: Any) -> Any:
            observation, _, terminated, truncated, info = self.env.step(action)
            reward = -abs(float(observation[0] - self.task[0]))
            return observation, reward, terminated, truncated, info

    class Plain(Reach):
        def __init__(self) -> None:
            super().__init__()
            del self.task_space

        def reward(self) -> float:
            return 0.0

    def shifted(**kwargs: Any) -> Any:
        return Shifted(Plain(**kwargs))

    verdicts = check_task_env(register(shifted))
    assert [verdict for verdict in verdicts if not verdict.passed] == []


def test_an_unknown_environment_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no environment"):
        check_task_env("metarl_envs:metarl/Nowhere-v0")


def test_the_verb_prints_verdicts_and_fails_on_a_failure(
    register: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = register(Reach), register(TaskShown)
    assert main(["check", good]) == 0
    printed = capsys.readouterr().out
    assert f"{good} passes all {len(CHECKS)} checks" in printed
    assert all(name in printed for name in CHECKS)
    assert main(["check", bad]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  task hidden" in printed
    assert "elements [2] tell the task" in printed
    assert f"1 of {len(CHECKS)} checks failed" in printed


def test_the_verb_names_a_wrong_id_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "metarl_envs:metarl/Navigation3D-v0"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean 'metarl_envs:metarl/Navigation2D-v0'?" in error
