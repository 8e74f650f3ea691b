"""Means and variances of what comes in parts, part by part.

Moments are one array of three rows: how many there were, their mean, and the sum of the squared
distances from it; a column for each number. They travel, are saved and merged as such.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

Moments = Float[np.ndarray, "3 _"]

_SMALLEST_VARIANCE = 1e-8


def no_moments(size: int) -> Moments:
    """Give the moments of nothing."""
    return np.zeros((3, size))


def moments_of(rows: Float[np.ndarray, "row number"]) -> Moments:
    """Give the moments of some rows, in float64."""
    if not len(rows):
        return no_moments(rows.shape[1])
    rows = rows.astype(np.float64)
    mean = rows.mean(0)
    return np.stack([np.full(len(mean), float(len(rows))), mean, ((rows - mean) ** 2).sum(0)])


def merged(parts: Iterable[Moments], start: Moments) -> Moments:
    """Merge moments, in their order (Chan, Golub, LeVeque 1979)."""
    count, mean, squares = start
    for their_count, their_mean, their_squares in parts:
        total = count + their_count
        share = np.divide(their_count, total, out=np.zeros_like(total), where=total > 0)
        distance = their_mean - mean
        mean = mean + distance * share
        squares = squares + their_squares + distance**2 * count * share
        count = total
    return np.stack([count, mean, squares])


def standard_deviation(moments: Moments) -> Float[np.ndarray, " number"]:
    """Give the standard deviation of each number; 1 where there were none."""
    count, _, squares = moments
    variance = np.divide(squares, count, out=np.ones_like(count), where=count > 0)
    deviation: np.ndarray = np.sqrt(np.maximum(variance, _SMALLEST_VARIANCE))
    return deviation
