"""Pictures of worlds without physics: numpy and Pillow, no graphics library of the system."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

SIZE = 400
_FINER = 2  # drawn this many times finer, then averaged, for smooth edges

Colour = tuple[int, int, int]
BACKGROUND: Colour = (250, 250, 247)
INK: Colour = (60, 64, 72)
FAINT: Colour = (222, 224, 226)
AGENT: Colour = (31, 99, 180)
PATH: Colour = (150, 185, 222)
GOAL: Colour = (214, 120, 40)

Point = Float[np.ndarray, "2"] | tuple[float | int, float | int]


class Canvas:
    """A square picture in the world's coordinates: the origin in the middle, y upward.

    Args:
        half_width: what lies between the middle and an edge, in the world's unit.

    """

    def __init__(self, half_width: float) -> None:
        self._scale = SIZE * _FINER / (2 * half_width)
        self._image = Image.new("RGB", (SIZE * _FINER, SIZE * _FINER), BACKGROUND)
        self._draw = ImageDraw.Draw(self._image)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """Fill a disc."""
        self._draw.ellipse(self._around(centre, radius * self._scale), fill=colour)

    def ring(self, centre: Point, radius: float, colour: Colour) -> None:
        """Draw a circle."""
        box = self._around(centre, radius * self._scale)
        self._draw.ellipse(box, outline=colour, width=2 * _FINER)

    def dot(self, centre: Point, pixels: int, colour: Colour) -> None:
        """Fill a disc whose radius is in pixels of the finished picture."""
        self._draw.ellipse(self._around(centre, pixels * _FINER), fill=colour)

    def line(self, points: Sequence[Any] | Any, colour: Colour, pixels: int = 2) -> None:
        """Join points by straight lines."""
        corners = [self._pixel(point) for point in points]
        self._draw.line(corners, fill=colour, width=pixels * _FINER, joint="curve")

    def rectangle(
        self, low: Point, high: Point, fill: Colour | None, outline: Colour | None = None
    ) -> None:
        """Draw a rectangle from its lower left to its upper right corner."""
        (left, bottom), (right, top) = self._pixel(low), self._pixel(high)
        self._draw.rectangle(
            (left, min(top, bottom), right, bottom), fill=fill, outline=outline, width=3 * _FINER
        )

    def text(self, centre: Point, text: str, colour: Colour = INK, pixels: int = 15) -> None:
        """Write, centred."""
        font = ImageFont.load_default(pixels * _FINER)
        self._draw.text(self._pixel(centre), text, fill=colour, font=font, anchor="mm")

    def frame(self) -> UInt8[np.ndarray, "height width 3"]:
        """Give the finished picture."""
        return np.array(self._image.reduce(_FINER))

    def _pixel(self, point: Point) -> tuple[float, float]:
        middle = SIZE * _FINER / 2
        x, y = float(point[0]), float(point[1])
        return middle + x * self._scale, middle - y * self._scale

    def _around(self, centre: Point, radius: float | int) -> tuple[float, float, float, float]:
        x, y = self._pixel(centre)
        return x - radius, y - radius, x + radius, y + radius
