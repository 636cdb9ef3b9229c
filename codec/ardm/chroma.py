"""Chroma planes at half the resolution, and how decoders of JPEG files enlarge them.

Most JPEG files hold their chroma so. It is enlarged by a rule in integers, libjpeg's "fancy
upsampling" (jdsample.c): enlarged rows or columns come in pairs, and each is three quarters the
smaller plane's and one quarter the next one's on its side.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...bitstream._chroma import CHANGES, improve
from ..image.raster import Samples
from .conversions import Halving

Number = TypeVar("Number", np.int32, np.float64)
Int32s = NDArray[np.int32]

_STEPS, _STRIDE = 12, 1.5
"""Of the approximation in real numbers."""
_PASSES = 8
"""That correct whole numbers, at most."""


def enlarged(plane: Samples, halving: Halving, height: int, width: int) -> Samples:
    """A smaller plane (h', w') at full size (height, width)."""
    sums = _sums(plane.astype(np.int32), halving, height, width)
    return ((sums + _rounding(halving, height, width)) // _unit(halving)).astype(np.uint8)


def reduced(plane: Samples, halving: Halving, known: NDArray[np.bool_]) -> Samples:
    """The smaller plane that a plane (h, w) was enlarged from, or one that comes close.

    First real numbers are moved to where no pixel is missed, then whole ones are searched nearby.

    Args:
        known: (h, w), where the plane's samples are certain.
    """
    height, width = plane.shape
    unit = _unit(halving)
    lows = unit * plane.astype(np.int32) - _rounding(halving, height, width)
    weights = np.maximum(_gathered(known.astype(np.float64), halving), 1)
    found = _gathered(plane.astype(np.float64), halving)
    found /= _gathered(np.ones(plane.shape), halving)
    for _ in range(_STEPS):
        sums = _sums(found, halving, height, width)
        misses = np.where(known, np.clip(sums, lows, lows + unit - 1) - sums, 0)
        found += _gathered(misses, halving) * (_STRIDE / unit) / weights
    return _corrected(np.rint(found).clip(0, 255).astype(np.int32), halving, lows, known)


def _corrected(plane: Int32s, halving: Halving, lows: Int32s, known: NDArray[np.bool_]) -> Samples:
    """Samples that miss as few pixels as can be found: searched along rows, and along columns."""
    costs = np.zeros((2, CHANGES), np.int32)
    came = np.zeros((max(plane.shape), CHANGES), np.int32)
    ways = [(lows, known)]
    if halving.rows:
        ways.append((np.ascontiguousarray(lows.T), np.ascontiguousarray(known.T)))
    for index in range(_PASSES):
        way = index % len(ways)
        turned = np.ascontiguousarray(plane.T if way else plane)
        start = index // len(ways) % 2
        missed = improve(turned, *ways[way], start, halving.rows, _unit(halving), costs, came)
        plane = turned.T if way else turned
        if not missed:
            break
    return plane.astype(np.uint8)


def _unit(halving: Halving) -> int:
    """The sum of the weights that make a pixel."""
    return 16 if halving.rows else 4


def _rounding(halving: Halving, height: int, width: int) -> Int32s:
    """What is added to the sums (height, width) before they are divided."""
    added = np.array((8, 7) if halving.rows else (1, 2), np.int32)
    return np.broadcast_to(np.resize(added, width), (height, width))


def _sums(plane: NDArray[Number], halving: Halving, height: int, width: int) -> NDArray[Number]:
    """The pixels (height, width) of a plane, not yet divided."""
    if halving.rows:
        plane = _doubled(plane)[:height]
    return _doubled(plane.T).T[:, :width]


def _gathered(pixels: NDArray[np.float64], halving: Halving) -> NDArray[np.float64]:
    """The sums of the pixels (h, w) that belong to each sample."""
    for axis, step in enumerate(halving.step):
        pixels = np.add.reduceat(pixels, np.arange(0, pixels.shape[axis], step), axis)
    return pixels


def _doubled(plane: NDArray[Number]) -> NDArray[Number]:
    """Two rows for each of a plane (n, m), of weights 3 and 1, the edges repeated."""
    edged = np.concatenate([plane[:1], plane, plane[-1:]])
    out = np.repeat(3 * plane, 2, axis=0)
    out[::2] += edged[:-2]
    out[1::2] += edged[2:]
    return out
