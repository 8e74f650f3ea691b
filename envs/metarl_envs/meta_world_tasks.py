"""The tasks of Meta-World's benchmarks ML1, ML10 and ML45, as Meta-World itself draws them.

A task is an environment, such as a door to open, and a placement of its object and its goal.
"""

import functools
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from metarl.foundation.errors import ConfigError

try:
    import metaworld
    import mujoco
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS, ML10_V3, ML45_V3
    from metaworld.sawyer_xyz_env import SawyerXYZEnv
except ImportError as error:
    raise ConfigError(
        f"Meta-World cannot be imported ({error}); install it by: "
        'pip install "metarl-suite[metaworld]"'
    ) from error

SETS = ("train", "test")
PLACEMENT_SIZE = 6
"""Numbers of the longest placement, in metres; shorter ones end in zeros."""

Task = dict[str, Any]
Placement = Float[np.ndarray, "6"]


@dataclass(frozen=True)
class Benchmark:
    """One of Meta-World's benchmarks."""

    name: Literal["ML1", "ML10", "ML45"]
    seed: int
    """Meta-World draws all placements from it."""
    env_name: str = ""
    """The one environment of ML1."""

    def __post_init__(self) -> None:
        if self.name == "ML1" and self.env_name not in ALL_V3_ENVIRONMENTS:
            near = get_close_matches(self.env_name, ALL_V3_ENVIRONMENTS, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else "an example is 'reach-v3'"
            raise ConfigError(f"Meta-World has no environment {self.env_name!r}; {hint}")

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of all environments, those of training first."""
        if self.name == "ML1":
            return (self.env_name,)
        sets = ML10_V3 if self.name == "ML10" else ML45_V3
        return (*sets["train"], *sets["test"])

    @property
    def task_space(self) -> gym.Space[Any]:
        """Placements anywhere on the table; not all are such as Meta-World draws."""
        return spaces.Dict(
            environment=spaces.Discrete(len(self.environments)),
            placement=spaces.Box(-1.0, 1.0, (PLACEMENT_SIZE,), np.float64),
        )


@functools.cache
def tasks_of(benchmark: Benchmark) -> dict[str, tuple[Task, ...]]:
    """Give the tasks of both sets, in Meta-World's order: 50 of one environment, then of the next.

    Meta-World's own constructor draws them, without physics: on one core that takes 0.4 s for ML1,
    4 s for ML10 and 9 s for ML45 instead of 2, 12 and 40, and gives the same bits. They are kept.
    """
    with _without_physics():
        if benchmark.name == "ML1":
            built = metaworld.ML1(benchmark.env_name, seed=benchmark.seed)
        else:
            built = getattr(metaworld, benchmark.name)(seed=benchmark.seed)
    drawn = {"train": built.train_tasks, "test": built.test_tasks}
    return {name: tuple(_plain(benchmark, task) for task in drawn[name]) for name in SETS}


def _plain(benchmark: Benchmark, task: Any) -> Task:
    """Take the numbers out of what Meta-World pickled a moment ago."""
    drawn = pickle.loads(task.data)["rand_vec"]
    placement = np.zeros(PLACEMENT_SIZE)
    placement[: len(drawn)] = drawn
    return {
        "environment": benchmark.environments.index(task.env_name),
        "placement": placement,
    }


@contextmanager
def _without_physics() -> Iterator[None]:
    """Let Meta-World's resets compute positions only.

    A reset draws a placement, and draws again if goal and object are too close; that looks at the
    placement alone. What is left out are the hundreds of physics steps that raise the arm.
    """

    def arm_stays(world: Any, steps: int = 50) -> None:
        mujoco.mj_kinematics(world.model, world.data)
        world.init_tcp = world.tcp_center

    def time_stands_still(world: Any, control: Any, n_frames: int) -> None:
        pass

    before = SawyerXYZEnv._reset_hand
    SawyerXYZEnv._reset_hand = arm_stays
    SawyerXYZEnv.do_simulation = time_stands_still
    try:
        yield
    finally:
        SawyerXYZEnv._reset_hand = before
        del SawyerXYZEnv.do_simulation  # it is Gymnasium's, inherited
