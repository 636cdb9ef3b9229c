"""WebP, PNG and JPEG XL as codecs of the container, for images that they code in fewer bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from ...bitstream.container import Contents
from ...bitstream.errors import CorruptError
from ..image.metadata import unpack_metadata
from ..image.raster import Mode, Raster, Samples
from ..options import Doc, Options
from ..protocol import Decoding, Encoded, Report, Size
from . import jpegxl, webp_png


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


@dataclass(frozen=True, kw_only=True)
class JpegXL(Options):
    """Options of lossless `jpegxl`, for up to 2^25 pixels of every layout.

    Raises:
        OptionError: a value is not supported.
    """

    effort: Annotated[
        int, Doc("effort of the search: more makes smaller files and takes longer", 1, 9)
    ] = 7


class _FileCodec:
    """Base of codecs whose only section is a file of another format."""

    def payload(self, raster: Raster, options: Any) -> bytes | None:
        """The file, or None for an image that the format does not hold."""
        raise NotImplementedError

    def samples(
        self, payload: bytes, mode: Mode, width: int, height: int, palette: bytes
    ) -> Samples:
        """What the file holds: (height, width, c).

        Args:
            palette: `Raster.palette`.

        Raises:
            CorruptError: it is damaged, of another size, or holds what the mode cannot.
        """
        raise NotImplementedError

    def encode(self, raster: Raster, options: Any, report: Report, size: Size) -> Encoded | None:
        """See `Codec.encode`."""
        payload = self.payload(raster, options)
        return None if payload is None else Encoded.of(b"", [payload])

    def decode(
        self, contents: Contents, decoding: Decoding, report: Report, *, previews: bool
    ) -> Iterator[Samples]:
        """See `Codec.decode`."""
        header = contents.header
        if header.parameters:
            raise CorruptError("this codec has no header fields of its own")
        payload = contents.only_payload()
        mode = Mode(header.mode)
        palette = unpack_metadata(contents)["palette"] if mode is Mode.PALETTE8 else b""
        samples = self.samples(payload, mode, header.width, header.height, palette)
        report(samples.size)
        yield samples

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        """See `Codec.describe`."""
        return {}


class WebPCodec(_FileCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 2
    NAME: ClassVar[str] = "webp"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = WebP

    def payload(self, raster: Raster, options: WebP) -> bytes | None:
        return webp_png.encode_webp(raster, options.effort)

    def samples(
        self, payload: bytes, mode: Mode, width: int, height: int, palette: bytes
    ) -> Samples:
        return webp_png.decode_webp(payload, mode, width, height, palette)


class PngCodec(_FileCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 3
    NAME: ClassVar[str] = "png"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = Png

    def payload(self, raster: Raster, options: Png) -> bytes:
        return webp_png.encode_png(raster)

    def samples(
        self, payload: bytes, mode: Mode, width: int, height: int, palette: bytes
    ) -> Samples:
        return webp_png.decode_png(payload, mode, width, height)


class JpegXLCodec(_FileCodec):
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 9
    NAME: ClassVar[str] = "jpegxl"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = JpegXL

    def payload(self, raster: Raster, options: JpegXL) -> bytes | None:
        return jpegxl.encode_jpegxl(raster, options.effort)

    def samples(
        self, payload: bytes, mode: Mode, width: int, height: int, palette: bytes
    ) -> Samples:
        return jpegxl.decode_jpegxl(payload, mode, width, height, palette)
