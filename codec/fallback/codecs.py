"""WebP and PNG as codecs of the container: what an image falls back to when they are smaller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import CorruptError, OptionError, TruncatedError
from ..image.metadata import unpack_metadata
from ..image.raster import Mode, Raster, Samples
from ..protocol import Decoding, Encoded, Report, parse_options
from . import webp_png

WEBP_MAX_PIXELS = 2**25
"""Larger images take WebP's encoder gigabytes of memory."""


@dataclass(frozen=True)
class NoOptions:
    """These codecs have no options."""


@dataclass(frozen=True)
class WebPOptions:
    """Attributes: effort: 0 to 3; a higher one searches longer for a smaller file."""

    effort: int = webp_png.Effort.FAST


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
        if asked not in tuple(webp_png.Effort):
            raise OptionError(f"effort {asked!r}; supported are 0 to {max(webp_png.Effort)}")
        if raster.width * raster.height > WEBP_MAX_PIXELS:
            return None
        payload = webp_png.encode_webp(raster, webp_png.Effort(asked))
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
        samples = webp_png.decode_webp(payload, mode, header.width, header.height, palette)
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
        return Encoded(b"", [Section(SectionKind.DATA, webp_png.encode_png(raster))])

    def decode(self, contents: Contents, decoding: Decoding, report: Report) -> Iterator[Samples]:
        header = contents.header
        mode = Mode(header.mode)
        samples = webp_png.decode_png(_single(contents), mode, header.width, header.height)
        report(samples.size)
        yield samples

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        return {}
