"""Streams belong to their key, and to nothing else."""

import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

from metarl.foundation.many_streams import integer_seeds, seed_generators, streams
from metarl.foundation.seeding import Purpose, Split, integer_seed, stream


def test_the_same_key_gives_the_same_numbers():
    first = stream(3, Purpose.ACTION, Split.TRAIN, 1, 0, 5, 2).standard_normal(8)
    again = stream(3, Purpose.ACTION, Split.TRAIN, 1, 0, 5, 2).standard_normal(8)
    assert np.array_equal(first, again)


def test_keys_that_differ_in_one_place_give_different_numbers():
    base = (3, Purpose.ACTION, Split.TRAIN, 1, 0, 5, 2)
    keys = {base, (*base, 0), base[:-1]}  # a key is not the same key with a zero behind it
    for place in range(len(base)):
        if place != 1:
            keys.add((*base[:place], base[place] + 1, *base[place + 1 :]))
    keys.add((base[0], Purpose.RESET, *base[2:]))
    draws = {stream(*key).integers(2**62) for key in keys}
    assert len(draws) == len(keys)


def test_integer_seeds_fit_gymnasium_and_differ():
    seeds = {integer_seed(1, Purpose.RESET, 0, 1, 0, 3, episode) for episode in range(500)}
    assert len(seeds) == 500
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**70 + 5, 2**130 + 7])
@pytest.mark.parametrize("length", [0, 1, 3, 4, 6])
def test_streams_side_by_side_are_the_streams_that_numpy_makes_one_by_one(seed, length):
    drawn = np.random.default_rng(length).integers(0, 2**32, (10, length)).tolist()
    keys = [*map(tuple, drawn), (0,) * length, (2**32 - 1,) * length]
    for key, generator in zip(keys, streams(seed, Purpose.ACTION, keys), strict=True):
        alone = stream(seed, Purpose.ACTION, *key)
        assert generator.bit_generator.state == alone.bit_generator.state
        assert np.array_equal(generator.standard_normal(9), alone.standard_normal(9))
        generator.integers(5, dtype=np.uint32)  # which leaves half a draw to the next
    one_by_one = [integer_seed(seed, Purpose.RESET, *key) for key in keys]
    assert integer_seeds(seed, Purpose.RESET, keys) == one_by_one


def test_generators_are_put_where_gymnasium_puts_them():
    seeds = [0, 1, 12345, 7, 2**32 - 1]
    generators = [np_random(5)[0] for _ in seeds]
    for generator in generators:
        generator.integers(5, dtype=np.uint32)
    seed_generators(generators, seeds)
    for generator, seed in zip(generators, seeds, strict=True):
        expected = np_random(seed)[0].bit_generator.state
        assert generator.bit_generator.state == expected


def test_no_streams_are_no_streams():
    assert list(streams(1, Purpose.ACTION, [])) == []
    assert integer_seeds(1, Purpose.RESET, []) == []


@pytest.mark.parametrize("number", [-1, 2**32])
def test_a_key_that_does_not_fit_a_word_is_refused(number):
    with pytest.raises(ValueError, match="0 … 2³² − 1"):
        integer_seeds(1, Purpose.RESET, [(0, number)])
