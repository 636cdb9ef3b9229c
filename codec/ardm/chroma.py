"""Chroma planes at half the resolution, and how decoders of JPEG files enlarge them.

Most JPEG files hold their chroma so. It is enlarged by a rule in integers, libjpeg's "fancy
upsampling" (jdsample.c): enlarged rows or columns come in pairs, and each is three quarters the
smaller plane's and one quarter the next one's on its side. An image that was cut may begin with the
second of a pair.
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


def enlarged(plane: Samples | Int32s, halving: Halving, height: int, width: int) -> Samples:
    """A smaller plane (h', w') at full size (height, width)."""
    sums = _sums(plane.astype(np.int32), halving, height, width)
    return ((sums + _rounding(halving, height, width)) // _unit(halving)).astype(np.uint8)


def reduced(plane: Samples, halving: Halving, known: NDArray[np.bool_]) -> Samples:
    """The smaller plane that a plane (h, w) was enlarged from, or one that comes close.

    First real numbers are moved to where no pixel is missed, then whole ones are searched nearby.

    Args:
        known: (h, w), where the plane's samples are certain.
    """
    known = _with_samples(known, halving)
    approached = _approached(plane, halving, known)
    return _corrected(approached, halving, _lows(plane, halving), known)


def misfit(plane: Samples, halving: Halving, known: NDArray[np.bool_]) -> float:
    """The share of the certain samples of a plane (h, w) that the approximation misses."""
    known = _with_samples(known, halving)
    missed = enlarged(_approached(plane, halving, known), halving, *plane.shape) != plane
    return float(missed[known].mean()) if known.any() else 1.0


def _with_samples(known: NDArray[np.bool_], halving: Halving) -> NDArray[np.bool_]:
    """Without what depends on half a pair at the end, for which there is no sample."""
    known = known.copy()
    for side, odd, rows in zip(known.shape, halving.odd, (known, known.T), strict=True):
        if odd and side % 2 == 0:
            rows[-2:] = False
    return known


def _approached(plane: Samples, halving: Halving, known: NDArray[np.bool_]) -> Int32s:
    """Samples by which few pixels are missed, and those by little: found in real numbers."""
    height, width = plane.shape
    unit, lows = _unit(halving), _lows(plane, halving)
    weights = np.maximum(_gathered(known.astype(np.float64), halving), 1)
    found = _gathered(plane.astype(np.float64), halving)
    found /= _gathered(np.ones(plane.shape), halving)
    for _ in range(_STEPS):
        sums = _sums(found, halving, height, width)
        misses = np.where(known, np.clip(sums, lows, lows + unit - 1) - sums, 0)
        found += _gathered(misses, halving) * (_STRIDE / unit) / weights
    return np.rint(found).clip(0, 255).astype(np.int32)


def _corrected(plane: Int32s, halving: Halving, lows: Int32s, known: NDArray[np.bool_]) -> Samples:
    """Samples that miss as few pixels as can be found: searched along rows, and along columns."""
    before = [(odd, 0) for odd in halving.odd]
    lows, known = np.pad(lows, before), np.pad(known, before)
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


def _lows(plane: Samples, halving: Halving) -> Int32s:
    """The least sums (h, w) that give the pixels of a plane (h, w)."""
    return _unit(halving) * plane.astype(np.int32) - _rounding(halving, *plane.shape)


def _rounding(halving: Halving, height: int, width: int) -> Int32s:
    """What is added to the sums (height, width) before they are divided."""
    added = np.array((8, 7) if halving.rows else (1, 2), np.int32)
    pairs = np.resize(np.roll(added, halving.odd[1]), width)
    return np.broadcast_to(pairs, (height, width))


def _sums(plane: NDArray[Number], halving: Halving, height: int, width: int) -> NDArray[Number]:
    """The pixels (height, width) of a plane, not yet divided."""
    row, column = halving.odd
    # An image that begins with the second of a pair may end with the first of another.
    plane = np.pad(plane, ((0, row), (0, column)), mode="edge")
    if halving.rows:
        plane = _doubled(plane)[row : row + height]
    return _doubled(plane.T).T[:, column : column + width]


def _gathered(pixels: NDArray[np.float64], halving: Halving) -> NDArray[np.float64]:
    """The sums of the pixels (h, w) that belong to each sample; the last one has what is left."""
    for axis, (step, odd) in enumerate(zip(halving.step, halving.odd, strict=True)):
        starts = np.arange(0, pixels.shape[axis], step)
        pixels = np.add.reduceat(pixels, np.maximum(starts - odd, 0), axis)
    return pixels


def _doubled(plane: NDArray[Number]) -> NDArray[Number]:
    """Two rows for each of a plane (n, m), of weights 3 and 1, the edges repeated."""
    edged = np.concatenate([plane[:1], plane, plane[-1:]])
    out = np.repeat(3 * plane, 2, axis=0)
    out[::2] += edged[:-2]
    out[1::2] += edged[2:]
    return out
