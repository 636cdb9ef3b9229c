"""The codecs, by literal, append-only ids."""

from __future__ import annotations

from ..bitstream.errors import OptionError, UnknownIdError
from .ardm.codec import ArdmCodec
from .diffc.codec import DiffcCodec
from .fallback.codecs import FILE_CODECS
from .frames.codec import FramesCodec
from .hfd.codec import HfdCodec
from .jpegfile.codec import JpegFileCodec
from .options import Options
from .protocol import Codec
from .screen.codec import ScreenCodec
from .vdm.codec import VdmCodec

ARCHIVE = 16
"""In place of a codec's id: the file holds many images (codec/archive.py)."""

CODECS: tuple[Codec, ...] = (
    ArdmCodec(),
    *FILE_CODECS,
    DiffcCodec(),
    VdmCodec(),
    HfdCodec(),
    JpegFileCodec(),
    ScreenCodec(),
    FramesCodec(),
)


def by_id(number: int) -> Codec:
    """The codec of a file.

    Raises:
        UnknownIdError: names the codecs that this release knows, or says that it is no image.
    """
    if number == ARCHIVE:
        raise UnknownIdError("the file is an archive: use `list` and `extract`, Archive or Stack")
    for codec in CODECS:
        if number == codec.ID:
            return codec
    known = ", ".join(f"{codec.ID} ({codec.NAME})" for codec in CODECS)
    raise UnknownIdError(f"codec {number} is not known to this release, which has {known}")


def by_name(name: str) -> Codec:
    """The codec of a name.

    Raises:
        OptionError: names the codecs that this release knows.
    """
    for codec in CODECS:
        if name == codec.NAME:
            return codec
    known = ", ".join(codec.NAME for codec in CODECS)
    raise OptionError(f"unknown codec {name!r}; supported are {known}")


def by_options(options: Options) -> Codec:
    """The codec that options are of.

    Raises:
        OptionError: they are of no codec.
    """
    for codec in CODECS:
        if isinstance(options, codec.OPTIONS):
            return codec
    raise OptionError(f"{type(options).__name__} are not the options of a codec")
