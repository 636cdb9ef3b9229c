"""JPEG 2000: what the boxes around a codestream hold beside the samples (ISO/IEC 15444-1)."""

from __future__ import annotations

from typing import Any

from ...bitstream.errors import LossWarning, warn
from .jpegxl import boxes

_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"

_PROFILES = (b"\2", b"\3")
"""First byte of a box of colour that holds a profile."""
_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Ids of the boxes that others defined."""


def metadata(data: bytes) -> dict[str, Any]:
    """ICC profile, EXIF and XMP of a file, by the attributes of `Raster`; a `LossWarning` else."""
    found, lost = {"icc": b"", "exif": b"", "xmp": b""}, list[str]()
    if not data.startswith(_MAGIC):
        return found
    for kind, body in boxes(data):
        if kind == b"jp2h":
            for inner, colour in boxes(body):
                if inner == b"colr" and colour[:1] in _PROFILES:
                    found["icc"] = colour[3:]
        elif kind == b"uuid" and body.startswith(_EXIF):
            found["exif"] = body[len(_EXIF) :].removeprefix(b"Exif\0\0")
        elif kind == b"uuid" and body.startswith(_XMP):
            found["xmp"] = body[len(_XMP) :]
        elif kind in (b"uuid", b"xml "):
            lost.append(f"box {kind.decode().strip()} of {len(body)} bytes")
    if lost:
        warn(LossWarning, f"of the JPEG 2000 file are not kept: {', '.join(lost)}")
    return found
