"""A grid world with a hidden goal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Int

from metarl_envs.drawing import AGENT, FAINT, GOAL, INK, PATH, Canvas
from metarl_envs.slots import Frame, Generators, Moment, Outcome, SlotEnv, SlotVector
from metarl_envs.task_vector import Observations

Cells = Int[np.ndarray, "slot 2"]

MOVES = np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
"""x, y of each action: stay, up, right, down, left."""
GOAL_REWARD = 1.0
OTHER_REWARD = -0.1


def goal_cells(size: int) -> Int[np.ndarray, "goal 2"]:
    """Give the cells x, y that may hold the goal: all but (0, 0), (0, 1), (1, 0) and (1, 1)."""
    cells = [(x, y) for x in range(size) for y in range(size) if max(x, y) > 1]
    return np.array(cells)


class GridNavi(SlotEnv):
    """Find a goal in a grid, and remember where it was.

    ===========  ==================================================================
    observation  (2,) the cell x, y, each 0 … size − 1, as raw numbers
    action       0 stay, 1 up (y + 1), 2 right (x + 1), 3 down, 4 left; a move
                 against a wall leaves the cell as it was
    reward       +1 on the goal, −0.1 on any other cell, after the move
    terminates   never; truncated at the time limit
    task         the number of the goal in `goal_cells(size)`: cells by x, then y,
                 without the four where x < 2 and y < 2; equal odds
    start        always (0, 0)
    known answer the best plan for a trial of several episodes is in
                 `metarl_agents.grid_search`
    source       Zintgraf et al. 2020 (VariBAD), section 5.1: size 5, so 21 goals,
                 episodes of 15 steps
    ===========  ==================================================================

    Args:
        size: cells along each side, at least 3.
        render_mode: "rgb_array" or None.

    """

    fixed_start = True

    def __init__(self, size: int = 5, render_mode: str | None = None) -> None:
        if size < 3:
            raise ValueError(f"size = {size} must be at least 3: a smaller grid has no goals")
        self._size = size
        self._goals = goal_cells(size)
        self.task_space = spaces.Discrete(len(self._goals))
        self.observation_space = spaces.Box(0.0, size - 1.0, (2,), np.float64)
        self.action_space = spaces.Discrete(len(MOVES))
        super().__init__(len(self._goals) - 1, render_mode)

    def start(self, generators: Generators) -> Cells:
        """Start in the corner."""
        return np.zeros((len(generators), 2), dtype=np.int64)

    def observe(self, states: Cells) -> Observations:
        """See the cell."""
        return states.astype(np.float64)

    def advance(
        self,
        states: Cells,
        tasks: Int[np.ndarray, " slot"],
        actions: Int[np.ndarray, " slot"],
        _: Generators,
    ) -> Outcome:
        """Move to the next cell, where there is one."""
        states = np.clip(states + MOVES[actions], 0, self._size - 1)
        found = (states == self._goals[tasks]).all(axis=1)
        rewards = np.where(found, GOAL_REWARD, OTHER_REWARD)
        return Outcome(states, rewards, np.zeros(len(states), dtype=bool))

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw the grid, the goal, the path so far and the agent; cells without goals are grey."""
        middle = (self._size - 1) / 2
        canvas = Canvas(0.58 * self._size)
        goals = {tuple(cell) for cell in self._goals.tolist()}
        hidden = tuple(self._goals[int(self.task)].tolist())
        for x in range(self._size):
            for y in range(self._size):
                low, high = (
                    (x - middle - 0.47, y - middle - 0.47),
                    (x - middle + 0.47, y - middle + 0.47),
                )
                canvas.rectangle(low, high, None if (x, y) in goals else FAINT, FAINT)
        canvas.disc((hidden[0] - middle, hidden[1] - middle), 0.4, GOAL)
        path = np.array([moment.state for moment in moments]) - middle
        canvas.line(path, PATH, pixels=4)
        for point in path[:-1]:
            canvas.dot(point, 5, PATH)
        canvas.dot(path[-1], 12, AGENT)
        total = sum(moment.reward for moment in moments)
        canvas.text((0, 0.54 * self._size), f"step {len(moments) - 1}, return {total:.1f}", INK)
        return canvas.frame()


def grid_navi_vector(
    num_envs: int = 1, max_episode_steps: int | None = None, **kwargs: Any
) -> SlotVector:
    """Make many `GridNavi` side by side."""
    return SlotVector(GridNavi(**kwargs), num_envs, max_episode_steps)
