"""JPEG: what the markers of a file tell without its picture."""

from __future__ import annotations

import struct

SUFFIXES = (".jpg", ".jpeg")

_START = b"\xff\xd8\xff"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header, of every process: baseline, progressive, lossless and so on."""
_SCAN, _END = 0xDA, 0xD9


def frame_size(data: bytes) -> tuple[int, int] | None:
    """Columns and rows that a frame header states; None for what is no JPEG file with pixels."""
    if not data.startswith(_START):
        return None
    at = 2
    while at + 9 <= len(data):
        mark, marker = data[at : at + 2]
        if mark != 0xFF or marker in (0x00, 0xFF):  # fill bytes, and what readers skip
            at += 1
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return (width, height) if width and height else None
        elif marker in (_SCAN, _END):
            break
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
