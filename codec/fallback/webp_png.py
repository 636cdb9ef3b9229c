"""Lossless coding of samples through WebP and PNG, so that a file is never worse than those.

The payload is a whole WebP or PNG file of the samples alone; palette and metadata are kept by the
container. Every payload decodes to the samples it was made from, shape (h, w, c), dtype as the mode
says.

WebP has only RGB and RGBA of 8 bits: one channel goes as grey, and grey with opacity as grey RGBA.
PNG holds BILEVEL and PALETTE8 as grey of 1, 2, 4 or 8 bits (the fewest that hold the largest
sample), which costs no palette.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...bitstream.errors import CorruptError
from ..image import png
from ..image.pillow import load, open_checked
from ..image.raster import Mode, Raster, Samples
from .payloads import corrupt_payload, in_range, restored, smallest

WEBP_MAX_SIDE = 16383
WEBP_MAX_PIXELS = 2**25
"""Larger images take WebP's encoder gigabytes of memory."""


WEBP_EFFORTS: Sequence[Mapping[str, int]] = (
    {"method": 4, "quality": 80},
    {"method": 5, "quality": 80},
    {"method": 5, "quality": 100},
    {"method": 6, "quality": 100},
)
"""Options of Pillow's encoder, by how long it may search; all decode alike.

A longer search is not always a better one.
"""

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6
_PNG_COLOUR: Mapping[int, int] = {1: _GREY, 2: _GREY_ALPHA, 3: _RGB, 4: _RGB_ALPHA}
"""PNG's colour type by channels."""

_PACKED = (Mode.BILEVEL, Mode.PALETTE8)
"""Modes that PNG holds as grey of as few bits as do."""


def encode_webp(raster: Raster, effort: int = 0) -> bytes | None:
    """Lossless WebP of the samples, or None for 16-bit modes and images that are too large.

    Args:
        effort: index into WEBP_EFFORTS.
    """
    if raster.mode.dtype != np.uint8 or max(raster.width, raster.height) > WEBP_MAX_SIDE:
        return None
    if raster.width * raster.height > WEBP_MAX_PIXELS:
        return None
    return smallest(raster, lambda samples: _webp(_spread(samples), effort))


def decode_webp(
    payload: bytes, mode: Mode, width: int, height: int, palette: bytes = b""
) -> Samples:
    """Samples of an `encode_webp` payload, shape (height, width, c), uint8.

    Args:
        palette: `Raster.palette`, for PALETTE8.

    Raises:
        CorruptError: the payload is damaged, of another size, or holds what the mode cannot.
    """
    if mode.dtype != np.uint8:
        raise CorruptError(f"WebP payload in a {mode.name} image, WebP holds 8-bit modes")
    return restored(payload, mode, palette, partial(_from_webp, mode, width, height))


def _from_webp(mode: Mode, width: int, height: int, payload: bytes, channels: int) -> Samples:
    """Samples (height, width, channels)."""
    pixels = _read(payload, "WEBP", ("RGB", "RGBA"), width, height)
    pixels = _match_channels(pixels, 4 if channels in (2, 4) else 3)
    if channels < 3:
        if np.any(pixels[:, :, :1] != pixels[:, :, 1:3]):
            raise CorruptError(f"WebP payload of a {mode.name} image has colours, grey expected")
        pixels = pixels[:, :, [0, 3] if channels == 2 else [0]]
    return np.ascontiguousarray(pixels)


def encode_png(raster: Raster) -> bytes:
    """PNG of the samples, the smaller of filtered and unfiltered rows for indices and levels."""
    mode = raster.mode
    if mode in _PACKED:
        packed = _unfiltered_png(raster.samples[:, :, 0])
        filtered = _png(raster.samples) if int(raster.samples.max()) > 15 else packed
        return min(packed, filtered, key=len)
    if mode.dtype != np.uint8 and mode.channels > 1:
        return bytes(imagecodecs.png_encode(raster.samples, level=9))
    return _png(raster.samples)


def decode_png(
    payload: bytes, mode: Mode, width: int, height: int, palette: bytes = b""
) -> Samples:
    """Samples of an `encode_png` payload, shape (height, width, c), dtype as the mode says.

    Args:
        palette: not needed.

    Raises:
        CorruptError: the payload is damaged, of another size, or holds what the mode cannot.
    """
    header = _PNG_MAGIC + struct.pack(">I4sII", 13, b"IHDR", width, height)
    depths = (1, 2, 4, 8) if mode in _PACKED else (8 * mode.dtype.itemsize,)
    if len(payload) < 33 or payload[:24] != header or payload[24] not in depths:
        raise CorruptError(
            f"PNG payload does not start as one of {width}x{height} {mode.name} samples"
        )
    depth, colour = payload[24], payload[25]
    if colour != _PNG_COLOUR[mode.channels]:
        raise CorruptError(f"PNG payload of colour type {colour} in a {mode.name} image")
    if depth == 16 and mode.channels > 1:
        with corrupt_payload("PNG"):
            samples: Samples = np.asarray(imagecodecs.png_decode(payload))
    else:
        samples = _read(payload, "PNG", ("1", "L", "LA", "RGB", "RGBA", "I;16"), width, height)
    if samples.dtype == np.bool_:
        samples = samples.astype(np.uint8)
    elif depth < 8:
        samples = samples // np.uint8(255 // ((1 << depth) - 1))  # readers widen to 8 bits
    if samples.shape != (height, width, mode.channels) or samples.dtype != mode.dtype:
        raise CorruptError(f"PNG payload decodes to {samples.shape} {samples.dtype} samples")
    return in_range(np.ascontiguousarray(samples), mode)


def _spread(samples: Samples) -> Samples:
    """1 to 4 channels as RGB or RGBA."""
    order = {1: [0, 0, 0], 2: [0, 0, 0, 1]}.get(samples.shape[2])
    return samples if order is None else samples[:, :, order]


def _webp(pixels: Samples, effort: int) -> bytes:
    out = BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(out, "WEBP", lossless=True, exact=True, **WEBP_EFFORTS[effort])
    return out.getvalue()


def _png(samples: Samples) -> bytes:
    out = BytesIO()
    Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()


def _unfiltered_png(indices: NDArray[np.uint8]) -> bytes:
    """Grey PNG with as few bits a pixel as hold the largest index; filters hurt indices."""
    height, width = indices.shape
    depth = next(bits for bits in (1, 2, 4, 8) if int(indices.max()) < 1 << bits)
    bits = np.unpackbits(indices[:, :, np.newaxis], axis=2)[:, :, 8 - depth :]
    rows = np.packbits(bits.reshape(height, width * depth), axis=1)
    no_filter = np.zeros((height, 1), np.uint8)
    body = zlib.compress(np.hstack([no_filter, rows]).tobytes(), 9)
    header = struct.pack(">IIBBBBB", width, height, depth, _GREY, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return _PNG_MAGIC + b"".join(png.chunk(kind, data) for kind, data in chunks)


def _read(payload: bytes, kind: str, modes: tuple[str, ...], width: int, height: int) -> Samples:
    """Pixels of a file, shape (height, width, c); the size is checked before they are decoded."""
    with corrupt_payload(kind):
        image = open_checked(payload, (kind,))
        if image.size != (width, height) or image.mode not in modes:
            found = f"{image.size[0]}x{image.size[1]} {image.mode}"
            raise ValueError(f"{found} found, {width}x{height} expected")
        load(image)
        pixels: NDArray[Any] = np.asarray(image)
    return pixels.reshape(height, width, -1)


def _match_channels(pixels: Samples, channels: int) -> Samples:
    """RGBA pixels that are all opaque come out of WebP as RGB: give them their opacity again."""
    if pixels.shape[2] == 3 and channels == 4:
        opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        return np.concatenate([pixels, opaque], axis=2)
    if pixels.shape[2] != channels:
        raise CorruptError(f"payload has {pixels.shape[2]} channels, {channels} expected")
    return pixels
