"""Navigation of a point in the plane to a goal it cannot see."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from jaxtyping import Bool, Float

LARGEST_MOVE = 0.1
GOAL_RANGE = 0.5
GOAL_TOLERANCE = 0.01

Point = Float[np.ndarray, "2"]


def task_space() -> spaces.Box:
    """Give the space of goals, uniform in [-0.5, 0.5]²."""
    return spaces.Box(-GOAL_RANGE, GOAL_RANGE, (2,), np.float64)


def observation_space() -> spaces.Box:
    """Give the space of positions."""
    return spaces.Box(-np.inf, np.inf, (2,), np.float64)


def action_space() -> spaces.Box:
    """Give the space of moves."""
    return spaces.Box(-LARGEST_MOVE, LARGEST_MOVE, (2,), np.float64)


def move(
    positions: Float[np.ndarray, "slot 2"],
    goals: Float[np.ndarray, "slot 2"],
    actions: Float[np.ndarray, "slot 2"],
) -> tuple[Float[np.ndarray, "slot 2"], Float[np.ndarray, " slot"], Bool[np.ndarray, " slot"]]:
    """Move, and give the new positions, the rewards and whether the goals are reached."""
    positions = positions + np.clip(actions, -LARGEST_MOVE, LARGEST_MOVE)
    x, y = positions[..., 0] - goals[..., 0], positions[..., 1] - goals[..., 1]
    reached = (np.abs(x) < GOAL_TOLERANCE) & (np.abs(y) < GOAL_TOLERANCE)
    return positions, -np.sqrt(x * x + y * y), reached


class Navigation2D(gym.Env[Point, Point]):
    """A point moves in the plane towards a hidden goal.

    ===========  ==================================================================
    observation  (2,) position x, y; unbounded; starts at (0, 0)
    action       (2,) move in x, y for this step, each in [-0.1, 0.1]
    reward       −√((x − gx)² + (y − gy)²), after the move
    terminates   when |x − gx| < 0.01 and |y − gy| < 0.01
    task         (2,) goal gx, gy, uniform in [-0.5, 0.5]²
    source       Finn, Abbeel, Levine 2017, section 5.3. Their text says squared
                 distance; their code and published returns are Euclidean
    ===========  ==================================================================
    """

    def __init__(self) -> None:
        self.task_space = task_space()
        self.observation_space = observation_space()
        self.action_space = action_space()
        self.task: Point = np.zeros(2)
        self._position = np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Point, dict[str, Any]]:
        """Start at the origin; `options["task"]` sets the goal, which stays."""
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = np.asarray(options["task"], dtype=np.float64)
        self._position = np.zeros(2)
        return self._position.copy(), {}

    def step(self, action: Point) -> tuple[Point, float, bool, bool, dict[str, Any]]:
        """Move by the action."""
        positions, rewards, reached = move(self._position[None], self.task[None], action[None])
        self._position = positions[0]
        return self._position.copy(), float(rewards[0]), bool(reached[0]), False, {}


class Navigation2DVector(gym.vector.VectorEnv[Any, Any, Any]):
    """Many `Navigation2D` side by side, a goal for each; bit-equal to single ones.

    `set_attr("task", goals)` gives each slot its own goal. Episodes do not restart by themselves.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None) -> None:
        self.num_envs = num_envs
        self.task_space = task_space()
        self.single_observation_space = observation_space()
        self.single_action_space = action_space()
        self.observation_space = gym.vector.utils.batch_space(observation_space(), num_envs)
        self.action_space = gym.vector.utils.batch_space(action_space(), num_envs)
        self._max_episode_steps = np.inf if max_episode_steps is None else max_episode_steps
        self._tasks = np.zeros((num_envs, 2))
        self._positions = np.zeros((num_envs, 2))
        self._steps = np.zeros(num_envs, dtype=np.int64)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Give each slot's `task`, or the attribute of the batch itself."""
        if name == "task":
            return tuple(self._tasks.copy())
        return (getattr(self, name),) * self.num_envs

    def set_attr(self, name: str, values: Sequence[Any]) -> None:
        """Set each slot's `task`."""
        if name != "task":
            raise AttributeError(f"Navigation2DVector has no settable attribute {name!r}")
        self._tasks = np.array(values, dtype=np.float64).reshape(self.num_envs, 2)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Float[np.ndarray, "slot 2"], dict[str, Any]]:
        """Start every slot at the origin; `options["task"]` sets one goal for all of them.

        With `options["reset_mask"]` only the slots marked True start anew. The start is not
        random, so `seed` changes nothing.
        """
        options = options or {}
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if "task" in options:
            self._tasks[mask] = np.asarray(options["task"], dtype=np.float64)
        self._positions[mask] = 0
        self._steps[mask] = 0
        return self._positions.copy(), {}

    def step(
        self, actions: Float[np.ndarray, "slot 2"]
    ) -> tuple[
        Float[np.ndarray, "slot 2"],
        Float[np.ndarray, " slot"],
        Bool[np.ndarray, " slot"],
        Bool[np.ndarray, " slot"],
        dict[str, Any],
    ]:
        """Move every slot by its action."""
        self._positions, rewards, reached = move(self._positions, self._tasks, np.asarray(actions))
        self._steps += 1
        return self._positions.copy(), rewards, reached, self._steps >= self._max_episode_steps, {}
