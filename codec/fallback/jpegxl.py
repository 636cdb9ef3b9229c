"""Lossless coding of samples through JPEG XL.

The payload is a bare codestream of the samples alone, without the boxes around it; palette and
metadata are kept by the container. Of 16-bit samples the codestream has as many bits as the largest
one needs.
"""

from __future__ import annotations

from functools import partial

import imagecodecs
import numpy as np

from ...bitstream.errors import CorruptError
from ..image import jpegxl
from ..image.raster import Mode, Raster, Samples
from .payloads import corrupt_payload, restored, smallest

MAX_PIXELS = 2**25
"""Larger images take the encoder gigabytes of memory."""


def encode_jpegxl(raster: Raster, effort: int) -> bytes | None:
    """Lossless JPEG XL of the samples, or None for images that are too large.

    Args:
        effort: of libjxl, from 1 to 9.
    """
    if raster.width * raster.height > MAX_PIXELS:
        return None
    return smallest(raster, partial(_encode, effort=effort))


def decode_jpegxl(
    payload: bytes, mode: Mode, width: int, height: int, palette: bytes = b""
) -> Samples:
    """Samples of an `encode_jpegxl` payload, shape (height, width, c), dtype as the mode says.

    Args:
        palette: `Raster.palette`, for PALETTE8.

    Raises:
        CorruptError: the payload is damaged, of another size, or holds what the mode cannot.
    """
    decode = partial(_decode, mode=mode, width=width, height=height)
    return restored(payload, mode, palette, decode)


def _encode(samples: Samples, effort: int) -> bytes:
    """A codestream of samples (h, w, c)."""
    bits = max(8, int(samples.max()).bit_length())
    if bits == 8:
        samples = samples.astype(np.uint8, copy=False)
    file = imagecodecs.jpegxl_encode(
        np.squeeze(samples, 2) if samples.shape[2] == 1 else samples,
        lossless=True,
        effort=effort,
        bitspersample=bits,
        numthreads=1,
    )
    return jpegxl.codestream(bytes(file))


def _decode(payload: bytes, channels: int, mode: Mode, width: int, height: int) -> Samples:
    """Samples (h, w, channels); their layout is checked before they are decoded."""
    found = jpegxl.parse(payload)
    has_alpha = channels in (2, 4)
    usual = found and (found.orientation, found.animated, found.is_float) == (1, False, False)
    if not usual or found is None or found.bits > 8 * mode.dtype.itemsize:
        raise CorruptError(f"JPEG XL payload does not start as one of {mode.name} samples")
    expected = width, height, channels - has_alpha, int(has_alpha)
    if (found.width, found.height, found.colours, found.extra) != expected:
        raise CorruptError(
            f"JPEG XL payload of {found.width}x{found.height} pixels with {found.colours} channels "
            f"of colour and {found.extra} others, {expected} expected"
        )
    with corrupt_payload("JPEG XL"):
        pixels = imagecodecs.jpegxl_decode(payload, index=0, numthreads=1)
        samples: Samples = pixels.reshape(height, width, channels).astype(mode.dtype, copy=False)
    return samples
