"""Streams belong to their key, and to nothing else."""

import numpy as np

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
