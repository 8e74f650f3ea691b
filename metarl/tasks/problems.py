"""What a supervised problem is: a distribution over small data sets, each of them a task.

Regression and classification meet the same inner loop as reinforcement learning does. A task is a
function to fit: its support set is what adaptation sees, its query set what the adapted model is
judged by. A problem is a frozen dataclass, whose fields are its settings, with the members of
`Problem`; it is registered under the entry-point group ``metarl.problems``.

Axes, in this order: task, example, then those of one input or one target.
"""

from dataclasses import dataclass, fields
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Num

from metarl.foundation.seeding import Purpose, Split, stream

Loss = Literal["mse", "cross-entropy"]
"""Mean squared error of numbers, or cross-entropy of classes 0 … N−1."""


@dataclass(frozen=True)
class Episodes:
    """The support and query sets of several tasks."""

    support_inputs: Float[np.ndarray, "task support *input"]
    support_targets: Num[np.ndarray, "task support *target"]
    """Numbers [output] for a regression; the class, an integer, for a classification."""
    query_inputs: Float[np.ndarray, "task query *input"]
    query_targets: Num[np.ndarray, "task query *target"]
    told: Float[np.ndarray, "task number"] | None = None
    """What an oracle is told of each task; None: there is nothing of the kind."""


@runtime_checkable
class Problem(Protocol):
    """A distribution over data sets."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: (numbers,), or (channels, height, width) of an image."""

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for an input: targets, or scores of N classes."""

    @property
    def loss(self) -> Loss:
        """What a model is trained by."""

    @property
    def numbers_told(self) -> int:
        """How many numbers the oracle is told of a task; 0: there is no oracle."""

    def sample(
        self, generator: np.random.Generator, split: Split, tasks: int, shots: int, queries: int
    ) -> Episodes:
        """Draw tasks and their data from `generator` alone.

        The task is drawn first, then its query set, then its support set, so that the same
        generator gives the same task and query set for any number of shots.

        Args:
            generator: the source of all randomness.
            split: training tasks or held-out ones.
            tasks: how many.
            shots: examples of a support set; of each class, for a classification.
            queries: examples of a query set; likewise.

        Raises:
            ConfigError: there is not the data for it.

        """


def training_episodes(
    problem: Problem, seed: int, iteration: int, tasks: int, shots: int, queries: int
) -> Episodes:
    """Draw the meta-batch of an iteration, from a stream of its own."""
    generator = stream(seed, Purpose.TASK, Split.TRAIN, iteration)
    return problem.sample(generator, Split.TRAIN, tasks, shots, queries)


def held_out_episodes(
    problem: Problem,
    seed: int,
    tasks: int,
    shots: int,
    queries: int,
    *,
    split: Split = Split.TEST,
) -> Episodes:
    """Draw tasks for a test, each from a stream of its own: more tasks do not change the first."""
    drawn = [
        problem.sample(
            stream(seed, Purpose.TASK, Split.TEST, 0, split, task), split, 1, shots, queries
        )
        for task in range(tasks)
    ]
    names = [item.name for item in fields(Episodes) if getattr(drawn[0], item.name) is not None]
    return Episodes(
        **{name: np.concatenate([getattr(each, name) for each in drawn]) for name in names}
    )
