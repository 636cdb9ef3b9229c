"""Palette, ICC, EXIF, XMP and chunks of PNG in sections of the container, byte for byte."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

from ...bitstream.container import Contents, Section, SectionKind, section
from ...bitstream.errors import CorruptError, LimitError, TruncatedError
from ...bitstream.header import Bytes
from . import png
from .raster import Mode, Raster

_NAMES = {
    SectionKind.PALETTE: "palette",
    SectionKind.ICC: "icc",
    SectionKind.EXIF: "exif",
    SectionKind.XMP: "xmp",
    SectionKind.CHUNKS: "chunks",
}
"""Attributes of a raster by the section that keeps them."""

_STORED, _DEFLATED = b"\0", b"\1"
"""First byte of a section: how the rest is packed."""

INFLATE_LIMIT = 2**26
"""Bytes that a section may inflate to."""


def pack_metadata(raster: Raster) -> list[Section]:
    """A section for each kind that the image has, deflated where that is smaller."""
    kept = ((kind, getattr(raster, name)) for kind, name in _NAMES.items())
    return [Section(kind, _pack(data)) for kind, data in kept if data]


def unpack_metadata(contents: Contents) -> dict[str, Any]:
    """Keyword arguments of `Raster` for the kinds that are there.

    Raises:
        CorruptError: a section is damaged.
        LimitError: it unpacks to more bytes than the limit.
        TruncatedError: an image of indices has no palette.
    """
    limit = contents.limits.metadata
    found = {
        name: _unpack(payloads[0], name, limit)
        for kind, name in _NAMES.items()
        if (payloads := contents.payloads(kind))
    }
    if not png.well_formed(found.get("chunks", b"")):
        raise CorruptError("the section of PNG chunks holds something else")
    if contents.header.mode == Mode.PALETTE8 and "palette" not in found:
        raise TruncatedError("the file is cut before its palette")
    return found


def read_metadata(data: Bytes, contents: Contents) -> dict[str, bytes]:
    """The same of a file of which nothing else has to be read.

    Args:
        data: the file.
        contents: from `container.outline`.

    Raises:
        CorruptError, TruncatedError: see `unpack_metadata`.
    """
    ends = contents.ends()[1:]
    found = [
        section(data, contents, index)
        for index, (kind, _) in enumerate(contents.table)
        if kind in _NAMES and ends[index] <= len(data)
    ]
    return unpack_metadata(replace(contents, sections=found))


def _pack(data: bytes) -> bytes:
    deflated = zlib.compress(data, 9) if len(data) <= INFLATE_LIMIT else data
    return _DEFLATED + deflated if len(deflated) < len(data) else _STORED + data


def _unpack(payload: bytes, what: str, limit: int) -> bytes:
    if payload[:1] == _STORED:
        if len(payload) - 1 > limit:
            raise LimitError(f"the {what} section has more than {limit} bytes, the limit")
        return payload[1:]
    if payload[:1] != _DEFLATED:
        raise CorruptError(f"the {what} section is packed in an unknown way")
    return inflate(payload[1:], what, limit)


def inflate(payload: bytes, what: str, limit: int = INFLATE_LIMIT) -> bytes:
    """The data of a zlib stream.

    Args:
        what: the data, for error messages.
        limit: bytes that it may have.

    Raises:
        CorruptError: the stream is damaged or cut.
        LimitError: it is longer.
    """
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(payload, limit + 1)
    except zlib.error as error:
        raise CorruptError(f"the {what} section is damaged") from error
    if len(data) > limit:
        raise LimitError(f"the {what} section has more than {limit} bytes, the limit")
    if not stream.eof:
        raise CorruptError(f"the {what} section is cut")
    return data
