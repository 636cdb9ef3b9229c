"""Opacity as a section of its own, lossless in every codec."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bitstream.container import Contents, Section, SectionKind
from ..bitstream.errors import CorruptError
from .fallback import jpegxl, webp_png
from .image.raster import Mode, Raster, Samples, mode_of

_WEBP, _PNG, _JPEGXL = b"\0", b"\1", b"\2"
"""First byte of the section: what packs the plane."""


def colour_of(raster: Raster) -> Samples:
    """The colour (h, w, 1 or 3) of an image."""
    return raster.samples[..., : raster.mode.colours]


def split_alpha(raster: Raster) -> tuple[Samples, list[Section]]:
    """The colour (h, w, 1 or 3) of an image, and the section of its opacity if it has one."""
    colour = colour_of(raster)
    if not raster.mode.has_alpha:
        return colour, []
    return colour, [Section(SectionKind.ALPHA, pack_plane(raster.samples[..., -1:]))]


def with_alpha(colour: Samples, contents: Contents, *, complete: bool) -> Samples:
    """A picture of a file, with opacity if the image has it.

    Args:
        colour: (h, w, 1 or 3).
        complete: False: the picture is opaque, as it is not the last one.

    Raises:
        CorruptError: see `unpack_plane`.
    """
    if not Mode(contents.header.mode).has_alpha:
        return colour
    height, width = colour.shape[:2]
    payloads = contents.payloads(SectionKind.ALPHA)
    if complete and payloads:
        plane = unpack_plane(payloads[0], height, width, colour.dtype)
    else:
        plane = np.full((height, width, 1), np.iinfo(colour.dtype).max, colour.dtype)
    return np.concatenate([colour, plane], 2)


def pack_plane(plane: Samples) -> bytes:
    """The smallest of some formats of one plane (h, w, 1), behind a byte that says which."""
    raster = Raster(plane, mode_of(plane))
    payloads = {
        _WEBP: webp_png.encode_webp(raster),
        _PNG: webp_png.encode_png(raster),
        _JPEGXL: jpegxl.encode_jpegxl(raster, 9),
    }
    return min((kind + found for kind, found in payloads.items() if found), key=len)


def unpack_plane(payload: bytes, height: int, width: int, dtype: np.dtype[Any]) -> Samples:
    """The plane (h, w, 1) of `pack_plane`.

    Raises:
        CorruptError: the payload is damaged or holds another size.
    """
    mode = Mode.L8 if dtype == np.uint8 else Mode.L16
    decoders = {
        _WEBP: webp_png.decode_webp,
        _PNG: webp_png.decode_png,
        _JPEGXL: jpegxl.decode_jpegxl,
    }
    if payload[:1] not in decoders:
        raise CorruptError("the alpha section is packed in an unknown way")
    return decoders[payload[:1]](payload[1:], mode, width, height)
