"""The .nzp container, version 1: magic, header, section payloads (docs/format.md).

    file     magic (8 bytes) version (1 byte) header payload*
    header   length (varint) fields table parameters crc32 (4 bytes)
    table    count (varint), then kind (varint) and length (varint) of each section
    payload  bytes crc32 (4 bytes)

The section table is in the header, so that a reader can tell a truncated file from a damaged one.
A payload's checksum continues the header's, so that a section copied from another file is noticed.
Data sections are ordered by importance: a file that was cut anywhere still holds the complete
sections before the cut.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import accumulate, pairwise

from .errors import (
    CorruptError,
    LimitError,
    NotNoisepressError,
    TruncatedError,
    UnknownIdError,
    VersionError,
)
from .header import UINT32, VARINT, Bytes, Field, pack, read_varint, unpack, write_varint

MAGIC = b"\x89NZP\r\n\x1a\n"
VERSION = 1
MAX_SIDE = 2**24
"""Largest width and height, in pixels."""


class SectionKind(IntEnum):
    """Section kinds; readers skip unknown kinds of `FIRST_SKIPPABLE` and above."""

    DATA = 0
    ALPHA = 1
    PALETTE = 2
    INDEX = 3
    GROUP = 4
    EXCEPTIONS = 5
    VALUES = 6
    REDUCTION = 7
    ICC = 64
    EXIF = 65
    XMP = 66
    CHUNKS = 67
    ANIMATION = 68
    DESCRIPTION = 69


FIRST_SKIPPABLE = 64
_KNOWN_KINDS = frozenset(SectionKind)

COMMON = (
    Field("codec", VARINT, 0, 2**16, "codec id"),
    Field("mode", VARINT, 0, 63, "sample layout id"),
    Field("width", VARINT, 1, MAX_SIDE, "columns of the image"),
    Field("height", VARINT, 1, MAX_SIDE, "rows of the image"),
    Field("check", UINT32, 0, 2**32 - 1, "CRC-32 of the decoded samples, row by row"),
)
TABLE = (Field("count", VARINT, 1, 4096, "sections of the whole file"),)
ENTRY = (
    Field("kind", VARINT, 0, 255, "section kind"),
    Field("length", VARINT, 0, 2**40, "bytes of the payload, without its checksum"),
)
CRC_BYTES = 4
"""Bytes of a checksum."""


@dataclass(frozen=True)
class Limits:
    """The largest files that a reader accepts; checked before any memory is allocated.

    Attributes:
        pixels: width times height.
        header: bytes of the header.
        metadata: bytes that a profile, EXIF, XMP or other metadata unpacks to, each.
        members: images of an archive.
    """

    pixels: int = 2**30
    header: int = 2**16
    metadata: int = 2**26
    members: int = 2**20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        kind: a `SectionKind`, or a plain integer for a kind that this release does not know.
        payload: bytes without their checksum.
    """

    kind: int
    payload: bytes


@dataclass(frozen=True)
class Header:
    """The fields that all codecs have, and the codec's own as uninterpreted bytes.

    Attributes:
        codec, mode: ids of the codec and the sample layout.
        width, height: size of the image in pixels.
        check: CRC-32 of the decoded samples, row by row; 0 if they depend on the machine.
        parameters: the codec's own fields, packed.
    """

    codec: int
    mode: int
    width: int
    height: int
    check: int
    parameters: bytes = b""


@dataclass(frozen=True)
class Contents:
    """A file, complete or truncated, with its checksums verified.

    Attributes:
        header: see `Header`.
        sections: the complete sections, in file order.
        table: kind of every section of the complete file, and bytes of its payload.
        start: file offset of the first payload.
        damaged: the section behind `sections` is there, but damaged.
        limits: that the file is read with.
    """

    header: Header
    sections: Sequence[Section]
    table: Sequence[tuple[int, int]]
    start: int
    damaged: bool = False
    limits: Limits = DEFAULT_LIMITS

    @property
    def truncated(self) -> bool:
        """True if the file ends, or is damaged, before the end of its last section."""
        return len(self.sections) < len(self.table)

    @property
    def missing(self) -> Sequence[int]:
        """Kinds of the sections that are not there, in file order."""
        return [kind for kind, _ in self.table[len(self.sections) :]]

    def payloads(self, kind: int) -> list[bytes]:
        """The payloads of the sections of one kind, in file order."""
        return [section.payload for section in self.sections if section.kind == kind]

    def only_payload(self) -> bytes:
        """The payload of the data section, for codecs that have one.

        Raises:
            CorruptError: there is none, or several.
        """
        payloads = self.payloads(SectionKind.DATA)
        if len(payloads) != 1:
            raise CorruptError(f"{len(payloads)} data sections where this codec has one")
        return payloads[0]

    def ends(self) -> list[int]:
        """File offsets of the ends of the header and of each section, in this order."""
        lengths = (length + CRC_BYTES for _, length in self.table)
        return list(accumulate(lengths, initial=self.start))

    def useful_ends(self) -> list[int]:
        """File offsets of the ends of the sections, without one that says nothing alone."""
        ends = self.ends()[1:]
        return ends[1:] if self.table[0][0] == SectionKind.REDUCTION and ends[1:] else ends


def write(header: Header, sections: Sequence[Section]) -> bytes:
    """The bytes of a file.

    Raises:
        FieldError: a header value is outside its range, or there is no section.
    """
    body = _pack_fields(header, sections) + header.parameters
    out = bytearray(MAGIC + bytes([VERSION]) + write_varint(len(body)) + body)
    checksum = zlib.crc32(out)
    out += checksum.to_bytes(CRC_BYTES, "little")
    for section in sections:
        out += section.payload
        out += zlib.crc32(section.payload, checksum).to_bytes(CRC_BYTES, "little")
    return bytes(out)


def _pack_fields(header: Header, sections: Sequence[Section]) -> bytes:
    """The common fields and the section table: a header without the codec's parameters."""
    body = pack(COMMON, {f.name: getattr(header, f.name) for f in COMMON})
    body += pack(TABLE, {"count": len(sections)})
    for section in sections:
        body += pack(ENTRY, {"kind": section.kind, "length": len(section.payload)})
    return body


def _unpack_fields(data: Bytes, position: int) -> tuple[Header, list[tuple[int, int]], int]:
    """A header without parameters, the section table, and the position after both."""
    values, position = unpack(COMMON, data, position)
    count, position = unpack(TABLE, data, position)
    table: list[tuple[int, int]] = []
    for _ in range(count["count"]):
        entry, position = unpack(ENTRY, data, position)
        table.append((entry["kind"], entry["length"]))
    return Header(**values, parameters=b""), table, position


def pack_member(contents: Contents, before: bytes | None) -> bytes:
    """A file as a member of an archive: without magic bytes, version and checksums.

    Args:
        contents: the complete file.
        before: parameters of the previous member, None for the first; equal ones are not stored
            again.
    """
    own = contents.header.parameters
    parameters = write_varint(0) if own == before else write_varint(len(own) + 1) + own
    fields = _pack_fields(contents.header, contents.sections)
    return b"".join([fields, parameters, *(part.payload for part in contents.sections)])


def unpack_member(data: bytes, position: int, before: bytes | None) -> tuple[bytes, bytes, int]:
    """Read an archive member that starts at a position; the inverse of `pack_member`.

    Args:
        before: parameters of the previous member, None for the first.

    Returns:
        The complete file, its parameters, and the position after the member.

    Raises:
        CorruptError: a field is wrong, or the first member has no parameters.
        TruncatedError: the data ends inside the member.
    """
    header, table, position = _unpack_fields(data, position)
    length, position = read_varint(data, position)
    if length:
        before, position = data[position : position + length - 1], position + length - 1
    if before is None:
        raise CorruptError("the group's first member has no parameters")
    sections = []
    for kind, length in table:
        sections.append(Section(kind, data[position : position + length]))
        position += length
    if position > len(data):
        raise TruncatedError("the group ends inside a member")
    return write(replace(header, parameters=before), sections), before, position


def outline(data: Bytes, limits: Limits = DEFAULT_LIMITS) -> Contents:
    """The header of a file, whatever follows it, as `Contents` without sections.

    Raises:
        NotNoisepressError, VersionError, TruncatedError, CorruptError, LimitError, UnknownIdError:
            see `read`.
    """
    if not data:
        raise TruncatedError("the file is empty")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotNoisepressError("not a .nzp file, or one damaged by a text-mode copy")
    if len(data) <= len(MAGIC):
        raise TruncatedError("the file ends inside its header")
    version = data[len(MAGIC)]
    if version != VERSION:
        raise VersionError(
            f"the file has format version {version}; this release reads version {VERSION}"
        )
    length, position = read_varint(data, len(MAGIC) + 1)
    if length > limits.header:
        raise LimitError(f"the header has {length} bytes; the limit is {limits.header} bytes")
    end = position + length
    start = end + CRC_BYTES
    if start > len(data):
        raise TruncatedError("the file ends inside its header")
    if zlib.crc32(data[:end]) != int.from_bytes(data[end:start], "little"):
        raise CorruptError("the header's checksum does not match")
    try:
        fields, table, position = _unpack_fields(data[:end], position)
    except TruncatedError as error:
        raise CorruptError("the header is shorter than its fields") from error
    header = replace(fields, parameters=data[position:end])
    if header.width * header.height > limits.pixels:
        raise LimitError(
            f"the image has {header.width} x {header.height} pixels; the limit is {limits.pixels}"
        )
    for kind, _ in table:
        if kind < FIRST_SKIPPABLE and kind not in _KNOWN_KINDS:
            raise UnknownIdError(f"section kind {kind} is not known to this release")
    return Contents(header, [], table, start, limits=limits)


def section(data: Bytes, contents: Contents, index: int) -> Section:
    """Read one section; the others may be damaged or missing.

    Args:
        data: the file.
        contents: from `outline`.
        index: place of the section in the table, from 0.

    Raises:
        TruncatedError: the file ends before the section does.
        CorruptError: the section's checksum is wrong.
    """
    return _section(data, contents, index, *contents.ends()[index : index + 2])


def _section(data: Bytes, contents: Contents, index: int, start: int, end: int) -> Section:
    if end > len(data):
        raise TruncatedError(f"the file ends inside section {index + 1}")
    payload = data[start : end - CRC_BYTES]
    seed = int.from_bytes(data[contents.start - CRC_BYTES : contents.start], "little")
    if zlib.crc32(payload, seed) != int.from_bytes(data[end - CRC_BYTES : end], "little"):
        raise CorruptError(f"the checksum of section {index + 1} does not match")
    return Section(contents.table[index][0], payload)


def read(data: Bytes, limits: Limits = DEFAULT_LIMITS, *, partial: bool = False) -> Contents:
    """The header and the complete sections of a file, which may be truncated.

    Args:
        partial: of a file with a damaged section, read what is before it.

    Raises:
        NotNoisepressError: the file does not start with the magic bytes.
        VersionError: the file has another format version.
        TruncatedError: the file ends inside its header.
        CorruptError: a checksum or a field is wrong, or bytes follow the last section.
        LimitError: the file exceeds `limits`.
        UnknownIdError: a section that cannot be skipped has an unknown kind.
    """
    contents = outline(data, limits)
    ends = contents.ends()
    sections: list[Section] = []
    damaged = False
    for index, (start, end) in enumerate(pairwise(ends)):
        if end > len(data):
            break
        try:
            sections.append(_section(data, contents, index, start, end))
        except CorruptError:
            if not partial:
                raise
            damaged = True
            break
    is_archive = contents.table[:1] and contents.table[0][0] == SectionKind.INDEX
    if len(data) > ends[-1] and not is_archive:  # others may follow an archive
        raise CorruptError(f"{len(data) - ends[-1]} bytes follow the last section")
    return replace(contents, sections=sections, damaged=damaged)


def truncate(data: Bytes, max_bytes: int) -> bytes:
    """The longest beginning of a file, of at most `max_bytes` bytes, that ends with a section.

    Raises:
        TruncatedError: the header and the first section have more than `max_bytes` bytes, or the
            file ends before them.
        NotNoisepressError, VersionError, CorruptError, LimitError, UnknownIdError: see `read`.
    """
    contents = read(data)
    ends = contents.useful_ends()
    fitting = [end for end in ends if end <= min(max_bytes, len(data))]
    if not fitting:
        raise TruncatedError(
            f"{max_bytes} bytes hold no section; at least {ends[0]} bytes are needed"
        )
    return data[: fitting[-1]]
