"""WebP, PNG and JPEG XL as codecs of the container, for images that they code in fewer bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from ...bitstream.container import Contents
from ...bitstream.errors import CorruptError
from ..image.metadata import unpack_metadata
from ..image.raster import Mode, Raster, Samples
from ..options import Doc, Options
from ..protocol import Decoding, Encoded, Report, Size
from .jpegxl import decode_jpegxl, encode_jpegxl
from .webp_png import decode_png, decode_webp, encode_png, encode_webp


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


class Decode(Protocol):
    """What a file holds."""

    def __call__(
        self, payload: bytes, mode: Mode, width: int, height: int, palette: bytes
    ) -> Samples:
        """Samples (height, width, c).

        Args:
            palette: `Raster.palette`.

        Raises:
            CorruptError: the file is damaged, of another size, or holds what the mode cannot.
        """
        ...


@dataclass(frozen=True)
class FileCodec:
    """A codec whose only section is a file of another format (codec/protocol.py).

    Attributes:
        payload: the file, or None for an image that the format does not hold.
        samples: the inverse.
    """

    ID: int
    NAME: str
    OPTIONS: type[Options]
    payload: Callable[[Raster, Any], bytes | None]
    samples: Decode
    LOSSLESS: ClassVar[bool] = True

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


FILE_CODECS = (
    FileCodec(
        2, "webp", WebP, lambda raster, options: encode_webp(raster, options.effort), decode_webp
    ),
    FileCodec(3, "png", Png, lambda raster, _: encode_png(raster), decode_png),
    FileCodec(
        9,
        "jpegxl",
        JpegXL,
        lambda raster, options: encode_jpegxl(raster, options.effort),
        decode_jpegxl,
    ),
)
