"""Few-shot classification of drawn characters that need no download.

The letters of many scripts are taken from the fonts that matplotlib ships (DejaVu, STIX), and each
is drawn twenty times: in a face chosen at random, slanted, stretched, turned a little, bent by a
smooth random field and thickened or thinned, as hands differ. They look like handwriting from afar,
and they are **not Omniglot**: accuracies on one say nothing exact of the other.

===========  =======================================================================
input        an image [1, 28, 28], ink 1 on paper 0
target       which of N characters, 0 … N−1
tasks        N characters, labelled at random, and K drawings of each
split        a quarter of the characters is held out, always the same ones
left out     letters with accents, and those that look like another of the set
===========  =======================================================================

The set depends on matplotlib's fonts and on Python's Unicode tables.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from metarl.config.fields import require
from metarl.foundation.seeding import Split
from metarl.tasks.problems import Episodes, Loss
from metarl_envs.image_classes import Drawings, episodes, split_classes

SIZE = 28
"""Pixels of a drawing's side."""
DRAWINGS = 20
"""Of each character, as in Omniglot."""

_FACES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Italic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralItalic.ttf",
)
_CATEGORIES = {"Lu", "Ll", "Lo"}
_LARGE = 96
_MARGIN = 16
_ALIKE = 0.88
"""Correlation of the pictures of two characters from which on they are one."""
_COMPARED = 24
_WIDTHS = (1.2, 1.8, 2.5)
_KNOTS = 4
_PLACES = (np.mgrid[:SIZE, :SIZE].reshape(2, -1) + 0.5) / SIZE - 0.5
# A bend is a coarse grid of shifts between which cubic splines run; they are linear in the shifts.
_SPLINES = np.stack(
    [
        ndimage.zoom(knot.reshape(_KNOTS, _KNOTS), SIZE / _KNOTS, order=3).ravel()
        for knot in np.eye(_KNOTS**2)
    ]
)
_TRAINING_SHARE = 0.75


@dataclass(frozen=True)
class Characters:
    """Drawn characters of fonts, N-way."""

    ways: int = 5
    """Classes in a task."""

    input_shape: ClassVar[tuple[int, ...]] = (1, SIZE, SIZE)
    loss: ClassVar[Loss] = "cross-entropy"
    numbers_told: ClassVar[int] = 0

    def __post_init__(self) -> None:
        require(self, "ways", self.ways >= 2, "must be at least 2")

    @property
    def outputs(self) -> int:
        """Scores of the N classes."""
        return self.ways

    @cached_property
    def _classes(self) -> dict[Split, list[Drawings]]:
        drawn = all_drawings()
        training, held_out = split_classes(len(drawn), round(_TRAINING_SHARE * len(drawn)))
        return {
            Split.TRAIN: [drawn[which] for which in training],
            Split.TEST: [drawn[which] for which in held_out],
        }

    def sample(
        self, generator: np.random.Generator, split: Split, tasks: int, shots: int, queries: int
    ) -> Episodes:
        """Draw tasks, and drawings for each."""
        return episodes(self._classes[split], generator, tasks, self.ways, shots, queries)


@cache
def all_drawings() -> list[Drawings]:
    """Draw every character; the same drawings in every process."""
    return [_drawings(character, key) for key, character in enumerate(characters())]


@cache
def characters() -> list[str]:
    """List the characters: letters without accents, none that looks like one before it."""
    letters = [
        chr(code)
        for code in sorted(_charmap(_FACES[0]))
        if unicodedata.category(chr(code)) in _CATEGORIES
        and not unicodedata.decomposition(chr(code))
    ]
    kept: list[str] = []
    seen = np.zeros((len(letters), _COMPARED**2))
    for letter in letters:
        small = _glyph(letter, _FACES[0]).resize((_COMPARED, _COMPARED), Image.Resampling.BOX)
        shape = ndimage.gaussian_filter(np.asarray(small, dtype=np.float64), 0.7).ravel()
        shape -= shape.mean()
        length = np.linalg.norm(shape)
        if length > 0 and np.max(seen[: len(kept) + 1] @ shape) < _ALIKE * length:
            seen[len(kept)] = shape / length
            kept.append(letter)
    return kept


def _drawings(character: str, key: int) -> Drawings:
    """Draw a character many times; `key` and the drawing's number decide how."""
    faces = [face for face in _FACES if ord(character) in _charmap(face)]
    blurred: dict[tuple[str, float], np.ndarray] = {}
    drawn = np.zeros((DRAWINGS, 1, SIZE, SIZE), np.uint8)
    for number in range(DRAWINGS):
        generator = np.random.default_rng((key, number))
        pen = faces[generator.integers(len(faces))], float(generator.choice(_WIDTHS))
        if pen not in blurred:
            ink = np.asarray(_glyph(character, pen[0]), dtype=np.float32) / 255
            blurred[pen] = ndimage.gaussian_filter(ink, pen[1])
        drawn[number, 0] = _drawn(blurred[pen], generator)
    return drawn


def _drawn(ink: Float[np.ndarray, "y x"], generator: np.random.Generator) -> np.ndarray:
    """Bend a large picture as a hand might, and give it small."""
    angle, slant = generator.normal(0, 0.1), generator.normal(0, 0.15)
    width, height = np.exp(generator.normal(0, 0.12, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = turn @ np.array([[height, 0], [slant, width]]) @ _PLACES
    bend = generator.normal(0, 0.035, (2, _KNOTS**2)) @ _SPLINES
    shift = generator.normal(0, 0.03, (2, 1))
    values = ndimage.map_coordinates(ink, (places + bend + shift + 0.5) * _LARGE, order=1)
    sharp = np.clip((values - generator.uniform(0.25, 0.5)) * 4 + 0.5, 0, 1)
    drawn: np.ndarray = np.round(255 * sharp.reshape(SIZE, SIZE)).astype(np.uint8)
    return drawn


def _glyph(character: str, face: str) -> Image.Image:
    """Draw a character large, its box scaled to a square's inside, its proportions kept."""
    font = _font(face)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(character))
    wide, high = max(1, right - left), max(1, bottom - top)
    image = Image.new("L", (wide, high))
    ImageDraw.Draw(image).text((-left, -top), character, fill=255, font=font)
    inside = _LARGE - 2 * _MARGIN
    scale = inside / max(wide, high)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    canvas = Image.new("L", (_LARGE, _LARGE))
    corner = ((_LARGE - size[0]) // 2, (_LARGE - size[1]) // 2)
    canvas.paste(image.resize(size, Image.Resampling.BILINEAR), corner)
    return canvas


@cache
def _font(face: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_path(face), 64, layout_engine=ImageFont.Layout.BASIC)


@cache
def _charmap(face: str) -> frozenset[int]:
    return frozenset(FT2Font(_path(face)).get_charmap())


def _path(face: str) -> str:
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / face)
