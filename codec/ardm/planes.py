"""Source planes: the planes that an image was converted from, in place of RGB.

Planes are coded with luma where green is in RGB and the chromas in the places of red and blue, so
that the network codes luma first. For pixels that no planes give, there are differences from what
close planes are converted to: the exceptions. Where chroma was at half the resolution, the smaller
planes are coded: their samples at even rows and columns, repeated at the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...bitstream._planes import (
    BLUE,
    FIRST,
    GREEN_FIRST,
    GREEN_SECOND,
    LUMA,
    LUMA_PLACE,
    RED,
    SECOND,
    to_planes,
    to_rgb,
)
from ...bitstream.binary import BinaryDecoder, BinaryEncoder
from ...bitstream.exceptions import code_differences
from ..image.raster import Samples, Shape
from . import chroma
from .conversions import CONVERSIONS, WHOLE, Conversion, Halving, with_halved_chroma

_SAMPLE_SIDE = 64
"""Rows and columns whose pixels are looked at; more if there are few of the others."""
_LEAST_COLOURS = 64
"""Different colours that a sample must have to tell anything."""
_PROBE, _MOST_MISSED = 128, 0.2
"""Rows and columns by which the resolution of chroma is judged, and the share of their samples that
a first approximation of smaller planes may miss."""
_CLEARLY = 0.5
"""Least share of the colours that chance does not explain."""


def find(samples: Samples) -> Conversion | None:
    """The conversion that an image (h, w, 3) was made by, judged by a sample of its colours."""
    height, width, _ = samples.shape
    across = min(width, _SAMPLE_SIDE)
    down = min(height, _SAMPLE_SIDE**2 // across)
    across = min(width, _SAMPLE_SIDE**2 // down)
    rows = np.linspace(0, height - 1, down).astype(int)
    columns = np.linspace(0, width - 1, across).astype(int)
    colours = np.unique(samples[rows][:, columns].reshape(-1, 3), axis=0)
    clear = colours[(colours > 0).all(1) & (colours < 255).all(1)]
    if len(clear) < _LEAST_COLOURS:
        return None
    best, most = None, _CLEARLY
    for conversion in CONVERSIONS:
        if conversion.chroma != WHOLE:
            continue
        hits = 1 - _inverted(clear[None], conversion)[1].mean()
        excess = (hits - conversion.reached) / (1 - conversion.reached)
        if excess > most:
            best, most = conversion, excess
    return best


def candidates(samples: Samples, found: Conversion) -> Iterator[Conversion]:
    """A conversion, and one with chroma at half the resolution if an image (h, w, 3) suits it."""
    yield found
    top, left = (max(side - _PROBE, 0) // 4 * 2 for side in samples.shape[:2])
    probe = samples[top : top + _PROBE, left : left + _PROBE]
    planes, missed = _inverted(probe, found)
    inner = _certain(probe, missed)
    inner[:2] = inner[-2:] = inner[:, :2] = inner[:, -2:] = False  # cut off from what is beside
    best, least = None, _MOST_MISSED
    for conversion in with_halved_chroma(found):
        share = max(
            chroma.misfit(planes[..., place], conversion.chroma, inner) for place in (FIRST, SECOND)
        )
        if share < least:
            best, least = conversion, share
    if best is not None:
        yield best


def separate(samples: Samples, conversion: Conversion) -> tuple[Samples, Samples]:
    """Planes of an image, and the differences that are left.

    Args:
        samples: (h, w, 3) RGB.

    Returns:
        Planes (h, w, 3) in the order described above, and differences (h, w, 3) modulo 256 of RGB
        from what the planes are converted to.
    """
    planes, missed = _inverted(samples, conversion)
    if conversion.chroma != WHOLE:
        certain = _certain(samples, missed)
        for place in (FIRST, SECOND):
            _halve(planes[..., place], certain, conversion.chroma)
        planes[..., LUMA_PLACE] = _luma(
            samples, _enlarged(planes, conversion.chroma, 1), conversion
        )
    return planes, samples - join(planes, conversion)


def join(planes: Samples, conversion: Conversion, step: int = 1) -> Samples:
    """RGB (h, w, 3) of planes (h, w, 3) in the order described above.

    Args:
        step: the planes are those of every so many rows and columns of the image. With chroma at
            half the resolution, 1 and 2 give the image's pixels; more give pixels close to them.
    """
    if conversion.chroma != WHOLE and step <= 2:
        planes = _enlarged(planes, conversion.chroma, step)
    out = np.empty_like(planes)
    to_rgb(planes, conversion.table, conversion.divisor, out)
    return out


def _certain(samples: Samples, missed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the planes of RGB (h, w, 3) are the only ones that give it, as nothing is clipped."""
    certain: NDArray[np.bool_] = ~missed & (samples > 0).all(2) & (samples < 255).all(2)
    return certain


def _halve(plane: Samples, certain: NDArray[np.bool_], halving: Halving) -> None:
    """Put the samples that a chroma plane (h, w) was enlarged from in the place of its own."""
    reduced = chroma.reduced(plane, halving, certain)
    for axis, step in enumerate(halving.step):
        reduced = reduced.repeat(step, axis)
    plane[:] = reduced[: plane.shape[0], : plane.shape[1]]


def _enlarged(planes: Samples, halving: Halving, step: int) -> Samples:
    """The planes (h, w, 3) of every so many, 1 or 2, rows and columns with the image's chroma."""
    height, width, _ = planes.shape
    rows, columns = halving.step
    out = planes.copy()
    for place in (FIRST, SECOND):
        if step == 1:
            reduced = planes[::rows, ::columns, place]
            out[..., place] = chroma.enlarged(reduced, halving, height, width)
        else:
            whole = chroma.enlarged(planes[..., place], halving, rows * height, columns * width)
            out[..., place] = whole[::rows, ::columns]
    return out


def _luma(samples: Samples, planes: Samples, conversion: Conversion) -> Samples:
    """The luma (h, w) that gives RGB (h, w, 3) with the chroma of planes, or one that comes close.

    Of several, the nearest to the planes' own.
    """
    row, divisor = conversion.table[LUMA], conversion.divisor
    first, second = planes[..., FIRST], planes[..., SECOND]
    shares = (
        conversion.table[RED, second],
        -conversion.table[GREEN_FIRST, first] - conversion.table[GREEN_SECOND, second],
        conversion.table[BLUE, first],
    )
    low = np.zeros(first.shape, np.int64)
    high = np.full(first.shape, 255, np.int64)
    for channel, added in zip(np.moveaxis(samples, 2, 0), shares, strict=True):
        least = divisor * channel.astype(np.int64) - added
        from_, to = (np.searchsorted(row, edge) for edge in (least, least + divisor))
        low = np.where(channel > 0, np.maximum(low, from_), low)
        high = np.where(channel < 255, np.minimum(high, to - 1), high)
    return np.clip(planes[..., LUMA_PLACE], np.minimum(low, 255), np.maximum(high, 0)).astype(
        np.uint8
    )


def pack(differences: Samples) -> bytes:
    """The section of the differences (h, w, 3) that `separate` left."""
    height, width, channels = differences.shape
    encoder = BinaryEncoder()
    code_differences(differences, (height, width, channels), encoder)
    return encoder.finish()


def unpack(payload: bytes, shape: Shape) -> Samples:
    """The differences (h, w, 3) of `pack`.

    Raises:
        CorruptError: the payload is damaged.
    """
    return code_differences(None, shape, BinaryDecoder(payload))


def _inverted(samples: Samples, conversion: Conversion) -> tuple[Samples, NDArray[np.bool_]]:
    """Planes (h, w, 3), and where no planes give the colour (h, w)."""
    planes = np.empty(samples.shape, np.uint8)
    missed = np.empty(samples.shape[:2], np.bool_)
    args = conversion.table, conversion.divisor, conversion.estimate
    to_planes(np.ascontiguousarray(samples), *args, planes, missed)
    return planes, missed
