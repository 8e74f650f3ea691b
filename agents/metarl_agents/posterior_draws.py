"""Random numbers for many rows at once, as many as a row wants, from one number of each row.

A trial is given one uniform number a step, from a stream of its own. Here it becomes the key of a
counter-based generator: number i of a row is SplitMix64 (Steele, Lea, Flood 2014) at key + i.
Everything is elementwise, so a row's draws have the same bits whatever the other rows are.
"""

import numpy as np
from jaxtyping import Float, Shaped

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

Keys = Float[np.ndarray, " row"]
"""Uniform in [0, 1), one for each row."""


def uniforms(keys: Keys, count: int, first: int = 0) -> Float[np.ndarray, "row draw"]:
    """Draw numbers `first` … `first + count − 1` of each row, uniform in (0, 1)."""
    rows = np.repeat(np.arange(len(keys)), count)
    numbers = np.tile(np.arange(first, first + count), len(keys))
    return _uniforms(_states(keys)[rows], numbers).reshape(len(keys), count)


def gammas(
    keys: Keys, shape: Float[np.ndarray, "row *draw"], first: int = 0
) -> Float[np.ndarray, "row *draw"]:
    """Draw from gamma distributions of shape at least 1 and scale 1, by rejection.

    Marsaglia and Tsang 2000: d (1 + c x)³ with d = shape − 1/3, c = 1/√(9 d), x normal, where
    ln u < x²/2 + d − d v + d ln v, v = (1 + c x)³. Each draw has numbers of its own, three for each
    attempt.

    Args:
        keys: of the rows.
        shape: of each draw.
        first: tells apart several calls with the same keys.

    """
    flat = shape.reshape(len(keys), -1)
    draws = flat.shape[1]
    states = np.repeat(_states(keys), draws)
    place = np.tile(np.arange(draws), len(keys)) + (first << 40)
    d = flat.ravel() - 1 / 3
    found = np.zeros(len(d))
    left = np.arange(len(d))
    attempt = 0
    while len(left):
        number = 3 * (place[left] + (attempt << 24))
        state, own = states[left], d[left]
        radius = np.sqrt(-2 * np.log(_uniforms(state, number)))
        x = radius * np.cos(2 * np.pi * _uniforms(state, number + 1))
        root = 1 + x / np.sqrt(9 * own)
        v = root * root * root
        with np.errstate(invalid="ignore", divide="ignore"):
            inside = x * x / 2 + own - own * v + own * np.log(v)
        taken = (v > 0) & (np.log(_uniforms(state, number + 2)) < inside)
        found[left[taken]] = (own * v)[taken]
        left = left[~taken]
        attempt += 1
    return found.reshape(shape.shape)


def normals(keys: Keys, count: int, first: int = 0) -> Float[np.ndarray, "row draw"]:
    """Draw standard normal numbers (Box and Muller 1958)."""
    pairs = uniforms(keys, 2 * count, first << 40).reshape(len(keys), count, 2)
    radius = np.sqrt(-2 * np.log(np.ascontiguousarray(pairs[..., 0])))
    normal: np.ndarray = radius * np.cos(2 * np.pi * np.ascontiguousarray(pairs[..., 1]))
    return normal


def _states(keys: Keys) -> Shaped[np.ndarray, " row"]:
    """Turn keys into states far apart."""
    return _mixed((keys * 2**53).astype(np.uint64))


def _uniforms(
    states: Shaped[np.ndarray, " draw"], numbers: Shaped[np.ndarray, " draw"]
) -> Float[np.ndarray, " draw"]:
    words = _mixed(states + (numbers.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    uniform: np.ndarray = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return uniform


def _mixed(words: Shaped[np.ndarray, " draw"]) -> Shaped[np.ndarray, " draw"]:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed
