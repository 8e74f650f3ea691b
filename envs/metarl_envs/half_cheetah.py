"""Half-cheetah tasks on the physics of Gymnasium's HalfCheetah-v5."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from jaxtyping import Float

from metarl.rendering import replace_renderer
from metarl_envs.mujoco_messages import without_deprecation_notes

CONTROL_COST_WEIGHT = 0.05
FASTEST = 3.0

Observation = Float[np.ndarray, " obs"]


class _HalfCheetah(HalfCheetahEnv):
    """What the half-cheetah tasks share: the body, the control cost, the handling of tasks."""

    def __init__(self, **kwargs: Any) -> None:
        with without_deprecation_notes():
            super().__init__(ctrl_cost_weight=CONTROL_COST_WEIGHT, **kwargs)
        replace_renderer(self)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start near the default pose; `options["task"]` sets the task, which stays."""
        if options is not None and "task" in options:
            self.task = options["task"]
        result: tuple[Observation, dict[str, Any]] = super().reset(seed=seed, options=options)
        return result

    def _get_rew(self, x_velocity: float, action: Observation) -> tuple[float, dict[str, float]]:
        forward_reward = self._task_reward(float(x_velocity))
        control_cost = CONTROL_COST_WEIGHT * float(np.sum(np.square(action)))
        return forward_reward - control_cost, {
            "reward_forward": forward_reward,
            "reward_ctrl": -control_cost,
        }

    def _task_reward(self, x_velocity: float) -> float:
        raise NotImplementedError


class HalfCheetahDir(_HalfCheetah):
    """Run forward or backward.

    ===========  ==================================================================
    observation  (17,) joint positions without x (8, m and rad) and velocities
                 (9, m/s and rad/s), as in HalfCheetah-v5
    action       (6,) joint torques, each in [-1, 1]
    reward       d·v − 0.05·Σa², v the mean x velocity over the control step (m/s)
    terminates   never; truncated at the time limit
    control step 0.05 s (5 physics steps of 0.01 s)
    task         0: backward (d = −1), 1: forward (d = +1), equal odds
    start        positions + U(−0.1, 0.1), velocities + N(0, 0.1²)
    source       Finn, Abbeel, Levine 2017, section 5.3, in the form of Rothfuss et
                 al. 2019 (ProMP): their control step, observation and cost
    ===========  ==================================================================
    """

    def __init__(self, **kwargs: Any) -> None:
        self.task_space = spaces.Discrete(2)
        self.task = 1
        super().__init__(**kwargs)

    def _task_reward(self, x_velocity: float) -> float:
        return x_velocity if int(self.task) == 1 else -x_velocity


class HalfCheetahVel(_HalfCheetah):
    """Run at a given speed.

    ===========  ==================================================================
    observation  (17,) as in `HalfCheetahDir`
    action       (6,) joint torques, each in [-1, 1]
    reward       −|v − v*| − 0.05·Σa², v the mean x velocity over the control step
                 (m/s)
    terminates   never; truncated at the time limit
    control step 0.05 s (5 physics steps of 0.01 s)
    task         (1,) goal velocity v*, uniform in [0, 3] m/s
    start        positions + U(−0.1, 0.1), velocities + N(0, 0.1²)
    source       Finn, Abbeel, Levine 2017, section 5.3, in the form of Rothfuss et
                 al. 2019 (ProMP): their velocity range, control step and cost
    ===========  ==================================================================
    """

    def __init__(self, **kwargs: Any) -> None:
        self.task_space = spaces.Box(0.0, FASTEST, (1,), np.float64)
        self.task = np.zeros(1)
        super().__init__(**kwargs)

    def _task_reward(self, x_velocity: float) -> float:
        return -abs(x_velocity - float(np.asarray(self.task).reshape(())))
