"""Source planes: the planes that an image was converted from, in place of RGB.

Planes are coded with luma where green is in RGB and the chromas in the places of red and blue, so
that the network codes luma first. For pixels that no planes give, there are differences from what
close planes are converted to: the exceptions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...bitstream._planes import to_planes, to_rgb
from ...bitstream.binary import BinaryDecoder, BinaryEncoder
from ...bitstream.exceptions import code_differences
from ..image.raster import Samples, Shape
from .conversions import CONVERSIONS, Conversion

_SAMPLE_SIDE = 64
"""Rows and columns whose pixels are looked at; more if there are few of the others."""
_LEAST_COLOURS = 64
"""Different colours that a sample must have to tell anything."""
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
        hits = 1 - _inverted(clear[None], conversion)[1].mean()
        excess = (hits - conversion.reached) / (1 - conversion.reached)
        if excess > most:
            best, most = conversion, excess
    return best


def separate(samples: Samples, conversion: Conversion) -> tuple[Samples, Samples]:
    """Planes of an image, and the differences that are left.

    Args:
        samples: (h, w, 3) RGB.

    Returns:
        Planes (h, w, 3) in the order described above, and differences (h, w, 3) modulo 256 of RGB
        from what the planes are converted to.
    """
    planes, _ = _inverted(samples, conversion)
    return planes, samples - join(planes, conversion)


def join(planes: Samples, conversion: Conversion) -> Samples:
    """RGB (h, w, 3) of planes (h, w, 3) in the order described above."""
    out = np.empty_like(planes)
    to_rgb(planes, conversion.table, conversion.divisor, out)
    return out


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
