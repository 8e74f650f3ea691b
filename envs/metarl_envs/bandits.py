"""Bandits: discrete actions, no state."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int

from metarl_envs.drawing import AGENT, FAINT, GOAL, Canvas
from metarl_envs.slots import Frame, Generators, Moment, Outcome, SlotEnv, SlotVector

Nothing = Float[np.ndarray, "slot 1"]


class BernoulliBandit(SlotEnv):
    """Pull arms that pay 1 with unknown probabilities.

    ===========  ==================================================================
    observation  (1,) always 0
    action       the arm to pull, 0 … arms − 1
    reward       1 with the arm's probability, else 0
    terminates   never; truncated at the time limit
    task         (arms,) each arm's probability, uniform in [0, 1]
    start        always the same: there is no state
    known answer a policy that pulls at random gets 1/2 a step, one that knows the
                 best of k arms k/(k + 1)
    source       the bandits of Duan et al. 2016 (RL²), k = 5, 10, 50
    ===========  ==================================================================

    Args:
        arms: the number of arms, k.
        render_mode: "rgb_array" or None.

    """

    fixed_start = True
    constant_observation = True

    def __init__(self, arms: int = 5, render_mode: str | None = None) -> None:
        self.task_space = spaces.Box(0.0, 1.0, (arms,), np.float64)
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Discrete(arms)
        super().__init__(np.full(arms, 0.5), render_mode)

    def start(self, generators: Generators) -> Nothing:
        """Start; there is no state."""
        return np.zeros((len(generators), 1))

    def observe(self, states: Nothing) -> Nothing:
        """See nothing."""
        return states.copy()

    def advance(
        self,
        states: Nothing,
        tasks: Float[np.ndarray, "slot arm"],
        actions: Int[np.ndarray, " slot"],
        generators: Generators,
    ) -> Outcome:
        """Pull an arm."""
        draws = np.array([generator.random() for generator in generators])
        pays = draws < tasks[np.arange(len(tasks)), actions]
        return Outcome(states, pays.astype(np.float64), np.zeros(len(tasks), dtype=bool))

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw each arm's probability as a bar, its mean payment in it, and the last pull."""
        pulled = [(int(moment.action), moment.reward) for moment in moments[1:]]
        arms = len(self.task)
        canvas = Canvas(1.0)
        width = 1.8 / arms
        for arm, probability in enumerate(self.task):
            paid = [reward for other, reward in pulled if other == arm]
            left, right = -0.9 + arm * width + 0.1 * width, -0.9 + (arm + 1) * width - 0.1 * width
            low, height = -0.7, 1.4
            canvas.rectangle((left, low), (right, low + height * float(probability)), FAINT)
            if paid:
                inner = 0.25 * (right - left)
                top = low + height * sum(paid) / len(paid)
                canvas.rectangle((left + inner, low), (right - inner, top), AGENT)
            if arms <= 10:
                canvas.text((left / 2 + right / 2, -0.8), str(len(paid)))
        if pulled:
            arm, reward = pulled[-1]
            canvas.dot((-0.9 + (arm + 0.5) * width, -0.9), 6, GOAL if reward else FAINT)
        total = sum(reward for _, reward in pulled)
        canvas.text((0, 0.88), f"pull {len(pulled)}, paid {total:.0f}")
        return canvas.frame()


def bernoulli_bandit_vector(
    num_envs: int = 1, max_episode_steps: int | None = None, **kwargs: Any
) -> SlotVector:
    """Make many `BernoulliBandit` side by side."""
    return SlotVector(BernoulliBandit(**kwargs), num_envs, max_episode_steps)
