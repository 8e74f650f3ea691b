"""Omniglot (Lake, Salakhutdinov, Tenenbaum 2015), from the archive as its authors publish it.

===========  =======================================================================
layout       PATH/images_background and PATH/images_evaluation, as folders or as the
             authors' .zip files; in each ALPHABET/characterNN/NNNN_NN.png
input        an image [1, 28, 28], ink 1 on paper 0
target       which of N characters, 0 … N−1
tasks        N characters and K drawings of each; a character turned by 90°, 180° or
             270° is another character
split        1,200 characters of training and 423 held out, whatever their alphabet
             (Santoro et al. 2016; Finn et al. 2017); always the same ones
===========  =======================================================================

The archive is not part of metarl: https://github.com/brendenlake/omniglot, folder python.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from metarl.config.fields import require
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl.tasks.problems import Episodes, Loss
from metarl_envs.image_classes import Drawings, episodes, split_classes, with_rotations
from metarl_envs.image_folders import existing_folder, read_image

SIZE = 28
_PARTS = ("images_background", "images_evaluation")
_WHAT = "--path names the folder python of the Omniglot archive, with " + " and ".join(_PARTS)


@dataclass(frozen=True)
class Omniglot:
    """Handwritten characters of 50 alphabets, N-way, from a path the user gives."""

    path: str = ""
    """The folder with images_background and images_evaluation, as folders or .zip files."""
    ways: int = 5
    """Classes in a task."""
    rotations: bool = True
    """Take a character turned by quarters for other characters."""
    training_characters: int = 1200
    """Characters of training; the others are held out."""

    input_shape: ClassVar[tuple[int, ...]] = (1, SIZE, SIZE)
    loss: ClassVar[Loss] = "cross-entropy"
    numbers_told: ClassVar[int] = 0

    def __post_init__(self) -> None:
        require(self, "ways", self.ways >= 2, "must be at least 2")
        require(self, "training_characters", self.training_characters > 0, "must be positive")

    @property
    def outputs(self) -> int:
        """Scores of the N classes."""
        return self.ways

    @cached_property
    def _classes(self) -> dict[Split, list[Drawings]]:
        characters = self._characters()
        if len(characters) <= self.training_characters:
            raise ConfigError(
                f"path = {self.path!r} has {len(characters)} characters, and "
                f"training_characters = {self.training_characters} leaves none to hold out"
            )
        training, held_out = split_classes(len(characters), self.training_characters)
        return {
            split: [
                turned
                for which in chosen
                for turned in (
                    with_rotations(characters[which]) if self.rotations else [characters[which]]
                )
            ]
            for split, chosen in ((Split.TRAIN, training), (Split.TEST, held_out))
        }

    def sample(
        self, generator: np.random.Generator, split: Split, tasks: int, shots: int, queries: int
    ) -> Episodes:
        """Draw tasks, and drawings for each."""
        return episodes(self._classes[split], generator, tasks, self.ways, shots, queries)

    def _characters(self) -> list[Drawings]:
        """Read all characters, in the order of part, alphabet and number."""
        root = existing_folder(self.path, _WHAT)
        by_character: dict[tuple[str, str, str], list[np.ndarray]] = {}
        for part in _PARTS:
            for alphabet, character, image in _drawings(root, part):
                ink = 255 - read_image(image, SIZE, colour=False)
                by_character.setdefault((part, alphabet, character), []).append(ink)
        return [np.stack(by_character[key]) for key in sorted(by_character)]


def _drawings(root: Path, part: str) -> Iterator[tuple[str, str, object]]:
    """Give alphabet, character and image of each drawing, in order."""
    if (root / part).is_dir():
        for file in sorted((root / part).glob("*/character*/*.png")):
            yield file.parent.parent.name, file.parent.name, file
    elif (archive := root / f"{part}.zip").is_file():
        try:
            with zipfile.ZipFile(archive) as opened:
                for name in sorted(opened.namelist()):
                    if name.endswith(".png"):
                        *_, alphabet, character, _ = name.split("/")
                        yield alphabet, character, io.BytesIO(opened.read(name))
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise ConfigError(f"{archive} cannot be read: {error}") from error
    else:
        raise ConfigError(f"there is neither {root / part} nor {archive}; {_WHAT}")
