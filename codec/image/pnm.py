"""PNM and PAM files that Pillow does not read, or not exactly: PAM, and maxima other than 255."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bitstream.errors import UnsupportedImageError
from .raster import Mode, Raster, Samples, check_size, mode_of, to_whole_range

_HEADER = re.compile(
    rb"P([2356])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:#[^\n]*\n)?\s"
)
_PAM = b"P7\n"
_PAM_FIELDS = (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
_PLAIN, _COLOUR = (2, 3), (3, 6)


def read(data: bytes, pixels: int) -> Raster | None:
    """The image of a file; None for other files, and those that Pillow reads exactly.

    Samples are scaled from the maximum of the file to that of 8 or 16 bits and rounded, which keeps
    them apart.

    Args:
        pixels: that the image may have.

    Raises:
        UnsupportedImageError: the file is damaged, or a PAM of another kind.
        LimitError: the image has more pixels.
    """
    if data.startswith(_PAM):
        return _read_pam(data, pixels)
    found = _HEADER.match(data)
    if not found:
        return None
    kind, width, height, maximum = map(int, found.groups())
    if maximum == 255:
        return None
    shape = height, width, 3 if kind in _COLOUR else 1
    check_size(width, height, pixels)
    samples = _samples(data[found.end() :], shape, maximum, plain=kind in _PLAIN)
    return Raster(samples, mode_of(samples))


def _read_pam(data: bytes, pixels: int) -> Raster:
    """The image of a PAM file."""
    head, end, body = data.partition(b"\nENDHDR\n")
    words = [line.split() for line in head.splitlines() if not line.startswith(b"#")]
    fields = {name[0]: b" ".join(name[1:]) for name in islice(words, 1, None) if name}
    if not end or any(not fields.get(name, b"").isdigit() for name in _PAM_FIELDS):
        raise UnsupportedImageError("damaged header of a PAM file")
    width, height, depth, maximum = (int(fields[name]) for name in _PAM_FIELDS)
    kind = fields.get(b"TUPLTYPE", b"").decode("latin-1")
    plain = kind.removesuffix("_ALPHA")
    colours = {"BLACKANDWHITE": 1, "GRAYSCALE": 1, "RGB": 3}.get(plain)
    if colours is None or depth != colours + (kind != plain):
        raise UnsupportedImageError(
            f"PAM of type {kind[:40] or 'unknown'} with {depth} channels: BLACKANDWHITE, "
            "GRAYSCALE and RGB, with or without _ALPHA, are supported"
        )
    check_size(width, height, pixels)
    samples = _samples(body, (height, width, depth), maximum, plain=False)
    if kind == "BLACKANDWHITE":
        return Raster(samples // np.uint8(255), Mode.BILEVEL)
    return Raster(samples, mode_of(samples))


def _samples(data: bytes, shape: tuple[int, int, int], maximum: int, plain: bool) -> Samples:
    """Samples over the whole range of 8 or 16 bits.

    Raises:
        UnsupportedImageError: the maximum is wrong, samples are missing or above it.
    """
    height, width, channels = shape
    if not 1 <= maximum <= 65535:
        raise UnsupportedImageError(f"PNM with maximum {maximum}, 1 to 65535 is supported")
    count, dtype = height * width * channels, np.dtype(">u2" if maximum > 255 else "u1")
    values: NDArray[Any]
    if plain:
        text = re.sub(rb"#[^\n]*", b"", data).split(maxsplit=count)[:count]
        if any(not word.isdigit() or len(word) > 5 for word in text):
            raise UnsupportedImageError("damaged samples of a PNM file")
        values = np.array(text, np.uint32)
    else:
        values = np.frombuffer(data[: count * dtype.itemsize], dtype)
    if len(values) < count:
        raise UnsupportedImageError(f"PNM with {len(values)} of {count} samples")
    if int(values.max()) > maximum:
        raise UnsupportedImageError(f"PNM with sample {values.max()} and maximum {maximum}")
    return to_whole_range(values.reshape(shape), maximum)
