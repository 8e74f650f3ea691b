"""Settings of the agents; light, so that help and errors come without torch."""

import math
from dataclasses import dataclass
from typing import Literal

from metarl.config.fields import require


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


@dataclass(frozen=True)
class ProMPSettings:
    """The outer steps of ProMP; the defaults are those of Rothfuss et al. 2019."""

    outer_learning_rate: float = 1e-3
    """Adam's step size."""
    outer_steps: int = 5
    """Adam steps on the same experience."""
    clip_ratio: float = 0.3
    """ε: how far the adapted policy's ratios count."""
    kl_penalty: float = 5e-4
    """η: weight of the KL divergence of the policy before adaptation."""

    def __post_init__(self) -> None:
        for name in ("outer_learning_rate", "clip_ratio"):
            require(self, name, 0 < getattr(self, name) < math.inf, "must be positive and finite")
        require(self, "kl_penalty", 0 <= self.kl_penalty < math.inf, "must be 0 or more, finite")
        require(self, "outer_steps", self.outer_steps >= 1, "must be at least 1")


@dataclass(frozen=True)
class ReptileSettings:
    """The outer step of Reptile."""

    outer_learning_rate: float = 1.0
    """ε: how far towards the adapted parameters; or Adam's step size."""
    optimiser: Literal["sgd", "adam"] = "sgd"
    """Plain steps, or Adam's."""

    def __post_init__(self) -> None:
        name = "outer_learning_rate"
        require(self, name, 0 < self.outer_learning_rate < math.inf, "must be positive and finite")
