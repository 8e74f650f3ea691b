"""Random streams, each keyed by what it is for and never by the worker that draws from it.

One integer seeds a run. Every draw comes from a child stream whose key says what is drawn and where
it belongs, so that the numbers do not depend on the number of workers, and a resumed run needs no
stored generator state.
"""

from enum import IntEnum

import numpy as np


class Split(IntEnum):
    """The first element of a phase key: training and held-out tasks never share a stream."""

    TRAIN = 0
    TEST = 1


class Purpose(IntEnum):
    """What a stream is for."""

    INITIALISATION = 0
    TASK = 1
    RESET = 2
    ACTION = 3
    BOOTSTRAP = 4
    CURVATURE = 5
    MINIBATCH = 6
    BELIEF = 7
    TRAINING_ORDER = 8
    REPLAY = 9
    TUNING = 10


def seed_sequence(seed: int, purpose: Purpose, *key: int) -> np.random.SeedSequence:
    """Give the seed sequence of one stream.

    The key goes into the spawn key, which, unlike entropy, tells (1,) from (1, 0).
    """
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), *(int(k) for k in key)))


def stream(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Give the generator of one stream."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, purpose, *key)))


def integer_seed(seed: int, purpose: Purpose, *key: int) -> int:
    """Give one 32-bit seed for a library that wants an integer (Gymnasium's reset, a space)."""
    return int(seed_sequence(seed, purpose, *key).generate_state(1)[0])
