"""Random finite Markov decision processes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int

from metarl_envs.drawing import AGENT, GOAL, INK, Canvas, Colour
from metarl_envs.slots import (
    Frame,
    Generators,
    Moment,
    Outcome,
    SlotEnv,
    SlotVector,
)
from metarl_envs.task_vector import Observations

States = Int[np.ndarray, " slot"]


class TabularMDP(SlotEnv):
    """Find the rewarding actions of an unknown Markov decision process.

    ===========  ==================================================================
    observation  (states,) the current state, one-hot
    action       0 … actions − 1
    reward       drawn from N(m(s, a), 1), s the state in which a was taken
    terminates   never; truncated at the time limit
    task         mean_rewards (states, actions): m(s, a), each drawn from N(1, 1);
                 transitions (states, actions, states): P(s′ | s, a), each row drawn
                 from a flat Dirichlet distribution
    start        always state 0
    source       the tabular MDPs of Duan et al. 2016 (RL²): 10 states, 5 actions,
                 episodes of 10 steps
    ===========  ==================================================================

    Args:
        states: the number of states.
        actions: the number of actions.
        render_mode: "rgb_array" or None.

    """

    fixed_start = True

    def __init__(self, states: int = 10, actions: int = 5, render_mode: str | None = None) -> None:
        self._shape = (states, actions)
        self.task_space = spaces.Dict(
            mean_rewards=spaces.Box(-np.inf, np.inf, (states, actions), np.float64),
            transitions=spaces.Box(0.0, 1.0, (states, actions, states), np.float64),
        )
        self.observation_space = spaces.Box(0.0, 1.0, (states,), np.float64)
        self.action_space = spaces.Discrete(actions)
        task = {
            "mean_rewards": np.ones((states, actions)),
            "transitions": np.full((states, actions, states), 1 / states),
        }
        super().__init__(task, render_mode)

    def sample_task(self, generator: np.random.Generator) -> dict[str, Float[np.ndarray, "..."]]:
        """Draw a process; the task space's own samples are not one."""
        return {
            "mean_rewards": generator.normal(1.0, 1.0, self._shape),
            "transitions": generator.dirichlet(np.ones(self._shape[0]), self._shape),
        }

    def start(self, generators: Generators) -> States:
        """Start in the first state."""
        return np.zeros(len(generators), dtype=np.int64)

    def observe(self, states: States) -> Observations:
        """See the state."""
        observations = np.zeros((len(states), self._shape[0]))
        observations[np.arange(len(states)), states] = 1
        return observations

    def advance(
        self,
        states: States,
        tasks: dict[str, Float[np.ndarray, "slot ..."]],
        actions: Int[np.ndarray, " slot"],
        generators: Generators,
    ) -> Outcome:
        """Draw the reward, then the next state."""
        noise = np.array([generator.standard_normal() for generator in generators])
        draws = np.array([generator.random() for generator in generators])
        slots = np.arange(len(states))
        rewards = tasks["mean_rewards"][slots, states, actions] + noise
        cumulative = np.cumsum(tasks["transitions"][slots, states, actions], axis=1)
        # A row's sum may round to less than the draw.
        following = np.minimum((cumulative <= draws[:, None]).sum(axis=1), self._shape[0] - 1)
        return Outcome(following, rewards, np.zeros(len(states), dtype=bool))

    def draw(self, moments: Sequence[Moment]) -> Frame:
        """Draw m(s, a) as a table of colours, the state's row framed and the last action dotted."""
        states, actions = self._shape
        canvas = Canvas(1.0)
        row_height, column_width = 1.5 / states, 1.6 / actions
        low = -0.85
        for state in range(states):
            bottom = low + (states - 1 - state) * row_height
            for action in range(actions):
                left = -0.7 + action * column_width
                colour = _reward_colour(float(self.task["mean_rewards"][state, action]))
                corner = (left + column_width, bottom + row_height)
                canvas.rectangle((left, bottom), corner, colour)
            if states <= 20:
                canvas.text((-0.82, bottom + row_height / 2), f"s{state}", pixels=13)
        now = int(moments[-1].state)
        bottom = low + (states - 1 - now) * row_height
        canvas.rectangle((-0.7, bottom), (0.9, bottom + row_height), None, AGENT)
        if len(moments) > 1:
            state, action = int(moments[-2].state), int(moments[-1].action)
            row = low + (states - 0.5 - state) * row_height
            canvas.dot((-0.7 + (action + 0.5) * column_width, row), 7, INK)
        total = sum(moment.reward for moment in moments)
        canvas.text((0.1, 0.85), f"step {len(moments) - 1}, return {total:.1f}")
        return canvas.frame()


def _reward_colour(mean: float) -> Colour:
    """Shade from white (−1 and less) to orange (3 and more): two standard deviations each way."""
    share = min(max((mean + 1) / 4, 0.0), 1.0)
    red, green, blue = (round(255 + share * (part - 255)) for part in GOAL)
    return red, green, blue


def tabular_mdp_vector(
    num_envs: int = 1, max_episode_steps: int | None = None, **kwargs: Any
) -> SlotVector:
    """Make many `TabularMDP` side by side."""
    return SlotVector(TabularMDP(**kwargs), num_envs, max_episode_steps)
