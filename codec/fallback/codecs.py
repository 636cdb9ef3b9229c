"""WebP and PNG as codecs of the container, for images that they code in fewer bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...bitstream.container import Contents, Section, SectionKind
from ...bitstream.errors import CorruptError
from ..image.metadata import unpack_metadata
from ..image.raster import Mode, Raster, Samples
from ..options import Doc, Options
from ..protocol import Decoding, Encoded, Report, Size
from . import webp_png


@dataclass(frozen=True, kw_only=True)
class WebP(Options):
    """Options of lossless `webp`, for up to 2^25 pixels.

    Raises:
        OptionError: a value is not supported.
    """

    effort: Annotated[
        int, Doc("effort of the search: more makes smaller files and takes longer", 0, 3)
    ] = 0


@dataclass(frozen=True, kw_only=True)
class Png(Options):
    """Options of `png`, which takes every layout: none."""


def _single(contents: Contents) -> bytes:
    if contents.header.parameters:
        raise CorruptError("this codec has no header fields of its own")
    payloads = contents.payloads(SectionKind.DATA)
    if len(payloads) != 1:
        raise CorruptError(f"{len(payloads)} data sections where this codec has one")
    return payloads[0]


class WebPCodec:
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 2
    NAME: ClassVar[str] = "webp"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = WebP

    def encode(self, raster: Raster, options: WebP, report: Report, size: Size) -> Encoded | None:
        payload = webp_png.encode_webp(raster, options.effort)
        return None if payload is None else Encoded(b"", [Section(SectionKind.DATA, payload)])

    def decode(
        self, contents: Contents, decoding: Decoding, report: Report, *, previews: bool
    ) -> Iterator[Samples]:
        header, mode = contents.header, Mode(contents.header.mode)
        palette = unpack_metadata(contents)["palette"] if mode is Mode.PALETTE8 else b""
        payload = _single(contents)
        samples = webp_png.decode_webp(payload, mode, header.width, header.height, palette)
        report(samples.size)
        yield samples

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        return {}


class PngCodec:
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 3
    NAME: ClassVar[str] = "png"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Png

    def encode(self, raster: Raster, options: Png, report: Report, size: Size) -> Encoded | None:
        return Encoded(b"", [Section(SectionKind.DATA, webp_png.encode_png(raster))])

    def decode(
        self, contents: Contents, decoding: Decoding, report: Report, *, previews: bool
    ) -> Iterator[Samples]:
        header = contents.header
        mode = Mode(header.mode)
        samples = webp_png.decode_png(_single(contents), mode, header.width, header.height)
        report(samples.size)
        yield samples

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        return {}
