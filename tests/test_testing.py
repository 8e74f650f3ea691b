"""The conformance kit: every registered environment passes, and each check catches its mistake."""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from conforming_and_not import (
    LIMIT,
    BufferReused,
    ClockTerminates,
    ConstantElement,
    DeclaredConstant,
    DeclaredConstantElement,
    DeclaredFixedStart,
    DeclaredOracle,
    DeclaredPart,
    Fatigue,
    FixedStart,
    FixedStartUntrue,
    GlobalRandomness,
    GoalOnlyThroughReset,
    InfiniteReward,
    NotFinite,
    OracleWithoutTask,
    OtherConstantDeclared,
    OutOfBounds,
    PartlyDeclared,
    PinnedConstant,
    Reach,
    ReachVector,
    SeveralChoices,
    ShapeChanges,
    SinglePrecision,
    StartTellsTask,
    StateGivenAway,
    TaskFromElsewhere,
    TaskIgnored,
    TaskOfTheClass,
    TaskOutside,
    TaskReadOnly,
    TaskRedrawn,
    TaskRounded,
    TaskShown,
    TaskShownLater,
    TaskWithoutEffect,
    TruncatesEarly,
    VectorIsLate,
    VectorObservations,
    VectorRewards,
)
from gymnasium import spaces
from installed import environments_here
from strange_spaces import (
    Cells,
    Choices,
    LargePicture,
    Matrix,
    Parts,
    Picture,
    PictureAndPlace,
    ShownGoal,
    Unbounded,
    WrongChoice,
    WrongShape,
    WrongType,
    identify,
)

from metarl.cli import main
from metarl.foundation.errors import ConfigError
from metarl.testing import CHECKS, check_task_env


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


@pytest.mark.parametrize("env_id", environments_here())
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
        (PartlyDeclared, "task hidden", "elements [2] tell the task"),
        (BufferReused, "memory", "writes into an array it has given away"),
        (StateGivenAway, "memory", "goes on using an array it has given away"),
        (ConstantElement, "elements vary", "elements [1] never changed"),
        (OtherConstantDeclared, "elements vary", "elements [1] never changed"),
        (FixedStart, "random starts", "declare fixed_start = True"),
        (FixedStartUntrue, "random starts", "yet starts differ"),
        (ClockTerminates, "time limit", "leave the clock to max_episode_steps"),
        (TaskOfTheClass, "native batch", "beside others"),
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
    "kind", [Cells, Choices, LargePicture, Matrix, Parts, Picture, PictureAndPlace, Unbounded]
)
def test_environments_of_all_spaces_conform(kind: Any) -> None:
    verdicts = check_task_env(identify(kind))
    assert [verdict for verdict in verdicts if not verdict.passed] == []
    if kind is Parts:
        words = verdicts[0].explanation
        assert "near.0 (4)" in words
        assert "left out: mission (Text)" in words


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (ShownGoal, "task hidden", "elements [desired_goal[0]] tell the task"),
        (WrongShape, "observations", "part cells of the observation at time 0 is outside"),
        (WrongChoice, "observations", "part side of the observation at time 0 is outside"),
        (WrongType, "observations", "the observation at time 0 has dtype int64"),
    ],
)
def test_checks_name_the_part(broken: Any, check: str, words: str) -> None:
    verdicts = {verdict.name: verdict for verdict in check_task_env(identify(broken))}
    assert not verdicts[check].passed
    assert words in verdicts[check].explanation


def test_a_part_that_never_changes_is_caught(register: Callable[..., str]) -> None:
    class Still(Parts):
        def observe(self) -> Any:
            observation = super().observe()
            values = observation["near"][0]
            values[1, 1] = 0.5
            return {**observation, "side": 1}

    verdicts = {verdict.name: verdict for verdict in check_task_env(register(Still))}
    words = verdicts["elements vary"].explanation
    assert not verdicts["elements vary"].passed
    # A choice changes as a whole or not at all; of a vector each element is asked.
    assert "[near.0[1, 1], side[0], side[1]] never changed" in words
    (told,) = re.findall(
        r"declare constant_observation = (\(.*\)), their places in the flat", words
    )

    class Declared(Still):
        constant_observation = ast.literal_eval(told)

    verdicts = {verdict.name: verdict for verdict in check_task_env(register(Declared))}
    assert verdicts["elements vary"].passed

    class DeclaredByName(Still):
        constant_observation = ("side",)

    verdicts = {verdict.name: verdict for verdict in check_task_env(register(DeclaredByName))}
    said = "constant_observation = ('side',) must be True, or a list of numbers from 0 to "
    assert said in verdicts["elements vary"].explanation

    class RareChoice(Parts):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space["side"] = spaces.Discrete(9)

    verdicts = {verdict.name: verdict for verdict in check_task_env(register(RareChoice))}
    assert verdicts["elements vary"].passed


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


@pytest.mark.parametrize(
    ("environment", "check", "words"),
    [
        (DeclaredOracle, "task hidden", "declared an oracle"),
        (DeclaredPart, "task hidden", "elements [2] show what observes_task says they may"),
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
