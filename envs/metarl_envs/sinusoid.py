"""Regression of sine waves (Finn, Abbeel, Levine 2017, section 5.1).

==========  ==================================================
input       x ~ U(−5, 5)
target      A sin(x − φ), without noise
tasks       amplitude A ~ U(0.1, 5), phase φ ~ U(0, π)
loss        mean squared error
oracle      is told A and φ
==========  ==================================================

Held-out tasks are of the same distribution: with real A and φ no two tasks are equal.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metarl.config.fields import require
from metarl.foundation.seeding import Split
from metarl.tasks.problems import Episodes, Loss


@dataclass(frozen=True)
class Sinusoid:
    """Sine waves of unknown amplitude and phase."""

    largest_amplitude: float = 5.0
    """Amplitudes lie between 0.1 and this."""

    input_shape = (1,)
    outputs = 1
    loss: ClassVar[Loss] = "mse"
    numbers_told = 2

    def __post_init__(self) -> None:
        good = 0.1 < self.largest_amplitude < np.inf
        require(self, "largest_amplitude", good, "must be above 0.1 and finite")

    def sample(
        self, generator: np.random.Generator, split: Split, tasks: int, shots: int, queries: int
    ) -> Episodes:
        """Draw waves, and points of each."""
        amplitude = generator.uniform(0.1, self.largest_amplitude, (tasks, 1, 1))
        phase = generator.uniform(0, np.pi, (tasks, 1, 1))
        query = generator.uniform(-5, 5, (tasks, queries, 1))
        support = generator.uniform(-5, 5, (tasks, shots, 1))
        return Episodes(
            support,
            amplitude * np.sin(support - phase),
            query,
            amplitude * np.sin(query - phase),
            np.concatenate([amplitude, phase], 2)[:, 0],
        )
