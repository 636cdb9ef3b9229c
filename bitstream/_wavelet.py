"""Kernels of the integer 9/7 wavelet transform, in place, and of rotations of the colours.

A plane keeps its layout: after level l its smooth band is every 2^l-th sample of every 2^l-th row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._binary import Int32s
from ._mixing import Int64s, UInt8s, as_int
from .compiled import kernel

SHIFT = 20
"""Factors are in 2^-SHIFT."""
_HALF = 1 << (SHIFT - 1)
LIFTING = (-1663182, -55554, 925799, 465051)
"""Of the steps that turn rows or columns into smooth and detail ones, in this order."""
GROWTH, SHRINKAGE = 1205448, 912119
"""Of the smooth and of the detail ones, after these steps: sqrt(2) / 1.2301741 and its inverse."""
FRACTION = 6
"""Samples of planes are in 2^-FRACTION."""
MIDDLE = 128
LARGEST = 1 << 26
"""Of the magnitudes of coefficients in 2^-FRACTION."""


@kernel
def _scaled(factor: int, value: int) -> int:
    return (factor * value + _HALF) >> SHIFT


@kernel
def _lift_rows(plane: Int32s, unit: int, first: int, factor: int) -> None:
    """Add to every second row, from the one of an index, a multiple of its two neighbours."""
    height, width = plane.shape
    for y in range(first * unit, height, 2 * unit):
        above = y - unit if y > 0 else unit
        below = y + unit if y + unit < height else y - unit
        for x in range(0, width, unit):
            both = as_int(plane[above, x]) + as_int(plane[below, x])
            plane[y, x] += np.int32(_scaled(factor, both))


@kernel
def _lift_columns(plane: Int32s, unit: int, first: int, factor: int) -> None:
    """The same with columns."""
    height, width = plane.shape
    for y in range(0, height, unit):
        for x in range(first * unit, width, 2 * unit):
            before = x - unit if x > 0 else unit
            after = x + unit if x + unit < width else x - unit
            both = as_int(plane[y, before]) + as_int(plane[y, after])
            plane[y, x] += np.int32(_scaled(factor, both))


@kernel
def _scale_rows(plane: Int32s, unit: int, even: int, odd: int) -> None:
    height, width = plane.shape
    factor = even
    for y in range(0, height, unit):
        for x in range(0, width, unit):
            plane[y, x] = np.int32(_scaled(factor, as_int(plane[y, x])))
        factor = even + odd - factor


@kernel
def _scale_columns(plane: Int32s, unit: int, even: int, odd: int) -> None:
    height, width = plane.shape
    for y in range(0, height, unit):
        factor = even
        for x in range(0, width, unit):
            plane[y, x] = np.int32(_scaled(factor, as_int(plane[y, x])))
            factor = even + odd - factor


@kernel
def analyse(plane: Int32s, levels: int) -> None:
    """Transform a plane (h, w) in 2^-FRACTION to coefficients."""
    for level in range(levels):
        unit = 1 << level
        if plane.shape[1] > unit:
            for place in range(4):
                _lift_columns(plane, unit, 1 - (place & 1), LIFTING[place])
            _scale_columns(plane, unit, GROWTH, SHRINKAGE)
        if plane.shape[0] > unit:
            for place in range(4):
                _lift_rows(plane, unit, 1 - (place & 1), LIFTING[place])
            _scale_rows(plane, unit, GROWTH, SHRINKAGE)


@kernel
def synthesise(plane: Int32s, levels: int) -> None:
    """Transform coefficients back to a plane (h, w)."""
    for level in range(levels - 1, -1, -1):
        unit = 1 << level
        if plane.shape[0] > unit:
            _scale_rows(plane, unit, SHRINKAGE, GROWTH)
            for place in range(3, -1, -1):
                _lift_rows(plane, unit, 1 - (place & 1), -LIFTING[place])
        if plane.shape[1] > unit:
            _scale_columns(plane, unit, SHRINKAGE, GROWTH)
            for place in range(3, -1, -1):
                _lift_columns(plane, unit, 1 - (place & 1), -LIFTING[place])


@kernel
def to_planes(samples: UInt8s, rotation: Int64s, planes: Int32s) -> None:
    """Samples (h, w, c) less MIDDLE to planes (c, h, w) in 2^-FRACTION; rotation (c, c)."""
    height, width, colours = samples.shape
    for y in range(height):
        for x in range(width):
            for c in range(colours):
                total = 0
                for k in range(colours):
                    total += as_int(rotation[c, k]) * (as_int(samples[y, x, k]) - MIDDLE)
                planes[c, y, x] = np.int32((total + (_HALF >> FRACTION)) >> (SHIFT - FRACTION))


@kernel
def from_planes(planes: Int32s, rotation: Int64s, samples: NDArray[np.float32]) -> None:
    """The inverse: samples (c, h, w) from 0 to 255, multiples of 2^-FRACTION."""
    colours, height, width = planes.shape
    for y in range(height):
        for x in range(width):
            for c in range(colours):
                total = 0
                for k in range(colours):
                    total += as_int(rotation[c, k]) * as_int(planes[k, y, x])
                value = ((total + _HALF) >> SHIFT) + (MIDDLE << FRACTION)
                value = min(max(value, 0), 255 << FRACTION)
                samples[c, y, x] = np.float32(value) * np.float32(2.0**-FRACTION)


@kernel
def dequantise(band: Int32s, step: int, unit: int, row: int, column: int, plane: Int32s) -> None:
    """Write a band's coefficients, in steps, to their places in a plane.

    Args:
        band: (h, w).
        step: in 2^-8.
        unit, row, column: distance of the places, and the first one.
    """
    height, width = band.shape
    for i in range(height):
        for j in range(width):
            value = (as_int(band[i, j]) * step + 2) >> 2
            value = min(max(value, -LARGEST), LARGEST)
            plane[row + i * unit, column + j * unit] = np.int32(value)
