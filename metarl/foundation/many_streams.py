"""The random streams of many episodes in a few calls.

numpy makes a generator from a seed in some 25 µs, which for an episode of a hundred steps is four
times what drawing its numbers takes. Here the seeds of all episodes are hashed side by side, and
one generator takes their states in turn. The numbers are those of
`metarl.foundation.seeding.stream`: numpy promises that they stay (its NEP 19), and
`tests/test_seeding.py` compares them.

Source: O'Neill 2015, "Developing a seed_seq alternative" (the hash), and O'Neill 2014, "PCG"
(the generator), in the form that `numpy.random.SeedSequence` and `numpy.random.PCG64` have.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt32

from metarl.foundation.seeding import Purpose

_POOL = 4
"""32-bit words that a seed is hashed to."""
_WORD = 2**32
_ENTROPY_START, _ENTROPY_FACTOR = 0x43B0D7E5, 0x931E8875
_OUTPUT_START, _OUTPUT_FACTOR = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_SHIFT = np.uint32(16)
_PCG_FACTOR = 0x2360ED051FC65DA44385DF649FCCF645
_STATE = 2**128

Words = UInt32[np.ndarray, "stream _"]
Column = UInt32[np.ndarray, " stream"]


def streams(
    seed: int, purpose: Purpose, keys: Sequence[tuple[int, ...]]
) -> Iterator[np.random.Generator]:
    """Give the generator of each key's stream, as `metarl.foundation.seeding.stream` does.

    It is one generator, which begins each stream in turn: draw from it before you ask for the next.

    Args:
        seed: the run's seed.
        purpose: what the streams are for.
        keys: of equal length, of numbers below 2³².

    """
    bits = np.random.PCG64(0)
    generator = np.random.Generator(bits)
    for state in _pcg_states(_pools(_entropy(seed, purpose, keys))):
        bits.state = state
        yield generator


def integer_seeds(seed: int, purpose: Purpose, keys: Sequence[tuple[int, ...]]) -> list[int]:
    """Give the seed of each key, as `metarl.foundation.seeding.integer_seed` does."""
    seeds: list[int] = _output(_pools(_entropy(seed, purpose, keys)), 1)[:, 0].tolist()
    return seeds


def seed_generators(generators: Sequence[np.random.Generator], seeds: Sequence[int]) -> None:
    """Put generators by PCG64 into the state of `gymnasium.utils.seeding.np_random(seed)`.

    Args:
        generators: each is changed.
        seeds: one for each, from 0 to 2³² − 1.

    """
    words = np.array(seeds, dtype=np.uint32)[:, None]
    for generator, state in zip(generators, _pcg_states(_pools(words)), strict=True):
        generator.bit_generator.state = state


def _entropy(seed: int, purpose: Purpose, keys: Sequence[tuple[int, ...]]) -> Words:
    """Give the words that each stream's seed sequence hashes: the seed, purpose and key."""
    own = _words_of(seed)
    start = [*own, *[0] * (_POOL - len(own)), int(purpose)]
    rows = np.array(keys, dtype=np.int64).reshape(len(keys), len(keys[0]) if keys else 0)
    if rows.size and not (rows.min() >= 0 and rows.max() < _WORD):
        raise ValueError("a key of a random stream has a number outside 0 … 2³² − 1")
    shared = np.broadcast_to(np.array(start, dtype=np.uint32), (len(keys), len(start)))
    return np.hstack([shared, rows.astype(np.uint32)])


def _words_of(number: int) -> list[int]:
    """Cut a number that is not negative into words, the lowest first."""
    words = [number % _WORD]
    while number := number // _WORD:
        words.append(number % _WORD)
    return words


def _hashes(start: int, factor: int) -> Iterator[tuple[np.uint32, np.uint32]]:
    """Give the constants of one hash after the other: what is added, what is multiplied by."""
    while True:
        following = start * factor % _WORD
        yield np.uint32(start), np.uint32(following)
        start = following


def _hashed(words: Column, constants: tuple[np.uint32, np.uint32]) -> Column:
    return _scattered((words ^ constants[0]) * constants[1])


def _mixed(left: Column, right: Column) -> Column:
    return _scattered(_MIX_LEFT * left - _MIX_RIGHT * right)


def _scattered(words: Column) -> Column:
    scattered: Column = words ^ np.right_shift(words, _SHIFT)
    return scattered


def _pools(entropy: Words) -> Words:
    """Hash each row of entropy to a pool of four words."""
    constants = _hashes(_ENTROPY_START, _ENTROPY_FACTOR)
    columns = list(entropy.T)
    columns += [np.zeros(len(entropy), dtype=np.uint32)] * (_POOL - len(columns))
    pool = [_hashed(column, next(constants)) for column in columns[:_POOL]]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mixed(pool[target], _hashed(pool[source], next(constants)))
    for column in columns[_POOL:]:
        for target in range(_POOL):
            pool[target] = _mixed(pool[target], _hashed(column, next(constants)))
    return np.stack(pool, axis=1)


def _output(pools: Words, words: int) -> Words:
    """Give so many words of each pool's output."""
    constants = _hashes(_OUTPUT_START, _OUTPUT_FACTOR)
    given = [_hashed(pools[:, word % _POOL], next(constants)) for word in range(words)]
    return np.stack(given, axis=1)


def _pcg_states(pools: Words) -> Iterator[Any]:
    """Give the state in which a `PCG64` begins that is seeded by each pool."""
    halves = _output(pools, 2 * _POOL).astype("<u4").view("<u8").tolist()
    for start_high, start_low, stream_high, stream_low in halves:
        increment = (stream_high << 65 | stream_low << 1 | 1) % _STATE
        start = start_high << 64 | start_low
        state = ((increment + start) * _PCG_FACTOR + increment) % _STATE
        yield {
            "bit_generator": "PCG64",
            "state": {"state": state, "inc": increment},
            "has_uint32": 0,
            "uinteger": 0,
        }
