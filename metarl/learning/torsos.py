"""What reads images: convolutions for a policy, and a coarse view for the linear baseline.

Large images go through the convolutions of Mnih et al. 2015 ("Human-level control through deep
reinforcement learning", Methods); small ones, such as a grid world's, through two layers of 3 × 3.
What comes out stands behind the numbers that are no image, which pass as they are.
"""

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from metarl.tasks.observations import Image, Layout

_LARGE = 36
"""The smallest side of which the convolutions of Mnih et al. leave anything."""
_MNIH = ((32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0))
_SMALL = ((16, 3, 1, 1), (32, 3, 2, 1))
"""Layers, each as channels, side of the kernel, stride, padding."""
_COARSE_SIDE = 4


@final
class ImageTorso(nn.Module):
    """Convolutions for each image of an observation.

    Args:
        layout: of the observations.
        activation: stands behind each layer.
        scale: what an image's elements are divided by; 0: their largest value, if the space has
            one.

    """

    def __init__(self, layout: Layout, activation: type[nn.Module], scale: float = 0.0) -> None:
        super().__init__()
        self._layout = layout
        self._scale = scale
        images = [part.image for part in layout.parts if part.image]
        self.convolutions = nn.ModuleList(_convolutions(image, activation) for image in images)
        vectors = sum(part.size for part in layout.parts if not part.image)
        self.output_size = vectors + sum(map(_features, images))

    def forward(self, observations: Float[Tensor, "*batch obs"]) -> Float[Tensor, "*batch feature"]:
        """Give the vectors and behind them each image's features.

        With a stack of parameters it takes (task, row, obs), as policies do.
        """
        vectors, images = split(self._layout, observations, self._scale)
        pairs = zip(self.convolutions, images, strict=True)
        return torch.cat([*vectors, *(network(image).flatten(-3) for network, image in pairs)], -1)


def split(
    layout: Layout, observations: Float[Tensor, "*batch obs"], scale: float = 0.0
) -> tuple[list[Float[Tensor, "*batch element"]], list[Float[Tensor, "*batch channel row column"]]]:
    """Give the vectors of flat observations, and their images, divided by the scale.

    Args:
        layout: of the observations.
        observations: flat.
        scale: what an image's elements are divided by; 0: their largest value, if the space has
            one.

    """
    vectors, images = [], []
    batch = observations.shape[:-1]
    for part, place in layout.slices():
        values = observations[..., place]
        if not (image := part.image):
            vectors.append(values)
            continue
        bound = scale or (image.bound if 0 < image.bound < math.inf else 1.0)
        if image.channels_first:
            shaped = values.reshape(*batch, image.channels, image.height, image.width)
        else:
            shaped = values.reshape(*batch, image.height, image.width, image.channels)
            shaped = shaped.movedim(-1, -3)
        images.append(shaped / bound)
    return vectors, images


def coarse(
    layout: Layout, observations: Float[Tensor, "episode time obs"], scale: float = 0.0
) -> Float[Tensor, "episode time element"]:
    """Give what a linear baseline can take: vectors as they are, images as means over a grid.

    The grid has at most 4 × 4 cells for each channel. Observations without images stay as they are.

    Args:
        layout: of the observations.
        observations: of one task's episodes.
        scale: as for `split`.

    """
    if not layout.has_images:
        return observations
    vectors, images = split(layout, observations.double(), scale)
    pooled = []
    for image in images:
        height, width = (min(side, _COARSE_SIDE) for side in image.shape[-2:])
        means = functional.adaptive_avg_pool2d(image.flatten(0, 1), (height, width))
        pooled.append(means.reshape(*image.shape[:2], -1))
    return torch.cat([*(vector.double() for vector in vectors), *pooled], dim=-1)


class _Convolution(nn.Conv2d):
    """A convolution; with a stack of weights, one for each task.

    Each task's is computed alone: convolutions of several tasks at once (`vmap` makes them groups
    of one) take several times as long, and a task's bits would depend on its company.
    """

    def forward(
        self, images: Float[Tensor, "*batch channel row column"]
    ) -> Float[Tensor, "*batch out_channel out_row out_column"]:
        """Convolve images of any leading axes."""
        assert self.bias is not None
        if self.weight.dim() == 4:
            return self._of_one_task(images, self.weight, self.bias)
        stack = zip(images, self.weight, self.bias, strict=True)
        return torch.stack([self._of_one_task(*of_task) for of_task in stack])

    def _of_one_task(self, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = images.reshape(-1, *images.shape[-3:])
        result = functional.conv2d(rows, weight, bias, self.stride, self.padding)
        return result.reshape(*images.shape[:-3], *result.shape[1:])


def _layers(image: Image) -> tuple[tuple[int, int, int, int], ...]:
    return _MNIH if min(image.height, image.width) >= _LARGE else _SMALL


def _convolutions(image: Image, activation: type[nn.Module]) -> nn.Sequential:
    modules: list[nn.Module] = []
    channels = image.channels
    for following, kernel, stride, padding in _layers(image):
        modules += [_Convolution(channels, following, kernel, stride, padding), activation()]
        channels = following
    return nn.Sequential(*modules)


def _features(image: Image) -> int:
    """Count what comes out of an image's convolutions."""
    height, width = image.height, image.width
    for _, kernel, stride, padding in _layers(image):
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    channels, *_ = _layers(image)[-1]
    return channels * height * width
