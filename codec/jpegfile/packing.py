"""JPEG files as payloads: as JPEG XL where every byte comes back, else deflated or as they are.

JPEG XL codes the quantised coefficients of a JPEG file in fewer bytes, and keeps what is needed to
write the same file again (ISO/IEC 18181-2, JPEG bitstream reconstruction).
"""

from __future__ import annotations

import zlib
from typing import Literal, get_args

import imagecodecs

from ...bitstream.errors import CorruptError, one_line
from ..image.metadata import INFLATE_LIMIT, inflate

Packing = Literal["kept as it is", "kept deflated", "kept as JPEG XL"]
PACKINGS: tuple[Packing, ...] = get_args(Packing)


def pack_file(file: bytes) -> tuple[Packing, bytes]:
    """The smallest payload from which the file comes back, and how it is packed."""
    packed = dict(zip(PACKINGS, (file, _deflated(file), _transcoded(file)), strict=True))
    by_size = sorted((len(payload), packing) for packing, payload in packed.items() if payload)
    for _, packing in by_size:
        if unpack_file(packing, packed[packing]) == file:
            break
    return packing, packed[packing]


def _deflated(file: bytes) -> bytes:
    """The file deflated; empty for one that is too large."""
    return zlib.compress(file, 9) if len(file) <= INFLATE_LIMIT else b""


def _transcoded(file: bytes) -> bytes:
    """The file as JPEG XL; empty where libjxl refuses it."""
    try:
        return bytes(imagecodecs.jpegxl_encode_jpeg(file, numthreads=1))
    except imagecodecs.JpegxlError:  # arithmetic coding, 12 bits, CMYK, damage
        return b""


def unpack_file(packing: Packing, payload: bytes) -> bytes:
    """Inverse of `pack_file`.

    Raises:
        CorruptError: the payload is damaged.
    """
    match packing:
        case "kept as it is":
            return payload
        case "kept deflated":
            return inflate(payload, "JPEG")
    try:
        return bytes(imagecodecs.jpegxl_decode_jpeg(payload, numthreads=1))
    except Exception as error:  # of the library, which also raises others than its own
        raise CorruptError(f"the kept JPEG file does not unpack: {one_line(error)}") from error
