"""Environments of many spaces: a point on a line looks for a hidden target."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

SIDE = 6


class Line(gym.Env[Any, Any]):
    """The plainest; the others observe the place, or move, by other spaces."""

    def __init__(self) -> None:
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space: gym.Space[Any] = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space: gym.Space[Any] = spaces.Box(-0.5, 0.5, (1,), np.float64)
        self.task: Any = np.zeros(1)
        self.place = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = options["task"]
        self.place = float(self.np_random.uniform(-1, 1))
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.place = float(np.clip(self.place + self.move(action), -1, 1))
        return self.observe(), -abs(self.place - float(self.task[0])), False, False, {}

    def move(self, action: Any) -> float:
        return float(np.sum(action))

    def observe(self) -> Any:
        return np.array([self.place])

    def cell(self, cells: int) -> int:
        """Give the place as one of so many cells."""
        return min(int((self.place + 1) / 2 * cells), cells - 1)


class Choices(Line):
    """Discrete actions that start at 1: left, stay, right."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Discrete(3, start=1)

    def move(self, action: Any) -> float:
        return 0.3 * (int(action) - 2)


class Matrix(Line):
    """Actions of two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        low = np.array([[-0.1, -0.2, -0.3], [0.0, -0.5, -0.1]])
        self.action_space = spaces.Box(low, low + 0.5, dtype=np.float64)


class Unbounded(Line):
    """Actions without bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)


class Cells(Line):
    """A choice is all that is observed."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Discrete(4, start=-1)

    def observe(self) -> Any:
        return self.cell(4) - 1


class Parts(Choices):
    """A dictionary of everything, and words that are no numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict(
            {
                "mission": spaces.Text(20),
                "near": spaces.Tuple(
                    [spaces.Box(-1.0, 1.0, (2, 2), np.float64), spaces.MultiBinary(2)]
                ),
                "cells": spaces.MultiDiscrete([2, 3], start=[0, 5]),
                "side": spaces.Discrete(2),
            }
        )

    def observe(self) -> Any:
        return {
            "mission": "find it",
            "near": (
                np.full((2, 2), self.place) * [[1, -1], [0.5, 0.3]],
                np.array([self.place > 0, self.place > 0.5], np.int8),
            ),
            "cells": np.array([self.cell(2), 5 + self.cell(3)]),
            "side": self.cell(2),
        }


class Picture(Choices):
    """A small image of bytes, channels last."""

    size = SIDE

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)

    def observe(self) -> Any:
        image = np.zeros((self.size, self.size, 3), np.uint8)
        image[:, self.cell(self.size), 0] = 255
        image[..., 1] = int(100 * (self.place + 1))
        image[0, :, 2] = 30
        return image


class LargePicture(Picture):
    """Large enough for the network of Mnih et al."""

    size = 36


class PictureAndPlace(Choices):
    """An image, channels first, beside a vector, for continuous actions."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-0.5, 0.5, (1,), np.float64)
        self.observation_space = spaces.Dict(
            {
                "picture": spaces.Box(0.0, 2.0, (2, SIDE, SIDE), np.float32),
                "place": spaces.Box(-1.0, 1.0, (1,), np.float32),
            }
        )

    def move(self, action: Any) -> float:
        return float(action[0])

    def observe(self) -> Any:
        picture = np.zeros((2, SIDE, SIDE), np.float32)
        picture[0, :, self.cell(SIDE)] = 2.0
        picture[1, self.cell(SIDE)] = self.place + 1
        return {"picture": picture, "place": np.array([self.place], np.float32)}


class ShownGoal(Parts):
    """The convention of goals, which shows the task."""

    def __init__(self) -> None:
        super().__init__()
        goal = spaces.Box(-1.0, 1.0, (1,), np.float64)
        names = ("achieved_goal", "desired_goal", "observation")
        self.observation_space = spaces.Dict(dict.fromkeys(names, goal))

    def observe(self) -> Any:
        place = np.array([self.place])
        return {"achieved_goal": place, "desired_goal": self.task * 1.0, "observation": place}


class OnlyWords(Line):
    """Nothing to read."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict({"mission": spaces.Text(20)})


class Several(Line):
    """Actions of several choices, which no policy has."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.MultiDiscrete([2, 2])


class WrongShape(Parts):
    """A part has another shape than its space."""

    def observe(self) -> Any:
        return {**super().observe(), "cells": np.zeros(3, np.int64)}


class WrongChoice(Parts):
    """A choice is none of those that there are."""

    def observe(self) -> Any:
        return {**super().observe(), "side": 2}


class WrongType(Picture):
    """Numbers of another type than the space says."""

    def observe(self) -> Any:
        return super().observe().astype(np.int64)


class Needy(Line):
    """Cannot be made without an argument."""

    def __init__(self, size: int) -> None:
        super().__init__()


def identify(kind: type[Line]) -> str:
    """Give the id of one of these, as a run names it."""
    return f"strange_spaces:strange/{kind.__name__}-v0"


for _kind in list(globals().values()):
    if isinstance(_kind, type) and issubclass(_kind, Line):
        gym.register(f"strange/{_kind.__name__}-v0", entry_point=_kind, max_episode_steps=8)
gym.register("strange/Endless-v0", entry_point=Line)
