"""Curves as text, in Braille: a character is two dots wide and four high."""

from collections.abc import Sequence

import numpy as np

_BLANK = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""What each dot of a character adds to it: by column, from the top."""


def text_curve(
    values: Sequence[float], low: float, high: float, width: int, height: int
) -> list[str]:
    """Draw a line through values.

    Args:
        values: at least one, finite; where there are more than dots, a dot is the mean of several.
        low: the value at the lower edge.
        high: the value at the upper edge.
        width: in characters.
        height: in characters.

    Returns:
        The lines of text, from the top, each of the width.

    """
    columns, rows = 2 * width, 4 * height
    fractions = (_resampled(values, columns) - low) / ((high - low) or 1.0)
    dots = np.rint((1 - np.clip(fractions, 0, 1)) * (rows - 1)).astype(int)
    cells = np.full((height, width), _BLANK)
    for column, (before, row) in enumerate(zip([dots[0], *dots], dots, strict=False)):
        # Steep parts are filled, so that the line has no gaps.
        first, last = min(before + (row > before), row), max(before - (row < before), row)
        for each in range(first, last + 1):
            cells[each // 4, column // 2] |= _DOTS[column % 2][each % 4]
    return ["".join(map(chr, line)) for line in cells]


def _resampled(
    values: Sequence[float], count: int
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Give so many values along the line: means of several, or points between two."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) > count:
        edges = np.linspace(0, len(found), count + 1).astype(int)
        return np.add.reduceat(found, edges[:-1]) / np.diff(edges)
    return np.interp(np.linspace(0, len(found) - 1, count), np.arange(len(found)), found)
