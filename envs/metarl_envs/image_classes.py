"""N-way K-shot episodes from images by class, wherever the images come from."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from metarl.foundation.errors import ConfigError
from metarl.tasks.problems import Episodes

Drawings = UInt8[np.ndarray, "drawing channel height width"]
"""The images of one class, 0 … 255."""


def episodes(
    classes: Sequence[Drawings],
    generator: np.random.Generator,
    tasks: int,
    ways: int,
    shots: int,
    queries: int,
) -> Episodes:
    """Draw tasks: `ways` different classes, labelled 0 … N−1 at random, and images of each.

    Support and query sets share no image. Pixels are scaled to [0, 1].

    Args:
        classes: to draw from, their images by class.
        generator: the source of all randomness.
        tasks: how many.
        ways: N, classes in a task.
        shots: K, images of each class in a support set.
        queries: images of each class in a query set.

    Raises:
        ConfigError: there are too few classes, or images of one.

    """
    if len(classes) < ways:
        raise ConfigError(f"{ways}-way tasks need {ways} classes, and there are {len(classes)}")
    support, query = [], []
    for _ in range(tasks):
        for which in generator.choice(len(classes), ways, replace=False):
            images = classes[which]
            if len(images) < shots + queries:
                raise ConfigError(
                    f"{shots} shots and {queries} queries need {shots + queries} images of each "
                    f"class, and one has {len(images)}"
                )
            order = generator.permutation(len(images))
            query.append(images[order[:queries]])
            support.append(images[order[queries : queries + shots]])
    return Episodes(
        _pixels(support, tasks),
        _labels(tasks, ways, shots),
        _pixels(query, tasks),
        _labels(tasks, ways, queries),
    )


def split_classes(count: int, training: int) -> tuple[list[int], list[int]]:
    """Split classes 0 … count − 1 into those of training and held-out ones, always alike."""
    order = np.random.default_rng(0).permutation(count)
    return sorted(order[:training].tolist()), sorted(order[training:].tolist())


def with_rotations(drawings: Drawings) -> list[Drawings]:
    """Give the class and those that its drawings are when turned by 90°, 180° and 270°."""
    turned = (np.rot90(drawings, quarter, axes=(2, 3)) for quarter in range(4))
    return [np.ascontiguousarray(each) for each in turned]


def _pixels(
    by_class: Sequence[Drawings], tasks: int
) -> Float[np.ndarray, "task example channel height width"]:
    images = np.stack(by_class)
    return images.reshape(tasks, -1, *images.shape[2:]).astype(np.float32) / 255


def _labels(tasks: int, ways: int, each: int) -> np.ndarray:
    return np.tile(np.arange(ways).repeat(each), (tasks, 1))
