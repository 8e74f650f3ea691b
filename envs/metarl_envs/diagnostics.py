"""Tiny tasks with known answers, each isolating one thing that can go wrong."""

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from metarl_envs.drawing import AGENT, FAINT, GOAL, INK, Canvas
from metarl_envs.slots import Frame, Generators, Moment, Outcome, SlotEnv, SlotVector

Column = Float[np.ndarray, "slot 1"]


class OneStepTarget(SlotEnv):
    """Name a hidden number in one step.

    ===========  ==================================================================
    observation  (1,) always 1
    action       (1,) a guess a in [-2, 2]
    reward       −(a − g)²
    terminates   after the first step
    task         (1,) the number g, uniform in [-1, 1]
    start        always the same: there is no state
    known answer before adaptation the best mean guess is E g = 0 with return
                 −Var g − σ² = −1/3 − σ²; for a policy that knows g it is g, with
                 return −σ² (σ the policy's standard deviation)
    ===========  ==================================================================
    """

    fixed_start = True
    constant_observation = True

    def __init__(self, render_mode: str | None = None) -> None:
        self.task_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Box(-2.0, 2.0, (1,), np.float64)
        super().__init__(np.zeros(1), render_mode)

    def start(self, generators: Generators) -> Column:
        """Start; there is no state."""
        return np.ones((len(generators), 1))

    def observe(self, states: Column) -> Column:
        """See a constant."""
        return states.copy()

    def advance(self, states: Column, tasks: Column, actions: Column, _: Generators) -> Outcome:
        """Reward the guess."""
        errors = actions[:, 0] - tasks[:, 0]
        return Outcome(states, -(errors * errors), np.ones(len(states), dtype=bool))

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw the number and the guess on a line."""
        canvas = Canvas(2.2)
        canvas.line([(-2.0, 0.0), (2.0, 0.0)], FAINT, pixels=4)
        for mark in range(-2, 3):
            canvas.text((mark, -0.3), str(mark))
        canvas.dot((float(self.task[0]), 0.0), 10, GOAL)
        if moments[-1].action is not None:
            canvas.dot((float(moments[-1].action[0]), 0.0), 6, AGENT)
            canvas.text((0, 1.8), f"reward {moments[-1].reward:.3f}", INK)
        return canvas.frame()


def one_step_target_vector(num_envs: int = 1, max_episode_steps: int | None = None) -> SlotVector:
    """Make many `OneStepTarget` side by side."""
    return SlotVector(OneStepTarget(), num_envs, max_episode_steps)
