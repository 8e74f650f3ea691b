"""Settings of the agents; light, so that help and errors come without torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from metarl.config.fields import require
from metarl.config.settings import TrustRegionSettings

_OF_SB3_TRPO = ("max_kl", "cg_iterations", "cg_damping")


def require_default(settings: object, names: Iterable[str], reason: str) -> None:
    """Refuse values that somebody chose, and that would be ignored.

    Raises:
        ConfigError: a field is not at its default.

    """
    for name in names:
        require(settings, name, getattr(settings, name) == getattr(type(settings), name), reason)


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
        if self.algorithm != "trpo":
            reason = 'is of TRPO; leave it away, or set algorithm = "trpo"'
            require_default(self, _OF_SB3_TRPO, reason)


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
    """ε: how far towards the adapted parameters; or Adam's step size, which is to be said."""
    optimiser: Literal["sgd", "adam"] = "sgd"
    """Plain steps, or Adam's."""

    def __post_init__(self) -> None:
        name = "outer_learning_rate"
        require(self, name, 0 < self.outer_learning_rate < math.inf, "must be positive and finite")
        if self.optimiser == "adam":
            said = self.outer_learning_rate != type(self).outer_learning_rate
            reason = (
                "is of plain steps; Adam would move every parameter by as much: take 0.001, say"
            )
            require(self, name, said, reason)


@dataclass(frozen=True)
class MultitaskSettings(TrustRegionSettings):
    """Policy gradient on all tasks together."""

    optimiser: Literal["adam", "trust-region"] = "adam"
    """Steps of Adam, or within a trust region."""
    outer_learning_rate: float = 0.01
    """Adam's step size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name = "outer_learning_rate"
        require(self, name, 0 < self.outer_learning_rate < math.inf, "must be positive and finite")
        if self.optimiser == "adam":
            reason = 'is of a trust region; leave it away, or set optimiser = "trust-region"'
            require_default(self, (field.name for field in fields(TrustRegionSettings)), reason)
        else:
            reason = 'is of Adam; leave it away, or set optimiser = "adam"'
            require_default(self, [name], reason)


@dataclass(frozen=True)
class CaviaSettings(TrustRegionSettings):
    """CAVIA by a trust-region outer step; the defaults are those of Zintgraf et al. 2019."""

    context_parameters: int = 5
    """Numbers that the policy sees beside every observation; adaptation moves them alone."""
    adapt_std: bool = False
    """Let the inner loop move a Gaussian policy's standard deviation as well, as MAML's does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = self.context_parameters >= 1
        require(self, "context_parameters", enough, "leaves nothing to adapt; must be at least 1")


@dataclass(frozen=True)
class Ucb1Settings:
    """UCB1 (Auer, Cesa-Bianchi, Fischer 2002)."""

    exploration: float = 0.2
    """c: weight of √(2 ln t / T) beside an arm's mean. Of 0.1, 0.2, 0.3, 0.5 and 1, 0.2 was best
    for 100 pulls of 5 and of 10 arms; for 10 pulls 0.1 is a little better."""

    def __post_init__(self) -> None:
        require(self, "exploration", 0 <= self.exploration < math.inf, "must be 0 or more, finite")


@dataclass(frozen=True)
class OtsSettings:
    """Optimistic Thompson sampling, as Duan et al. 2016 describe it."""

    draws: int = 20
    """N: draws from the posterior, of which the likeliest is taken. Of 5 and 20, 20 was better."""

    def __post_init__(self) -> None:
        require(self, "draws", 1 <= self.draws <= 1000, "must lie between 1 and 1000")


@dataclass(frozen=True)
class OpsrlSettings:
    """Optimistic posterior sampling of processes."""

    draws: int = 5
    """Processes drawn from the posterior. 5 are hardly better than 2."""

    def __post_init__(self) -> None:
        require(self, "draws", 1 <= self.draws <= 1000, "must lie between 1 and 1000")


@dataclass(frozen=True)
class EpsilonGreedySettings:
    """The best action by what is known, and now and then any."""

    epsilon: float = 0.02
    """ε: probability of an action at random. Of 0.02, 0.05 and 0.1, 0.02 was best."""

    def __post_init__(self) -> None:
        require(self, "epsilon", 0 <= self.epsilon <= 1, "must lie between 0 and 1")


@dataclass(frozen=True)
class Ucrl2Settings:
    """UCRL2 (Jaksch, Ortner, Auer 2010)."""

    scale: float = 0.1
    """c: of the confidence set. Of 0.05, 0.1, 0.2 and 0.4, 0.1 was best for 25 episodes;
    for 10 they are alike."""

    def __post_init__(self) -> None:
        require(self, "scale", 0 <= self.scale < math.inf, "must be 0 or more and finite")


@dataclass(frozen=True)
class BebSettings:
    """The Bayesian exploration bonus (Kolter and Ng 2009)."""

    weight: float = 0.6
    """β: bonus of a state and action never tried. Of 0.3, 0.6, 1, 2 and 4, 0.6 was best for 25
    episodes, and 0.3 as good for 10."""

    def __post_init__(self) -> None:
        require(self, "weight", 0 <= self.weight < math.inf, "must be 0 or more and finite")
