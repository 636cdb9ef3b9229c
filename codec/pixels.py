"""Between samples and the images that float networks work on."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..models.diffusion import to_samples, to_unit

Samples = NDArray[np.uint8]


def psnr(samples: Samples, estimate: Tensor) -> float:
    """Of the picture that an estimate makes, in dB."""
    picture = shown(estimate, *samples.shape)
    error = np.mean((picture.astype(np.float64) - samples) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def shown(estimate: Tensor, height: int, width: int, channels: int) -> Samples:
    """The picture (height, width, channels) of 1 or 3 channels that an estimate makes."""
    picture: Samples = to_samples(estimate)[0, :, :height, :width].permute(1, 2, 0).numpy()
    if channels == 1:
        picture = np.rint(picture.mean(2, keepdims=True)).astype(np.uint8)
    return picture


def padded(height: int, width: int, multiple: int) -> tuple[int, int]:
    """The sides of an image rounded up to multiples."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def image_of(samples: Samples, height: int, width: int) -> Tensor:
    """(1, 3, height, width) of -SPAN to SPAN, the last row and column repeated."""
    colours = np.repeat(samples, 3, 2) if samples.shape[2] == 1 else samples
    x = to_unit(torch.tensor(colours).permute(2, 0, 1)[None])
    below, right = height - x.shape[2], width - x.shape[3]
    return functional.pad(x, (0, right, 0, below), mode="replicate")
