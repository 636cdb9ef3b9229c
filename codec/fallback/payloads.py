"""What the payloads of several formats share: the pixels that they hold, and errors.

Indices compress better either as they are or as the colours that they stand for, by up to a fifth
both ways, so a PALETTE8 payload of WebP and JPEG XL starts with one byte that says which of the
two follows. Colours need a palette from which the indices can be told: each colour means the first
entry of that colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from ...bitstream.errors import CorruptError, one_line
from ..image.raster import Mode, Palette, Raster, Samples

_AS_INDICES, _AS_COLOURS = b"\0", b"\1"


def smallest(raster: Raster, encode: Callable[[Samples], bytes]) -> bytes:
    """The smallest payload that a format makes of an image.

    Args:
        encode: a file of the format from pixels (h, w, 1 to 4).
    """
    plain = encode(raster.samples)
    if raster.mode is not Mode.PALETTE8:
        return plain
    table = Palette.unpack(raster.palette).table()
    used = np.unique(raster.samples)
    if not np.array_equal(_indices(table[used], table), used):
        return _AS_INDICES + plain
    colours = _AS_COLOURS + encode(table[raster.samples[:, :, 0]])
    return min(_AS_INDICES + plain, colours, key=len)


def restored(
    payload: bytes, mode: Mode, palette: bytes, decode: Callable[[bytes, int], Samples]
) -> Samples:
    """Samples (h, w, c) of a `smallest` payload.

    Args:
        palette: `Raster.palette`, for PALETTE8.
        decode: pixels from a file and their channels.

    Raises:
        CorruptError: the payload or the palette is damaged, or it holds what the mode cannot.
    """
    kind = b""
    if mode is Mode.PALETTE8:
        kind, payload = payload[:1], payload[1:]
        if kind not in (_AS_INDICES, _AS_COLOURS):
            raise CorruptError(f"payload of indices starts with {kind!r}, 0 or 1 expected")
    if kind == _AS_COLOURS:
        with corrupt_payload("palette"):
            table = Palette.unpack(palette).table()
        return _indices(decode(payload, table.shape[1]), table)[:, :, np.newaxis]
    return in_range(decode(payload, mode.channels), mode)


def in_range(samples: Samples, mode: Mode) -> Samples:
    """The samples themselves.

    Raises:
        CorruptError: a BILEVEL image has others than 0 and 1.
    """
    if mode is Mode.BILEVEL and int(samples.max()) > 1:
        raise CorruptError(f"payload of a BILEVEL image holds {int(samples.max())} besides 0 and 1")
    return samples


@contextmanager
def corrupt_payload(kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a `CorruptError` with one line."""
    try:
        yield
    except UnidentifiedImageError as error:  # its message holds an address, which varies
        raise CorruptError(f"{kind} payload is no {kind} image") from error
    except Exception as error:
        raise CorruptError(f"{kind} payload does not decode: {one_line(error)}") from error


def _indices(pixels: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """First palette entry of every pixel's colour: shape (..., c) to (...).

    Raises:
        CorruptError: a colour is not in the palette.
    """
    known, first = np.unique(_codes(table), return_index=True)
    codes = _codes(pixels)
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    if not np.array_equal(known[at], codes):
        raise CorruptError("payload has a colour that is not in the palette")
    indices: NDArray[np.uint8] = first[at].astype(np.uint8)
    return indices


def _codes(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Each pixel's channels as one number: shape (..., c) to (...)."""
    codes = np.zeros(pixels.shape[:-1], np.uint32)
    for channel in range(pixels.shape[-1]):
        codes = (codes << np.uint32(8)) | pixels[..., channel]
    return codes
