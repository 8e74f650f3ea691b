"""Few-shot classification of images from a folder, one sub-folder a class.

===========  =======================================================================
layout       PATH/CLASS/image.png, or PATH/train/CLASS/… and PATH/test/CLASS/…
input        an image [1 or 3, side, side], scaled to [0, 1]
target       which of N classes, 0 … N−1
split        the folders train and test; without them a quarter of the classes is
             held out, always the same ones
===========  =======================================================================
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from metarl.config.fields import require
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.tasks.problems import Episodes, Loss
from metarl_envs.image_classes import Drawings, episodes, split_classes

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}

_TRAINING_SHARE = 0.75


@dataclass(frozen=True)
class ImageFolders:
    """Images by class from a folder of the user's, N-way."""

    path: str = ""
    """The folder that holds a folder of images for each class."""
    ways: int = 5
    """Classes in a task."""
    side: int = 28
    """Images are scaled to squares of this many pixels."""
    colour: bool = False
    """Keep red, green and blue; otherwise images are made grey."""
    invert: bool = False
    """Turn dark into light, for ink on white paper."""

    loss: ClassVar[Loss] = "cross-entropy"
    numbers_told: ClassVar[int] = 0

    def __post_init__(self) -> None:
        require(self, "ways", self.ways >= 2, "must be at least 2")
        require(self, "side", self.side >= 1, "must be at least 1")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, height, width."""
        return 3 if self.colour else 1, self.side, self.side

    @property
    def outputs(self) -> int:
        """Scores of the N classes."""
        return self.ways

    @cached_property
    def _classes(self) -> dict[Split, list[Drawings]]:
        root = existing_folder(self.path, "--path names the folder of the images")
        if (root / "train").is_dir() and (root / "test").is_dir():
            folders = {
                Split.TRAIN: _folders(root / "train"),
                Split.TEST: _folders(root / "test"),
            }
        else:
            every = _folders(root)
            training, held_out = split_classes(len(every), round(_TRAINING_SHARE * len(every)))
            folders = {
                Split.TRAIN: [every[which] for which in training],
                Split.TEST: [every[which] for which in held_out],
            }
        for split, found in folders.items():
            if len(found) < self.ways:
                kind = "training" if split == Split.TRAIN else "held-out"
                raise ConfigError(
                    f"path = {self.path!r} has {len(found)} {kind} classes of images, and "
                    f"{self.ways}-way tasks need {self.ways}"
                )
        return {split: [self._read(folder) for folder in each] for split, each in folders.items()}

    def sample(
        self, generator: np.random.Generator, split: Split, tasks: int, shots: int, queries: int
    ) -> Episodes:
        """Draw tasks, and images for each."""
        return episodes(self._classes[split], generator, tasks, self.ways, shots, queries)

    def _read(self, folder: Path) -> Drawings:
        images = [read_image(file, self.side, self.colour) for file in _images(folder)]
        drawings = np.stack(images)
        return 255 - drawings if self.invert else drawings


def existing_folder(path: str, what: str) -> Path:
    """Give a folder that the user named.

    Raises:
        ConfigError: none is named, or it is not there.

    """
    if not path:
        raise ConfigError(f"path = '' names no folder; {what}")
    if not Path(path).is_dir():
        raise ConfigError(f"path = {path!r} is no folder; {what}")
    return Path(path)


def read_image(file: object, side: int, colour: bool) -> np.ndarray:
    """Read an image file and scale it, as [channel, side, side] of 0 … 255.

    Raises:
        ConfigError: it cannot be read.

    """
    try:
        with Image.open(file) as image:  # type: ignore[arg-type]
            kind = "RGB" if colour else "L"
            small = image.convert(kind).resize((side, side), Image.Resampling.BILINEAR)
    except (OSError, UnidentifiedImageError) as error:
        raise ConfigError(f"image {file} cannot be read: {error}") from error
    pixels = np.asarray(small, dtype=np.uint8)
    return np.moveaxis(pixels, -1, 0) if colour else pixels[None]


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.iterdir() if folder.is_dir() and _images(folder))
