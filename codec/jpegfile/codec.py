"""JPEG files as a codec of the container: its options and its header."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ...bitstream.container import Contents, Header, Section, SectionKind, write
from ...bitstream.errors import (
    CorruptError,
    OptionError,
    TruncatedError,
    UnsupportedImageError,
)
from ...bitstream.header import UINT32, Field
from ..image.jpeg import frame_size
from ..image.raster import Raster, Samples, checksum
from ..image.read import jpeg_metadata, open_image
from ..inputs import UnreadJpeg
from ..options import Options
from ..parameters import Parameters, choice
from ..protocol import NO_CHECK, Decoding, Encoded, Report, Size
from .packing import PACKINGS, Packing, pack_file, unpack_file

FIELDS = (
    choice("jpeg", "the JPEG file: 0 as it is, 1 deflated, 2 as JPEG XL", PACKINGS),
    choice("picture", "1 if its picture can be decoded", ("no", "yes")),
    Field("crc", UINT32, 0, 2**32 - 1, "CRC-32 of the JPEG file"),
)


_NO_PICTURE = (
    "the JPEG file that is kept has a picture that is not supported: "
    "only the file itself comes back (original_file, or `decode` to a .jpg)"
)


@dataclass(frozen=True, kw_only=True)
class JpegFile(Options):
    """Options of `jpegfile`, which keeps JPEG files as they are: none."""


@dataclass(frozen=True)
class JpegFileParameters(Parameters):
    """The parameters of a file."""

    CODEC: ClassVar[str] = "jpegfile"
    FIELDS: ClassVar[tuple[Field, ...]] = FIELDS
    MODELS: ClassVar[tuple[str, ...]] = ()

    jpeg: Packing
    picture: Literal["no", "yes"]
    crc: int


def _encoded(file: bytes, picture: Literal["no", "yes"]) -> Encoded:
    packing, payload = pack_file(file)
    parameters = JpegFileParameters(packing, picture, zlib.crc32(file)).pack()
    return Encoded(parameters, [Section(SectionKind.DATA, payload)], metadata_inside=True)


def keep_unread(jpeg: UnreadJpeg) -> bytes:
    """The .nzp file of a JPEG file whose picture cannot be decoded."""
    encoded = _encoded(jpeg.jpeg, "no")
    header = Header(
        JpegFileCodec.ID, jpeg.mode, jpeg.width, jpeg.height, NO_CHECK, encoded.parameters
    )
    return write(header, encoded.sections)


def kept_file(contents: Contents) -> bytes:
    """The JPEG file in a .nzp file of this codec.

    Raises:
        CorruptError: a field or the section is wrong, or it unpacks to another file.
        TruncatedError: the section is not there.
    """
    parameters = JpegFileParameters.parse(contents.header.parameters)
    if contents.truncated:
        raise TruncatedError("the file is cut: nothing of the JPEG file that it keeps can be read")
    if [kind for kind, _ in contents.table] != [SectionKind.DATA]:
        raise CorruptError("a kept JPEG file has one data section and no other")
    file = unpack_file(parameters.jpeg, contents.sections[0].payload)
    if zlib.crc32(file) != parameters.crc:
        raise CorruptError("the kept JPEG file does not match its checksum")
    return file


def kept_unread(contents: Contents) -> UnreadJpeg | None:
    """Inverse of `keep_unread`; None for any other file.

    Raises:
        CorruptError, TruncatedError: see `kept_file`.
    """
    header = contents.header
    if header.codec != JpegFileCodec.ID or _has_picture(contents):
        return None
    return UnreadJpeg(kept_file(contents), header.width, header.height, _NO_PICTURE)


def _has_picture(contents: Contents) -> bool:
    return JpegFileParameters.parse(contents.header.parameters).picture == "yes"


def kept_raster(contents: Contents) -> Raster:
    """The picture of the JPEG file in a .nzp file, with its metadata and the file itself.

    Raises:
        OptionError: the file has no picture.
        CorruptError, TruncatedError: see `kept_file`; also for another picture than the header's.
    """
    header = contents.header
    file = kept_file(contents)
    if not _has_picture(contents):
        raise OptionError(_NO_PICTURE)
    size = frame_size(file)  # before pixels are decoded
    if size != (header.width, header.height):
        raise CorruptError(
            f"the kept JPEG file has another size than {header.width}x{header.height}"
        )
    try:
        raster = open_image(file)
    except UnsupportedImageError as error:
        raise CorruptError(f"the kept JPEG file is damaged: {error}") from error
    if raster.mode != header.mode or checksum(raster.samples) != header.check:
        raise CorruptError(f"the kept JPEG file has another {raster.mode.name} picture")
    return raster


def kept_metadata(contents: Contents) -> dict[str, Any]:
    """ICC and so on of the JPEG file in a .nzp file, by the attributes of `Raster`.

    Raises:
        CorruptError, TruncatedError: see `kept_file`.
    """
    file = kept_file(contents)
    if not _has_picture(contents):
        return {}
    try:
        return jpeg_metadata(file)
    except UnsupportedImageError as error:
        raise CorruptError(f"the kept JPEG file is damaged: {error}") from error


class JpegFileCodec:
    """The codec behind the common protocol (codec/protocol.py)."""

    ID: ClassVar[int] = 7
    NAME: ClassVar[str] = "jpegfile"
    LOSSLESS: ClassVar[bool] = True
    OPTIONS: ClassVar[type[Options]] = JpegFile

    def encode(
        self, raster: Raster, options: JpegFile, report: Report, size: Size
    ) -> Encoded | None:
        """See `Codec.encode`; None for an image that does not come from a JPEG file.

        That the file comes back, and that it has the samples, is checked here.

        Raises:
            CorruptError: the file has other samples than the image.
        """
        if frame_size(raster.jpeg) != (raster.width, raster.height):
            return None
        if not open_image(raster.jpeg).shows(raster):
            raise CorruptError("the image has other samples than its JPEG file")
        return _encoded(raster.jpeg, "yes")

    def decode(
        self, contents: Contents, decoding: Decoding, report: Report, *, previews: bool
    ) -> Iterator[Samples]:
        """See `Codec.decode`.

        Raises:
            OptionError: the file has no picture.
        """
        raster = kept_raster(contents)
        report(raster.samples.size)
        yield raster.samples

    def describe(self, parameters: bytes) -> dict[str, int | str]:
        """See `Codec.describe`."""
        return JpegFileParameters.describe(parameters)
