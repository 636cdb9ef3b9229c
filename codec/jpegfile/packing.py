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
    deflated = zlib.compress(file, 9) if len(file) <= INFLATE_LIMIT else file
    payloads = [file, deflated, _transcoded(file) or file]
    payload = min(payloads, key=len)
    return PACKINGS[payloads.index(payload)], payload


def _transcoded(file: bytes) -> bytes | None:
    """The file as JPEG XL; None where libjxl refuses it or does not give it back."""
    try:
        payload = bytes(imagecodecs.jpegxl_encode_jpeg(file, numthreads=1))
        return payload if _restored(payload) == file else None
    except imagecodecs.JpegxlError:  # arithmetic coding, 12 bits, CMYK, damage
        return None


def _restored(payload: bytes) -> bytes:
    return bytes(imagecodecs.jpegxl_decode_jpeg(payload, numthreads=1))


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
        return _restored(payload)
    except Exception as error:  # of the library, which also raises others than its own
        raise CorruptError(f"the kept JPEG file does not unpack: {one_line(error)}") from error
