"""Meta-World's meta-learning benchmarks ML1, ML10 and ML45 (Yu et al. 2019, arXiv 1910.10897)."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from metarl.tasks.rendering import Frame, MujocoFrames
from metarl_envs.meta_world_tasks import SETS, Benchmark, Task, tasks_of
from metarl_envs.meta_world_worlds import World

Observation = Float[np.ndarray, "39"]

_HAND_LOW, _HAND_HIGH = (-0.525, 0.348, -0.0525), (0.525, 1.025, 0.7)
_OBJECTS = 14
_NOW = 4 + _OBJECTS
_CAMERA = {
    "lookat": np.array([0.0, 0.65, 0.15]),
    "distance": 1.6,
    "azimuth": 147.0,
    "elevation": -32.0,
}


class MetaWorld(gym.Env[Observation, np.ndarray]):
    """An arm that manipulates objects on a table, their goals hidden.

    ===========  ==================================================================
    observation  (39,) the hand's position (3, m), the gripper's opening (1), the
                 positions and quaternions of up to two objects (14, zeros where
                 there is none); all of this one step before (18); zeros (3) where
                 Meta-World's multi-task benchmarks show the goal
    action       (4,) the hand's displacement (3) and the gripper's torque, each in
                 [-1, 1]
    reward       Meta-World's v2 reward of the environment, from 0 to 10
    terminates   never; truncated after 500 steps
    info         success: whether the goal is reached in this step
    control step 0.0125 s (5 physics steps of 0.0025 s)
    task         environment, an index of `environments`; placement (6,) of object
                 and goal (m), as Meta-World's `rand_vec`, zeros behind a shorter one
    start        the same in every episode of a task
    source       Yu et al. 2019, in the environments of the package metaworld 3
    ===========  ==================================================================

    The tasks are in two sets, "train" and "test", which share none. Without a set, tasks are those
    of training. A reset's seed has nothing to decide.

    Args:
        benchmark: names the environments and draws the placements.
        render_mode: "rgb_array" or None.

    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012
    task_sets = SETS
    fixed_start = True
    # The object is there to be seen; the last three elements, the goal's, are not among these.
    observes_task = range(2 * _NOW)
    # Objects that nobody touches do not move.
    constant_observation = tuple(
        index for index in range(2 * _NOW) if index % _NOW >= _NOW - _OBJECTS
    )

    def __init__(self, benchmark: Benchmark, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode = {render_mode!r} must be 'rgb_array' or None")
        self.render_mode = render_mode
        self.environments = benchmark.environments
        self.task_space = benchmark.task_space
        self.task: Task | None = None
        self.observation_space = _observation_space()
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.mujoco_renderer: MujocoFrames | None = None
        self._benchmark = benchmark
        self._worlds: dict[int, World] = {}
        self._world: World | None = None

    def tasks_of(self, name: str) -> Sequence[Task]:
        """Give all tasks of a set, those of one environment together."""
        return tasks_of(self._benchmark)[name]

    def sample_task(self, generator: np.random.Generator) -> Task:
        """Draw one of the tasks of training."""
        tasks = self.tasks_of("train")
        return tasks[int(generator.integers(len(tasks)))]

    def task_group(self, task: Task) -> str:
        """Give the name of a task's environment."""
        return self.environments[task["environment"]]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; `options["task"]` sets the task, which stays until it is set anew.

        Before one was set it is the first of training.
        """
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = options["task"]
        elif self.task is None:
            self.task = self.tasks_of("train")[0]
        index = int(self.task["environment"])
        if index not in self._worlds:
            self._worlds[index] = World(self.environments[index])
        if self._world is not self._worlds[index]:
            self._close_renderer()
            self._world = self._worlds[index]
        return self._world.reset(self.task["placement"]), {}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Make one control step."""
        assert self._world is not None, "reset comes first"
        return self._world.step(action)

    def render(self) -> Frame | None:
        """Give a picture of the table."""
        assert self._world is not None, "reset comes first"
        if self.render_mode is None:
            return None
        if self.mujoco_renderer is None:
            self.mujoco_renderer = MujocoFrames(
                self._world.model, self._world.data, camera_settings=_CAMERA
            )
        self._world.hold()
        return self.mujoco_renderer.frame()

    def close(self) -> None:
        """Forget the worlds; the models stay for others."""
        self._close_renderer()
        self._worlds, self._world = {}, None

    def _close_renderer(self) -> None:
        if self.mujoco_renderer is not None:
            self.mujoco_renderer.close()
            self.mujoco_renderer = None


def _observation_space() -> spaces.Box:
    low = np.array([*_HAND_LOW, -1.0, *[-np.inf] * _OBJECTS])
    high = np.array([*_HAND_HIGH, 1.0, *[np.inf] * _OBJECTS])
    goal = np.zeros(3)
    return spaces.Box(np.hstack((low, low, goal)), np.hstack((high, high, goal)), dtype=np.float64)


def ml1(
    env_name: str = "reach-v3", benchmark_seed: int = 1, render_mode: str | None = None
) -> MetaWorld:
    """Make ML1: one environment, 50 placements to train on and 50 others to be tested on.

    Args:
        env_name: Meta-World's name of the environment.
        benchmark_seed: Meta-World draws all placements from it.
        render_mode: "rgb_array" or None.

    """
    return MetaWorld(Benchmark("ML1", benchmark_seed, env_name), render_mode)


def ml10(benchmark_seed: int = 1, render_mode: str | None = None) -> MetaWorld:
    """Make ML10: 10 environments to train on, 5 others to be tested on, 50 placements of each.

    Args:
        benchmark_seed: Meta-World draws all placements from it.
        render_mode: "rgb_array" or None.

    """
    return MetaWorld(Benchmark("ML10", benchmark_seed), render_mode)


def ml45(benchmark_seed: int = 1, render_mode: str | None = None) -> MetaWorld:
    """Make ML45: 45 environments to train on, 5 others to be tested on, 50 placements of each.

    Args:
        benchmark_seed: Meta-World draws all placements from it.
        render_mode: "rgb_array" or None.

    """
    return MetaWorld(Benchmark("ML45", benchmark_seed), render_mode)
