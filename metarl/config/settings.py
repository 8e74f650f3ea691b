"""Settings that agents share; light, so that help and errors come without torch."""

import math
from dataclasses import dataclass

from metarl.config.fields import require


@dataclass(frozen=True)
class NoSettings:
    """An agent that has nothing to decide."""


@dataclass(frozen=True)
class TrustRegionSettings:
    """A trust-region outer step; the defaults are those of Finn, Abbeel, Levine 2017."""

    max_kl: float = 0.01
    """Trust region δ: largest mean KL divergence of the adapted policies in one step."""
    cg_iterations: int = 10
    """Conjugate-gradient iterations."""
    cg_damping: float = 1e-5
    """Added to the diagonal of the curvature."""
    line_search_steps: int = 15
    """Candidates that the backtracking line search tries."""
    line_search_ratio: float = 0.8
    """By how much each candidate's step is shorter than the one before."""
    curvature_fraction: float = 1.0
    """Fraction of the steps that curvature products use, of support and of query data; drawn
    evenly over time, anew in each iteration, and 32 at least. Gradient, loss and KL divergence
    always use all."""

    def __post_init__(self) -> None:
        require(self, "max_kl", 0 < self.max_kl < math.inf, "must be positive and finite")
        require(self, "cg_damping", 0 <= self.cg_damping < math.inf, "must be 0 or more, finite")
        for name in ("cg_iterations", "line_search_steps"):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        require(self, "line_search_ratio", 0 < self.line_search_ratio < 1, "must lie in (0, 1)")
        fraction_is_good = 0 < self.curvature_fraction <= 1
        require(self, "curvature_fraction", fraction_is_good, "must lie in (0, 1]")
