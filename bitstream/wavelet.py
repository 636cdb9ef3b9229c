"""The 9/7 wavelet transform of images in integers, and orthonormal colours chosen for an image.

The transform is that of JPEG 2000 (ITU-T T.800, annex F), scaled so that its basis functions have
about unit norm, by lifting steps with factors in fixed point: all machines make the same picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from . import _wavelet
from ._bands import ORIENTATIONS, SMOOTH
from ._binary import Int32s
from ._mixing import Float32s, Int64s, UInt8s
from .tables import check_tables

DEPTH = 6
"""Levels of the transform."""
ONE_LEVEL = 1 << _wavelet.FRACTION
"""A level of 8-bit samples in the unit of coefficients."""
STEP_UNITS = 256
"""Steps of quantisation are in 1/STEP_UNITS of a level of 8-bit samples."""
TURN_BITS = 10
"""Angles are in 2^-TURN_BITS of a turn."""
_TURN, _ONE = 1 << TURN_BITS, 1 << _wavelet.SHIFT
_TURNS = (0, 1), (0, 2), (1, 2)
"""The planes that each angle turns."""
_CRC = 0x61632693
_ENOUGH = 1 << 20
"""Pixels that the colours of an image are chosen by, about."""


@dataclass(frozen=True)
class Place:
    """Where a band lies.

    Attributes:
        level: 0 for the finest details.
        orientation: SMOOTH, or 0 to 2.
        colour: index of the plane.
    """

    level: int
    orientation: int
    colour: int

    @property
    def kind(self) -> int:
        """A number for its colour and orientation, see `_bands.KINDS`."""
        return self.colour * ORIENTATIONS + self.orientation

    @property
    def first(self) -> tuple[int, int]:
        """Row and column of its first coefficient."""
        unit = 1 << self.level
        return unit * (self.orientation in (1, 2)), unit * (self.orientation in (0, 2))

    def of(self, plane: Int32s) -> Int32s:
        """The band's coefficients in a plane (h, w)."""
        row, column = self.first
        return plane[row :: 2 << self.level, column :: 2 << self.level]


def places(colours: int) -> Iterator[Place]:
    """All bands in coding order: from coarse to fine, the colours of a band together."""
    for level in reversed(range(DEPTH)):
        orientations = (SMOOTH, 0, 1, 2) if level == DEPTH - 1 else (0, 1, 2)
        for orientation in orientations:
            for colour in range(colours):
                yield Place(level, orientation, colour)


@dataclass(frozen=True)
class Colours:
    """Matrices (c, c) from samples to planes and back, in 2^-SHIFT."""

    forward: Int64s
    inverse: Int64s


def colours_of(colours: int, angles: int) -> Colours:
    """The planes of an image.

    Args:
        colours: 1 or 3.
        angles: three angles of TURN_BITS each, see `angles_for`. One colour does not use them: its
            plane is the first of three, of equal samples.
    """
    if colours == 1:
        root = math.sqrt(3) * _ONE
        return Colours(*(np.array([[round(part)]], np.int64) for part in (root, root / 3)))
    waves = _waves()
    turned = np.eye(3, dtype=np.int64) * _ONE
    for place, (i, j) in enumerate(_TURNS):
        angle = angles >> (TURN_BITS * place) & (_TURN - 1)
        cosine, sine = waves[(angle + _TURN // 4) % _TURN], waves[angle]
        both = cosine * turned[i] + sine * turned[j], cosine * turned[j] - sine * turned[i]
        turned[i], turned[j] = ((row + _ONE // 2) >> _wavelet.SHIFT for row in both)
    return Colours(turned, np.ascontiguousarray(turned.T))


@cache
def _waves() -> Int64s:
    """The sine of all angles, in 2^-SHIFT."""
    waves: Int64s = np.rint(np.sin(np.arange(_TURN) * (2 * np.pi / _TURN)) * _ONE).astype(np.int64)
    check_tables("rotation", _CRC, waves)
    return waves


def angles_for(samples: UInt8s) -> int:
    """The angles of the planes whose differences between neighbouring pixels are uncorrelated.

    The Karhunen-Loeve transform of the differences: the plane of most energy is the first. Where
    they say nothing, the planes are near (1, 1, 1), (1, 0, -1) and (1, -2, 1).

    Args:
        samples: (h, w, 1 or 3).

    Returns:
        Three angles of TURN_BITS each, the first one lowest; 0 for one colour.
    """
    if samples.shape[2] == 1:
        return 0
    stride = 1 + samples.shape[0] * samples.shape[1] // _ENOUGH
    products = np.zeros((3, 3))
    count = 0
    for rows in (samples[::stride], samples.swapaxes(0, 1)[::stride]):
        off = np.diff(rows.astype(np.float64), axis=1).reshape(-1, 3)
        products += off.T @ off
        count += len(off)
    usual = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    products = products / max(count, 1) + 0.01 * usual.T @ np.diag([1, 0.1, 0.05]) @ usual
    axes = np.linalg.eigh(products)[1][:, ::-1].T
    axes[0] *= 1 if axes[0].sum() >= 0 else -1
    axes[2] *= np.sign(np.linalg.det(axes))
    first, second = math.atan2(axes[0, 1], axes[0, 0]), math.asin(np.clip(axes[0, 2], -1, 1))
    flat = np.array([[math.cos(first), math.sin(first), 0], [-math.sin(first), math.cos(first), 0]])
    middle = flat[1]
    last = math.cos(second) * np.array([0.0, 0, 1]) - math.sin(second) * flat[0]
    third = math.atan2(axes[1] @ last, axes[1] @ middle)
    found = 0
    for place, angle in enumerate((first, second, third)):
        found |= round(angle / (2 * math.pi) * _TURN) % _TURN << (TURN_BITS * place)
    return found


def analysed(samples: UInt8s, colours: Colours) -> Int32s:
    """The coefficients (c, h, w) of samples (h, w, c), in 1/ONE_LEVEL."""
    height, width, count = samples.shape
    planes = np.empty((count, height, width), np.int32)
    _wavelet.to_planes(np.ascontiguousarray(samples), colours.forward, planes)
    for plane in planes:
        _wavelet.analyse(plane, DEPTH)
    return planes


def synthesised(
    bands: Mapping[Place, Int32s], height: int, width: int, step: int, colours: Colours
) -> Float32s:
    """The samples (c, h, w) from 0 to 255, multiples of 1/ONE_LEVEL, of coefficients in steps.

    Args:
        bands: those that are known, (h', w') each; the others are zero.
        step: in 1/STEP_UNITS.
    """
    count = len(colours.forward)
    planes = np.zeros((count, height, width), np.int32)
    for place, band in bands.items():
        _wavelet.dequantise(band, step, 2 << place.level, *place.first, planes[place.colour])
    for plane in planes:
        _wavelet.synthesise(plane, DEPTH)
    samples = np.empty((count, height, width), np.float32)
    _wavelet.from_planes(planes, colours.inverse, samples)
    return samples
