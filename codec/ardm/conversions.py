"""Conversions of three planes to RGB, as decoders compute them in integers.

Many images are an integer function of a luma plane and two chroma planes: decoded JPEG files, video
frames, scans. The planes hold all that the image does and take fewer bits, as a conversion reaches
only a part of all colours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

RGB = "rgb"
"""The name that stands for no conversion."""

Int64s = NDArray[np.int64]
Coefficients = tuple[int, int, int, int, int]
"""Factors of luma; of the second chroma in red; of the first and the second in green, which are
subtracted; and of the first in blue."""

_LEVELS = np.arange(256, dtype=np.int64)


@dataclass(frozen=True)
class Halving:
    """Which sides of a chroma plane are half those of the image, rounded up, see chroma.py.

    Attributes:
        rows: whether there are half as many rows; then there are half as many columns, too.
        columns: whether there are half as many columns.
        odd: for rows and for columns, 1 if the image begins with the second of a pair, since it was
            cut so; else 0.
    """

    rows: bool = False
    columns: bool = False
    odd: tuple[int, int] = (0, 0)

    @property
    def step(self) -> tuple[int, int]:
        """Rows and columns of the image for one of the plane."""
        return 1 + self.rows, 1 + self.columns


WHOLE = Halving()
"""Planes as large as the image."""


@dataclass(frozen=True, eq=False)
class Conversion:
    """A conversion of luma y, first chroma c and second chroma d, all 0 to 255, to RGB.

    With the rows of its table, R is (luma[y] + red[d]) // divisor, G is
    (luma[y] - green_first[c] - green_second[d]) // divisor and B is (luma[y] + blue[c]) // divisor,
    each clipped to 0 .. 255. All rows rise.

    Attributes:
        name: in `info`.
        reached: share of the colours without 0 and 255 that it gives.
        table: (5, 256), rows luma, red, green_first, green_second and blue.
        divisor: see above.
        chroma: whether chroma is enlarged before.
    """

    name: str
    reached: float
    table: Int64s
    divisor: int
    chroma: Halving = WHOLE

    @cached_property
    def estimate(self) -> NDArray[np.float64]:
        """(4,), a constant and factors of R, G and B that sum to luma, up to rounding."""
        slopes = (self.table[:, -1] - self.table[:, 0]) / (255 * self.divisor)
        starts = self.table[:, 0] / self.divisor
        luma, red, first, second, blue = slopes
        constant = starts[0] + np.array([starts[1], -starts[2] - starts[3], starts[4]])
        # Not by np.linalg, which hangs where memory for its buffers is short.
        weights = np.array([second / red, 1, first / blue])
        factors = weights / (luma * weights.sum())
        # Floors take half a level on average.
        return np.array([factors @ (0.5 - constant), *factors])


def _rounded(name: str, reached: float, offset: int, factors: Coefficients) -> Conversion:
    """Factors in 2^-16, the sum rounded to nearest once: libjpeg's way (jdcolor.c)."""
    luma = factors[0] * (_LEVELS - offset) + 2**15
    chromas = [factor * (_LEVELS - 128) for factor in factors[1:]]
    return Conversion(name, reached, np.stack([luma, *chromas]), 2**16)


def _floored(name: str, reached: float, offset: int, factors: Coefficients) -> Conversion:
    """Factors in 2^-13, each product rounded down: FFmpeg's swscale, for halved chroma."""
    luma = 8 * (_LEVELS - offset) * factors[0] >> 16
    red, first, second, blue = (8 * (_LEVELS - 128) * np.array(factors[1:])[:, None] * _SIGNS) >> 16
    return Conversion(name, reached, np.stack([luma, red, -first, -second, blue]), 1)


_SIGNS = np.array([[1], [-1], [-1], [1]])


def _photo_ycc() -> Conversion:
    """PhotoYCC as Kodak's images of Photo CDs have it, all products rounded down."""
    first, second = 22179 * (_LEVELS - 156), 18215 * (_LEVELS - 137)
    green = 1940 * (first // 10000), 5090 * (second // 10000)
    table = np.stack([13584 * _LEVELS, second, *green, first])
    return Conversion("photoycc", 0.1070, table, 10000)


_JPEG = _rounded("jpeg", 0.2363, 0, (65536, 91881, 22554, 46802, 116130))

CONVERSIONS = (
    _JPEG,
    _photo_ycc(),
    _rounded("bt601-limited", 0.1566, 16, (76309, 104597, 25675, 53279, 132201)),
    _rounded("bt709-limited", 0.1622, 16, (76309, 117489, 13975, 34925, 138438)),
    _rounded("bt709-full", 0.2447, 0, (65536, 103206, 12276, 30679, 121609)),
    _floored("bt601-full-floored", 0.2364, 0, (8192, 11485, 2819, 5850, 14516)),
    _floored("bt601-limited-floored", 0.1566, 16, (9539, 13075, 3209, 6660, 16525)),
    _floored("bt709-full-floored", 0.2448, 0, (8192, 12901, 1535, 3835, 15201)),
    _floored("bt709-limited-floored", 0.1622, 16, (9539, 14686, 1747, 4366, 17305)),
    *(
        replace(_JPEG, name=f"jpeg-420{name}", chroma=Halving(rows=True, columns=True, odd=odd))
        for name, odd in (("", (0, 0)), ("-right", (0, 1)), ("-down", (1, 0)), ("-both", (1, 1)))
    ),
    replace(_JPEG, name="jpeg-422", chroma=Halving(columns=True)),
    replace(_JPEG, name="jpeg-422-right", chroma=Halving(columns=True, odd=(0, 1))),
)
"""All conversions. Their numbers in headers are their places from 1; they are append-only."""

NAMES = (RGB, *(conversion.name for conversion in CONVERSIONS))
"""The words of the header field, by number."""


def with_halved_chroma(conversion: Conversion) -> list[Conversion]:
    """The conversions that are the same but for chroma at half the resolution."""
    return [
        each
        for each in CONVERSIONS
        if each.table is conversion.table and each.chroma != conversion.chroma
    ]


def named(name: str) -> Conversion:
    """A conversion by its name, one of `NAMES` except the first."""
    return CONVERSIONS[NAMES.index(name) - 1]
