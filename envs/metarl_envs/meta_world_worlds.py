"""Meta-World's environments, on models that those of the same kind in a process share.

A compiled model takes 21 MB, mostly meshes, and a quarter of a second to compile; what one
environment needs of its own is less than 0.2 MB. Only the positions of bodies and sites differ,
where a reset puts objects; they are put back before another environment of the kind goes on.
"""

import functools
import pickle
from typing import Any

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.types import Task

_PLACED = ("body_pos", "site_pos")
"""The fields of a model that resets change."""

_DRAWS_OF_A_RESET = 4
"""A reset places things twice, and looks at the placement at least once each time."""

Fields = dict[str, np.ndarray]


class _SharedModel:
    """A compiled model, and whose placement it has now."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self.unplaced = self.fields()
        self.holder = -1

    def fields(self) -> Fields:
        """Give copies of what resets change."""
        return {name: getattr(self.model, name).copy() for name in _PLACED}

    def lend(self, holder: int, fields: Fields) -> None:
        """Put a placement into the model."""
        for name, values in fields.items():
            getattr(self.model, name)[:] = values
        self.holder = holder


class World:
    """One environment of Meta-World's with its goal hidden.

    Args:
        name: Meta-World's name of it, such as "reach-v3".

    """

    def __init__(self, name: str) -> None:
        self.name = name
        kind, self._shared = _sharing(name)
        # Resetting the model first makes a new environment independent of those already there.
        self._shared.lend(id(self), self._shared.unplaced)
        self._theirs: Any = kind()
        self._fields = self._shared.unplaced

    @property
    def model(self) -> mujoco.MjModel:
        """The model, with this world's placement."""
        self.hold()
        return self._shared.model

    @property
    def data(self) -> mujoco.MjData:
        """The simulation."""
        return self._theirs.data

    def hold(self) -> None:
        """Put this world's placement into the model, if another's is there."""
        if self._shared.holder != id(self):
            self._shared.lend(id(self), self._fields)

    def reset(self, placement: np.ndarray) -> np.ndarray:
        """Place object and goal, and give the first observation.

        Args:
            placement: as Meta-World draws it, zeros behind it ignored.

        Raises:
            ValueError: Meta-World would draw another placement instead of this one.

        """
        self._shared.lend(id(self), self._shared.unplaced)
        size = self._theirs._random_reset_space.low.size
        task = {
            "rand_vec": np.array(placement[:size]),
            "env_cls": ALL_V3_ENVIRONMENTS[self.name],
            "partially_observable": True,
        }
        self._theirs.set_task(Task(self.name, pickle.dumps(task)))
        self._theirs.draws = 0
        observation, _ = self._theirs.reset()
        self._fields = self._shared.fields()
        result: np.ndarray = observation
        return result

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one control step."""
        self.hold()
        observation, reward, terminated, truncated, info = self._theirs.step(action)
        return observation, float(reward), terminated, truncated, info


@functools.cache
def _sharing(name: str) -> tuple[type[Any], _SharedModel]:
    """Give Meta-World's class of environments, on a model compiled once."""
    theirs = ALL_V3_ENVIRONMENTS[name]
    shared = _SharedModel(theirs().model)

    class Sharing(theirs):  # type: ignore[misc, valid-type]
        """Meta-World's environment, with a model that was compiled already."""

        draws = 0

        def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
            return shared.model, mujoco.MjData(shared.model)

        def _get_state_rand_vec(self) -> np.ndarray:
            self.draws += 1
            if self.draws > _DRAWS_OF_A_RESET:
                raise ValueError(
                    f"placement {self._last_rand_vec} of {name}: object and goal are too close, "
                    "Meta-World would draw another"
                )
            drawn: np.ndarray = super()._get_state_rand_vec()
            return drawn

    return Sharing, shared
