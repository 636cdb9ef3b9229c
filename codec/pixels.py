"""Between samples and the images in floating point that lossy networks work on."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..models.diffusion import to_samples, to_unit
from .image.raster import Samples


def psnr(samples: Samples, image: Tensor) -> float:
    """PSNR in dB of the picture that an image (1, 3, h, w) makes, to samples (h, w, 1 or 3)."""
    height, width, channels = samples.shape
    picture = shown(image, height, width, channels)
    error = np.mean((picture.astype(np.float64) - samples) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def shown(image: Tensor, height: int, width: int, channels: int) -> Samples:
    """The picture (height, width, channels) of an image of -SPAN to SPAN.

    Args:
        image: (1, 3, h, w), at least as large as the picture.
        channels: 1 (the mean of the colours) or 3.
    """
    picture: Samples = to_samples(image)[0, :, :height, :width].permute(1, 2, 0).numpy()
    if channels == 1:
        picture = np.rint(picture.mean(2, keepdims=True)).astype(np.uint8)
    return picture


def padded(height: int, width: int, multiple: int) -> tuple[int, int]:
    """The sides of an image rounded up to multiples."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def image_of(samples: Samples, height: int, width: int) -> Tensor:
    """The image (1, 3, height, width) of -SPAN to SPAN of samples (h, w, 1 or 3).

    The last row and column are repeated to fill it.
    """
    colours = np.repeat(samples, 3, 2) if samples.shape[2] == 1 else samples
    return filled(to_unit(torch.tensor(colours).permute(2, 0, 1)[None]), height, width)


def filled(x: Tensor, height: int, width: int) -> Tensor:
    """An image (1, 3, h, w) whose last row and column are repeated to (1, 3, height, width)."""
    below, right = height - x.shape[2], width - x.shape[3]
    return functional.pad(x, (0, right, 0, below), mode="replicate")
