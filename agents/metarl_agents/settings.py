"""Settings of the agents; light, so that help and errors come without torch."""

import math
from dataclasses import dataclass
from typing import Literal

from metarl.config import require


@dataclass(frozen=True)
class StableBaselinesSettings:
    """TRPO or PPO of stable-baselines3; what is not here keeps that library's default."""

    algorithm: Literal["trpo", "ppo"] = "trpo"
    """TRPO of sb3-contrib, or PPO of stable-baselines3."""
    max_kl: float = 0.01
    """Trust region of TRPO: largest mean KL divergence of one step."""
    cg_iterations: int = 10
    """Conjugate-gradient iterations of TRPO."""
    cg_damping: float = 1e-3
    """Added to the diagonal of TRPO's curvature."""
    learning_rate: float = 1e-3
    """Adam's step size: of TRPO's critic, of PPO's actor and critic."""
    epochs: int = 10
    """Passes over an iteration's steps: by TRPO's critic, by PPO's actor and critic."""
    minibatches: int = 80
    """Minibatches of each pass."""

    def __post_init__(self) -> None:
        for name in ("max_kl", "learning_rate"):
            require(self, name, 0 < getattr(self, name) < math.inf, "must be positive and finite")
        require(self, "cg_damping", 0 <= self.cg_damping < math.inf, "must be 0 or more, finite")
        for name in ("cg_iterations", "epochs", "minibatches"):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
