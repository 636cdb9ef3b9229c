"""JPEG: what the markers of a file tell without its picture."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

SUFFIXES = (".jpg", ".jpeg")

_START = b"\xff\xd8\xff"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header, of every process: baseline, progressive, lossless and so on."""
_SCAN, _END = 0xDA, 0xD9
_APP1, _ADOBE, _COMMENT = 0xE1, 0xEE, 0xFE
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker in a scan: neither a stuffed byte, nor a restart, nor a fill byte."""

_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_HEAD = len(_EXTENSION) + 32 + 8
"""Bytes of a part of extended XMP before its text: name, digest, length of all, place."""
_POINTER = re.compile(rb"""\s+xmpNote:HasExtendedXMP\s*=\s*(["'])([0-9A-Fa-f]{32})\1""")
_DESCRIPTIONS = re.compile(rb"<rdf:RDF\b[^>]*>(.*)</rdf:RDF>", re.DOTALL)
_LAST_TAG = re.compile(rb"</(?:rdf:RDF|[\w:]+)>(?!.*</rdf:RDF>)", re.DOTALL)


def frame_size(data: bytes) -> tuple[int, int] | None:
    """Columns and rows that a frame header states; None for what is no JPEG file with pixels."""
    for marker, start, _ in _segments(data):
        if marker in _FRAMES and start + 5 <= len(data):
            height, width = struct.unpack_from(">HH", data, start + 1)
            return (width, height) if width and height else None
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The markers before the first scan, with the places where their contents start and end."""
    at = 2 if data.startswith(_START) else len(data)
    while at + 4 <= len(data):
        mark, marker = data[at : at + 2]
        if mark != 0xFF or marker in (0x00, 0xFF):  # fill bytes, and what readers skip
            at += 1
        elif marker in (_SCAN, _END):
            return
        else:
            end = at + 2 + max(int.from_bytes(data[at + 2 : at + 4]), 2)
            yield marker, at + 4, end
            at = end


def metadata(data: bytes, xmp: bytes) -> dict[str, Any]:
    """XMP of a file with its extension, as an attribute of `Raster`.

    XMP of more than 64 KB is a packet and an extension in parts (XMP specification, part 3). Here
    it is one packet: the descriptions of the extension follow those of the packet, which no longer
    points to it. A packet whose extension is not whole stays as it is.

    Args:
        xmp: the packet.
    """
    found = _POINTER.search(xmp)
    if not found:
        return {"xmp": xmp}
    parts: dict[int, bytes] = {}
    total = 0
    for marker, start, end in _segments(data):
        body = data[start:end]
        if marker == _APP1 and body.startswith(_EXTENSION + found[2]):
            total, place = struct.unpack(">II", body[_HEAD - 8 : _HEAD])
            parts[place] = body[_HEAD:]
    text = bytearray()
    for place, part in sorted(parts.items()):
        if place == len(text):
            text += part
    if not total or len(text) != total:
        return {"xmp": xmp}
    packet = xmp[: found.start()] + xmp[found.end() :]
    described = _DESCRIPTIONS.search(text)
    added = described[1] if described else bytes(text)
    last = _LAST_TAG.search(packet)
    place = last.start() if last else len(packet)
    return {"xmp": packet[:place] + added + packet[place:]}


def beside(data: bytes) -> list[str]:
    """What a file has beside its picture, ICC profile, EXIF and XMP, in words."""
    found = []
    for marker, start, end in _segments(data):
        body = data[start:end]
        match marker:
            case 0xE2 if body.startswith(b"MPF\0"):
                found.append("further pictures")
            case 0xE2 if body.startswith(b"urn:iso:std:iso:ts:21496:-1\0"):
                found.append("a gain map")
            case 0xE1 if b"http://ns.adobe.com/hdr-gain-map/" in body:
                found.append("a gain map")
            case 0xEB if body.startswith(b"JP"):
                found.append("a manifest (JUMBF)")
            case 0xED if body.startswith(b"Photoshop 3.0\0"):
                found.append("IPTC and Photoshop's fields")
            case 0xFE:  # a comment
                found.append("a comment")
    behind = len(data) - _end(data)
    if behind > 0:
        found.append(f"{behind} bytes behind the picture")
    return list(dict.fromkeys(found))


def without(data: bytes, colour: bool, orientation: bytes) -> bytes:
    """A file with the same picture, without metadata.

    Args:
        colour: keep the ICC profile.
        orientation: EXIF that takes the place of the file's, or none.
    """
    out, at = bytearray(data[:2]), 2
    if orientation:
        body = b"Exif\0\0" + orientation
        out += b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body
    for marker, start, at in _segments(data):
        body = data[start:at]
        profile = marker == 0xE2 and body.startswith(b"ICC_PROFILE\0")
        # JFIF's and Adobe's segments say how the components become colours.
        described = 0xE0 < marker <= 0xEF and marker != _ADOBE
        if marker != _COMMENT and (not described or (colour and profile)):
            out += bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body
    return bytes(out) + data[at : _end(data)]


def _end(data: bytes) -> int:
    """Where the picture of a file ends; the end of the data if nothing says so."""
    at = 2
    while found := _MARKER.search(data, at):
        at = found.end()
        if data[at - 1] == _END:
            return at
        at += int.from_bytes(data[at : at + 2])
    return len(data)
