"""Navigation of a point in the plane to a goal it cannot see."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int

from metarl_envs.drawing import AGENT, GOAL, PATH, Canvas
from metarl_envs.goal_page import Policies, page_part
from metarl_envs.slots import Frame, Generators, Moment, Outcome, SlotEnv, SlotVector

Points = Float[np.ndarray, "slot 2"]

REWARD_RADIUS = 0.2
CORNERS = np.array([[-2.0, -2.0], [2.0, -2.0], [-2.0, 2.0], [2.0, 2.0]])
CORNERS_SILENT_RADIUS = 0.5


class Navigation2D(SlotEnv):
    """A point moves in the plane towards a hidden goal.

    ===========  ==================================================================
    observation  (2,) position x, y; unbounded
    action       (2,) move in x, y for this step, each in [-0.1, 0.1]
    reward       −√((x − gx)² + (y − gy)²), after the move
    terminates   when |x − gx| < 0.01 and |y − gy| < 0.01
    task         (2,) goal gx, gy, uniform in [-0.5, 0.5]²
    start        always (0, 0)
    source       Finn, Abbeel, Levine 2017, section 5.3. Their text says squared
                 distance; their code and published returns are Euclidean
    ===========  ==================================================================
    """

    fixed_start = True

    def __init__(self, render_mode: str | None = None) -> None:
        self.task_space = spaces.Box(-0.5, 0.5, (2,), np.float64)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Box(-0.1, 0.1, (2,), np.float64)
        super().__init__(np.zeros(2), render_mode)

    def start(self, generators: Generators) -> Points:
        """Start at the origin."""
        return np.zeros((len(generators), 2))

    def observe(self, states: Points) -> Points:
        """See the position."""
        return states.copy()

    def advance(self, states: Points, tasks: Points, actions: Points, _: Generators) -> Outcome:
        """Move by the action."""
        states = states + np.clip(actions, -0.1, 0.1)
        offsets = np.abs(states - tasks)
        reached = (offsets[:, 0] < 0.01) & (offsets[:, 1] < 0.01)
        return Outcome(states, -_distance(states, tasks), reached)

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw the goal, the path so far and the agent."""
        return _draw_path(moments, [np.asarray(self.task)], 0.02, 0.75)

    def page_part(self, policies: Policies) -> str:
        """Give a part of a report, as HTML, in which a reader chooses the goal."""
        return page_part(policies)


class NavigationSemicircle(SlotEnv):
    """A point moves in the plane to a hidden goal on the upper half of the unit circle.

    ===========  ==================================================================
    observation  (2,) position x, y; unbounded
    action       (2,) move in x, y for this step, each in [-0.1, 0.1]
    reward       d = √((x − cos φ)² + (y − sin φ)²), after the move.
                 sparse: 1 − d where d ≤ 0.2, else 0; dense: −d
    terminates   never; truncated at the time limit
    task         (1,) the goal's angle φ, uniform in [0, π] rad
    start        always (0, 0)
    source       Rakelly et al. 2019 (PEARL), the sparse point robot of the authors'
                 code, which has 100 fixed goals at equal distances and trains on the
                 dense reward
    ===========  ==================================================================

    Args:
        reward: "sparse" or "dense".
        render_mode: "rgb_array" or None.

    """

    fixed_start = True

    def __init__(self, reward: str = "sparse", render_mode: str | None = None) -> None:
        if reward not in ("sparse", "dense"):
            raise ValueError(f"reward = {reward!r} must be 'sparse' or 'dense'")
        self._sparse = reward == "sparse"
        self.task_space = spaces.Box(0.0, np.pi, (1,), np.float64)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Box(-0.1, 0.1, (2,), np.float64)
        super().__init__(np.full(1, np.pi / 2), render_mode)

    def start(self, generators: Generators) -> Points:
        """Start at the origin."""
        return np.zeros((len(generators), 2))

    def observe(self, states: Points) -> Points:
        """See the position."""
        return states.copy()

    def advance(
        self, states: Points, tasks: Float[np.ndarray, "slot 1"], actions: Points, _: Generators
    ) -> Outcome:
        """Move by the action."""
        states = states + np.clip(actions, -0.1, 0.1)
        distance = _distance(states, np.concatenate([np.cos(tasks), np.sin(tasks)], axis=1))
        rewards = -distance
        if self._sparse:
            rewards = np.where(distance <= REWARD_RADIUS, 1 - distance, 0.0)
        return Outcome(states, rewards, np.zeros(len(states), dtype=bool))

    def shaped_rewards(
        self, task: Float[np.ndarray, "1"], observations: Float[np.ndarray, "step 2"]
    ) -> Float[np.ndarray, " step"]:
        """Give the dense rewards of steps that led to these observations."""
        return -_distance(observations, self.goal_in_plane(task)[None])

    def goal_in_plane(self, task: Float[np.ndarray, "1"]) -> Float[np.ndarray, "2"]:
        """Give a task's goal."""
        angle = float(np.asarray(task).reshape(()))
        return np.array([np.cos(angle), np.sin(angle)])

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw the goal, the path so far and the agent."""
        return _draw_path(moments, [self.goal_in_plane(self.task)], REWARD_RADIUS, 1.4)


class NavigationCorners(SlotEnv):
    """A point moves in the plane to one of four corners, rewarded only on the way to the right one.

    ===========  ==================================================================
    observation  (2,) position x, y; unbounded
    action       (2,) move in x, y for this step, each in [-0.2, 0.2]
    reward       the decrease of the distance to the goal in this step, where
                 |x| + |y| ≥ 0.5 and no other corner is nearer; else 0 (x, y after
                 the move)
    terminates   never; truncated at the time limit
    task         the corner: 0 (−2, −2), 1 (2, −2), 2 (−2, 2), 3 (2, 2), equal odds
    start        x, y uniform in [-0.2, 0.2]
    source       Rothfuss et al. 2019 (ProMP), the sparse point environment of the
                 authors' code
    ===========  ==================================================================
    """

    def __init__(self, render_mode: str | None = None) -> None:
        self.task_space = spaces.Discrete(4)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Box(-0.2, 0.2, (2,), np.float64)
        super().__init__(0, render_mode)

    def start(self, generators: Generators) -> Points:
        """Start near the origin."""
        return np.array([generator.uniform(-0.2, 0.2, 2) for generator in generators])

    def observe(self, states: Points) -> Points:
        """See the position."""
        return states.copy()

    def advance(
        self, states: Points, tasks: Int[np.ndarray, " slot"], actions: Points, _: Generators
    ) -> Outcome:
        """Move by the action."""
        moved = states + np.clip(actions, -0.2, 0.2)
        goals = CORNERS[tasks]
        nearest = np.min([_distance(moved, corner) for corner in CORNERS], axis=0)
        distance = _distance(moved, goals)
        counts = (np.abs(moved[:, 0]) + np.abs(moved[:, 1]) >= CORNERS_SILENT_RADIUS) & (
            distance == nearest
        )
        rewards = np.where(counts, _distance(states, goals) - distance, 0.0)
        return Outcome(moved, rewards, np.zeros(len(moved), dtype=bool))

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw the corners, the goal among them, the path so far and the agent."""
        goal = CORNERS[int(self.task)]
        return _draw_path(moments, [goal, *CORNERS], 0.15, 2.6)


def _distance(points: Points, goals: Float[np.ndarray, "*slot 2"]) -> Float[np.ndarray, " slot"]:
    """Give Euclidean distances, by operations whose bits do not depend on the number of slots."""
    offsets = points - goals
    x, y = offsets[:, 0], offsets[:, 1]
    distance: np.ndarray = np.sqrt(x * x + y * y)
    return distance


def _draw_path(
    moments: Sequence[Moment], marks: Sequence[Any], radius: float, half_width: float
) -> Frame:
    """Draw the first mark as the goal, the others as rings, and the path; zoom out to hold it."""
    path = np.array([moment.state for moment in moments])
    canvas = Canvas(max(half_width, 1.1 * float(np.abs(path).max())))
    for other in marks[1:]:
        canvas.ring(other, radius, GOAL)
    canvas.disc(marks[0], radius, GOAL)
    canvas.line(path, PATH)
    for point in path[:-1]:
        canvas.dot(point, 3, PATH)
    canvas.dot(path[-1], 8, AGENT)
    return canvas.frame()


def navigation_2d_vector(num_envs: int = 1, max_episode_steps: int | None = None) -> SlotVector:
    """Make many `Navigation2D` side by side."""
    return SlotVector(Navigation2D(), num_envs, max_episode_steps)


def navigation_semicircle_vector(
    num_envs: int = 1, max_episode_steps: int | None = None, **kwargs: Any
) -> SlotVector:
    """Make many `NavigationSemicircle` side by side."""
    return SlotVector(NavigationSemicircle(**kwargs), num_envs, max_episode_steps)


def navigation_corners_vector(
    num_envs: int = 1, max_episode_steps: int | None = None
) -> SlotVector:
    """Make many `NavigationCorners` side by side."""
    return SlotVector(NavigationCorners(), num_envs, max_episode_steps)
