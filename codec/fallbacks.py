"""WebP and PNG as codecs of the container: what an image falls back to when they are smaller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..bitstream.container import Contents, Section, SectionKind
from ..bitstream.errors import CorruptError, OptionError, TruncatedError
from . import carriers
from .image import Mode, Raster, Samples
from .metadata import unpack_metadata
from .protocol import Decoding, Encoded, Report, parse_options

_WEBP_PLANE, _PNG_PLANE = b"\0", b"\1"
WEBP_MAX_PIXELS = 2**25
"""Larger images take WebP's encoder gigabytes of memory."""


@dataclass(frozen=True)
class NoOptions:
    """These codecs have no options."""


@dataclass(frozen=True)
class WebPOptions:
    """Attributes: effort: 0 to 3; a higher one searches longer for a smaller file."""

    effort: int = carriers.Effort.FAST


def _single(contents: Contents) -> bytes:
    if contents.header.parameters:
        raise CorruptError("this codec has no header fields of its own")
    payloads = contents.payloads(SectionKind.DATA)
    if len(payloads) != 1:
        raise CorruptError(f"{len(payloads)} data sections where this codec has one")
    return payloads[0]


class WebP:
    """Lossless WebP of the samples, up to 2^25 pixels."""

    ID: ClassVar[int] = 2
    NAME: ClassVar[str] = "webp"
    LOSSLESS: ClassVar[bool] = True

    def encode(self, raster: Raster, options: Mapping[str, Any], report: Report) -> Encoded | None:
        asked = parse_options(WebPOptions, options).effort
        if asked not in tuple(carriers.Effort):
            raise OptionError(f"effort {asked!r}; supported are 0 to {max(carriers.Effort)}")
        if raster.width * raster.height > WEBP_MAX_PIXELS:
            return None
        payload = carriers.encode_webp(raster, carriers.Effort(asked))
        return None if payload is None else Encoded(b"", [Section(SectionKind.DATA, payload)])

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        header = contents.header
        mode = Mode(header.mode)
        palette = b""
        if mode is Mode.PALETTE8:
            palette = unpack_metadata(contents).get("palette", b"")
            if not palette:
                raise TruncatedError("the file is cut before its palette")
        payload = _single(contents)
        samples = carriers.decode_webp(payload, mode, header.width, header.height, palette)
        report(samples.size)
        yield samples

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        return {}


class Png:
    """PNG of the samples; takes every layout."""

    ID: ClassVar[int] = 3
    NAME: ClassVar[str] = "png"
    LOSSLESS: ClassVar[bool] = True

    def encode(self, raster: Raster, options: Mapping[str, Any], report: Report) -> Encoded | None:
        parse_options(NoOptions, options)
        return Encoded(b"", [Section(SectionKind.DATA, carriers.encode_png(raster))])

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        header = contents.header
        mode = Mode(header.mode)
        samples = carriers.decode_png(_single(contents), mode, header.width, header.height)
        report(samples.size)
        yield samples

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        return {}


def encode_plane(plane: Samples) -> bytes:
    """The smaller of WebP and PNG of one 8-bit plane (h, w, 1), behind a byte that says which."""
    raster = Raster(plane, Mode.L8)
    payloads = [_PNG_PLANE + carriers.encode_png(raster)]
    if plane.size <= WEBP_MAX_PIXELS and (webp := carriers.encode_webp(raster)) is not None:
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
    decoders = {_WEBP_PLANE: carriers.decode_webp, _PNG_PLANE: carriers.decode_png}
    if payload[:1] not in decoders:
        raise CorruptError("the alpha section is packed in an unknown way")
    return decoders[payload[:1]](payload[1:], Mode.L8, width, height)
