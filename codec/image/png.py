"""PNG: the chunks of a file beside those of its samples."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ...bitstream.errors import UnsupportedImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk: TypeAlias = tuple[bytes, bytes]
"""Four letters and a body."""

_SAMPLES = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"CgBI")
)
"""Chunks that samples are made of, those of animations included."""
_COLOUR = frozenset((b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI", b"mDCv", b"cLLi"))
"""Chunks that say how samples are to be shown."""
_TIME = b"tIME"
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_XMP, _EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"
_SAFE_TO_COPY = 0x20
"""Bit of the last letter: the chunk is right whatever the samples are (PNG, section 5.4)."""


def split(data: bytes) -> tuple[bytes, list[Chunk], int]:
    """A file with those chunks only that its samples need, the others, and the bytes behind it.

    Raises:
        UnsupportedImageError: the checksum of one of the others is wrong.
    """
    picture, others, at = bytearray(SIGNATURE), list[Chunk](), len(SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : end - 4]
        if end > len(data):
            break
        if kind in _SAMPLES:
            picture += data[at:end]
        elif zlib.crc32(kind + body) == int.from_bytes(data[end - 4 : end]):
            others.append((kind, body))
        else:
            name = kind.decode("latin-1")
            raise UnsupportedImageError(f"PNG with a wrong checksum in its chunk {name}")
        at = end
        if kind == b"IEND":
            return bytes(picture), others, len(data) - at
    return bytes(picture) + data[at:], others, 0


@dataclass(frozen=True)
class Ancillary:
    """What the chunks beside the samples hold.

    Attributes:
        icc, exif, xmp: see `raster.Raster`.
        kept: chunks that are kept as they are, packed.
        lost: what is not kept, in words.
    """

    icc: bytes
    exif: bytes
    xmp: bytes
    kept: bytes
    lost: Sequence[str]


def sort(chunks: Sequence[Chunk], bits: int, limit: int) -> Ancillary:
    """The chunks beside the samples by what becomes of them.

    Args:
        bits: length of the chunk of significant bits in the layout that the image is read to.
        limit: bytes that a deflated profile, EXIF or XMP may have.
    """
    found: dict[str, bytes] = {}
    kept: list[Chunk] = []
    lost: list[str] = []
    for kind, body in chunks:
        name = kind.decode("latin-1")
        keyword = body.partition(b"\0")[0]
        if kind == b"iCCP":
            _put(found, lost, "icc", "ICC profile", _inflated(body, limit, len(keyword) + 2))
        elif kind == b"eXIf":
            _put(found, lost, "exif", "EXIF", body.removeprefix(b"Exif\0\0"))
        elif kind == b"iTXt" and keyword == _XMP:
            _put(found, lost, "xmp", "XMP", _international(body, limit))
        elif kind in _TEXT and keyword == _EXIF and "exif" not in found:
            text = _inflated(body, limit, len(keyword) + 2)
            text = body[len(keyword) + 1 :] if kind == b"tEXt" else text
            _put(found, lost, "exif", "EXIF in a text", _digits(text))
        elif _is_kept(kind, body, bits):
            kept.append((kind, body))
        else:
            lost.append(f"chunk {name}")
    packed = b"".join(chunk(*each) for each in kept)
    return Ancillary(
        found.get("icc", b""), found.get("exif", b""), found.get("xmp", b""), packed, lost
    )


def _is_kept(kind: bytes, body: bytes, bits: int) -> bool:
    """Whether a chunk is kept as it is."""
    if kind == b"sBIT":
        return len(body) == bits
    return kind in _COLOUR or kind == _TIME or bool(kind[3] & _SAFE_TO_COPY)


def _put(found: dict[str, bytes], lost: list[str], key: str, name: str, data: bytes | None) -> None:
    """Note what a chunk holds; None: it is damaged."""
    if data is None:
        lost.append(f"{name}, which is damaged")
    else:
        found[key] = data


def _inflated(body: bytes, limit: int, start: int) -> bytes | None:
    """The zlib stream at a place; None if it is damaged or too long."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(body[start:], limit)
    except zlib.error:
        return None
    return data if stream.eof else None


def _international(body: bytes, limit: int) -> bytes | None:
    """The text of an iTXt chunk."""
    rest = body.partition(b"\0")[2]
    flags, text = rest[:2], rest[2:].split(b"\0", 2)
    if len(flags) < 2 or len(text) < 3:
        return None
    return _inflated(text[2], limit, 0) if flags[0] else text[2]


def _digits(text: bytes | None) -> bytes | None:
    """Hexadecimal digits after a blank line, the name and the length, as ImageMagick writes."""
    if text is None:
        return None
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii")).removeprefix(
            b"Exif\0\0"
        )
    except ValueError:
        return None


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a file: length, four letters, body, CRC."""
    crc = zlib.crc32(kind + body)
    return len(body).to_bytes(4) + kind + body + crc.to_bytes(4)


def without(packed: bytes, colour: bool) -> bytes:
    """Packed chunks without text, time and all that is not known.

    Args:
        colour: keep those that say how the samples are to be shown, and the resolution.
    """
    shown = {*_COLOUR, b"sBIT", b"pHYs"} if colour else set[bytes]()
    _, chunks, _ = split(SIGNATURE + packed)
    return b"".join(chunk(*each) for each in chunks if each[0] in shown)


def well_formed(packed: bytes) -> bool:
    """Whether bytes are whole chunks with right checksums, none of them of samples."""
    try:
        rest, chunks, _ = split(SIGNATURE + packed)
    except UnsupportedImageError:
        return False
    return rest == SIGNATURE and all(kind.isalpha() for kind, _ in chunks)
