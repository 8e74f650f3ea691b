"""Wrappers for learners that know one environment and nothing of tasks, such as stable-baselines3.

They and `metarl.tasks.environment_batches` present the same world: a policy trained here acts there
alike.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.config.reinforcement import Config
from metarl.foundation.seeding import Split
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import (
    make_environment,
    sample_tasks,
    task_features,
    task_features_space,
    task_space,
)
from metarl.tasks.observations import observation_layout, with_vector


def policy_environment(config: Config) -> gym.Env[Any, Any]:
    """Make a run's environment as its policy sees it, for use with a single-task learner.

    Actions are in the policy's units; where the policy observes the task, so does the learner. The
    task is the one last set, by `reset(options={"task": task})` or by the attribute `task`.

    Args:
        config: of the run; `metarl.runs.run_folder.read_config` gives it.

    """
    return PolicyActions(observed_environment(config), config.action_scale)


def observed_environment(config: Config) -> gym.Env[Any, Any]:
    """Make a run's environment with what its policy observes, in the environment's own actions."""
    environment = make_environment(config.env_id, config.env_kwargs, config.horizon)
    return ObserveTask(environment) if config.observe_task else environment


class ObserveTask(gym.ObservationWrapper[np.ndarray, Any, np.ndarray]):
    """An oracle's environment: the task, as numbers, stands behind the observation."""

    observes_task = True

    def __init__(self, environment: gym.Env[Any, Any]) -> None:
        super().__init__(environment)
        self._tasks = task_space(environment)
        inner, features = environment.observation_space, task_features_space(self._tasks)
        assert isinstance(inner, gym.spaces.Box)  # as `make_environment` has them
        layout = observation_layout(environment)
        self.observation_layout = with_vector(layout, "task", features.low.size)
        self.observation_space = gym.spaces.Box(
            np.concatenate([inner.low, features.low]),
            np.concatenate([inner.high, features.high]),
            dtype=np.float64,
        )

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Append the current task."""
        task = self.env.get_wrapper_attr("task")
        return np.concatenate([observation, task_features(self._tasks, task)])


class DrawTasks(gym.Wrapper[Any, Any, Any, Any]):
    """One environment of all tasks: every reset draws a new one.

    A reset with a seed decides all the tasks that follow.
    """

    def __init__(self, environment: gym.Env[Any, Any], task_range: Mapping[str, Any]) -> None:
        super().__init__(environment)
        self._range = task_range
        self._seed = 0
        self._episode = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draw a task and start an episode of it."""
        if seed is not None:
            self._seed, self._episode = seed, 0
        key = (Split.TRAIN, self._episode)
        (task,) = sample_tasks(self.env, self._seed, key, 1, self._range)
        self._episode += 1
        return self.env.reset(seed=seed, options={**(options or {}), "task": task})


class OneTask(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that knows nothing of tasks, as one whose only task is what it is already."""

    task_space = gym.spaces.Discrete(1)
    task = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode, without the option that names a task."""
        others = {name: value for name, value in (options or {}).items() if name != "task"}
        return self.env.reset(seed=seed, options=others or None)


class PolicyActions(gym.ActionWrapper[Any, Any, Any]):
    """Takes actions in the policy's units: [-scale, scale] means the environment's bounds.

    They go through the same map as a policy's in `metarl.workers.rollout`. Actions without two
    finite bounds pass as they are; those of a Box are flat, and discrete ones count from 0.
    """

    def __init__(self, environment: gym.Env[Any, Any], scale: float) -> None:
        super().__init__(environment)
        self.action_space = policy_actions(environment.action_space, scale)
        self._map = ActionMap(environment.action_space, scale)

    def action(self, action: Any) -> Any:
        """Map one action of the policy to one of the environment."""
        return self._map(np.asarray(action)[None])[0]


def policy_actions(space: gym.Space[Any], scale: float) -> gym.Space[Any]:
    """Give the policy's actions that mean those of an environment's space."""
    if isinstance(space, gym.spaces.Discrete):
        return gym.spaces.Discrete(int(space.n))
    if not isinstance(space, gym.spaces.Box):
        return space
    low, high = space.low.ravel(), space.high.ravel()
    bounded = np.isfinite(low) & np.isfinite(high)
    return gym.spaces.Box(
        np.where(bounded, -scale, low).astype(np.float32),
        np.where(bounded, scale, high).astype(np.float32),
    )
