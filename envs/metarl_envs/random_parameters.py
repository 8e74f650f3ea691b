"""Randomised dynamics: masses, inertias, damping and friction scaled at random.

A task holds the exponent e of every scaled number, uniform in [-limit, limit]; a number's factor
is base^e, with the bases of rand_param_envs. The world body, which has no mass, is left out.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from metarl_envs.task_distributions import Tasks, log_scales

_BASES = {"body_mass": 1.5, "body_inertia": 1.5, "dof_damping": 1.3, "geom_friction": 1.5}


@dataclass(frozen=True)
class RandomParameters:
    """How many numbers of a model are scaled: those of its bodies, joints and geoms."""

    bodies: int
    """Bodies beside the world."""
    dofs: int
    """Degrees of freedom."""
    geoms: int
    """Geoms, the floor among them."""

    def tasks(self, limit: float) -> Tasks:
        """Give the task distribution."""
        exponents = log_scales(sum(self._sizes().values()), limit)

        def factors(task: Any) -> Float[np.ndarray, " number"]:
            bases = np.repeat(list(_BASES.values()), list(self._sizes().values()))
            powers: np.ndarray = bases ** exponents.to_numbers(task)
            return powers

        return Tasks(exponents.space, exponents.default, factors)

    def scaled(
        self, model: mujoco.MjModel, factors: Float[np.ndarray, "slot number"]
    ) -> dict[str, Float[np.ndarray, "slot ..."]]:
        """Give the scaled model parameters of each slot, by name."""
        found = {}
        start = 0
        for name, size in self._sizes().items():
            nominal = getattr(model, name)
            values = np.repeat(nominal[None], len(factors), axis=0)
            scaled = values[:, 1:] if name.startswith("body_") else values
            scaled *= factors[:, start : start + size].reshape(scaled.shape)
            found[name] = values
            start += size
        return found

    def _sizes(self) -> dict[str, int]:
        return {
            "body_mass": self.bodies,
            "body_inertia": self.bodies * 3,
            "dof_damping": self.dofs,
            "geom_friction": self.geoms * 3,
        }
