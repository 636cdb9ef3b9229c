"""Opacity as a plane of its own, lossless in every codec."""

from __future__ import annotations

import numpy as np

from ..bitstream.errors import CorruptError
from .fallback import webp_png
from .fallback.codecs import WEBP_MAX_PIXELS
from .image.raster import Mode, Raster, Samples

_WEBP_PLANE, _PNG_PLANE = b"\0", b"\1"
"""First byte of the section: how the plane is packed."""


def encode_plane(plane: Samples) -> bytes:
    """The smaller of WebP and PNG of one 8-bit plane (h, w, 1), behind a byte that says which."""
    raster = Raster(plane, Mode.L8)
    payloads = [_PNG_PLANE + webp_png.encode_png(raster)]
    if plane.size <= WEBP_MAX_PIXELS and (webp := webp_png.encode_webp(raster)) is not None:
        payloads.append(_WEBP_PLANE + webp)
    return min(payloads, key=len)


def split_alpha(raster: Raster) -> tuple[Samples, Samples | None]:
    """Colour (h, w, 1 or 3) and opacity (h, w, 1) or None."""
    if raster.mode.has_alpha:
        return raster.samples[..., :-1], raster.samples[..., -1:]
    return raster.samples, None


def join_alpha(colour: Samples, payload: bytes | None) -> Samples:
    """Colour (h, w, c) with the opacity of `encode_plane`; opaque while that is not there.

    Raises:
        CorruptError: see `decode_plane`.
    """
    height, width = colour.shape[:2]
    if payload is None:
        plane: Samples = np.full((height, width, 1), 255, np.uint8)
    else:
        plane = decode_plane(payload, height, width)
    return np.concatenate([colour, plane], 2)


def decode_plane(payload: bytes, height: int, width: int) -> Samples:
    """The plane (h, w, 1) of `encode_plane`.

    Raises:
        CorruptError: the payload is damaged or holds another size.
    """
    decoders = {_WEBP_PLANE: webp_png.decode_webp, _PNG_PLANE: webp_png.decode_png}
    if payload[:1] not in decoders:
        raise CorruptError("the alpha section is packed in an unknown way")
    return decoders[payload[:1]](payload[1:], Mode.L8, width, height)
