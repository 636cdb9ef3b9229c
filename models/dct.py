"""Images as coefficients: an orthonormal DCT of 8x8 blocks of three orthonormal colour planes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 8
CLASSES = 3 * BLOCK**2
"""Of coefficients: colour * 64 + u * 8 + v, u and v being the vertical and horizontal frequency."""


def transform(block: int) -> Tensor:
    """The basis functions of blocks of three colours, (3 block^2, 3 block^2) float64, orthonormal.

    A row for each colour plane, vertical and horizontal frequency: the DCT-II (ITU-T T.81, A.3.3)
    of luminance, red against blue, and green against both.
    """
    colours = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    index = torch.arange(block, dtype=torch.float64)
    waves = _unit(torch.cos((2 * index + 1) * index[:, None] * math.pi / (2 * block)))
    return torch.kron(_unit(colours), torch.kron(waves, waves))


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.square().sum(1, keepdim=True).sqrt()


_TRANSFORM = transform(BLOCK)


def to_blocks(x: Tensor) -> Tensor:
    """The coefficients of images.

    Args:
        x: (n, 3, h, w), floating point.

    Returns:
        (n, CLASSES, h / 8 * w / 8), blocks in raster order.

    Raises:
        ValueError: height or width is not a multiple of 8.
    """
    _check(*x.shape[2:])
    return _TRANSFORM.to(x) @ functional.pixel_unshuffle(x, BLOCK).flatten(2)


def from_blocks(coefficients: Tensor, h: int, w: int) -> Tensor:
    """The inverse of `to_blocks`: images (n, 3, h, w) of coefficients (n, CLASSES, h / 8 * w / 8).

    Raises:
        ValueError: height or width is not a multiple of 8.
    """
    _check(h, w)
    samples = _TRANSFORM.to(coefficients).T @ coefficients
    blocks = samples.reshape(len(samples), CLASSES, h // BLOCK, w // BLOCK)
    return functional.pixel_shuffle(blocks, BLOCK)


def _check(h: int, w: int) -> None:
    if h % BLOCK or w % BLOCK:
        raise ValueError(f"height and width must be multiples of {BLOCK}, not {h} and {w}")
