"""JPEG XL: what its header tells before pixels are decoded (ISO/IEC 18181-1), and images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np

from ...bitstream.errors import LossWarning, UnsupportedImageError, warn
from .raster import Raster, check_page, check_size, mode_of, plain_copy, to_whole_range

SIGNATURE = b"\xff\x0a"
"""First bytes of a codestream."""

_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"
"""First bytes of a file of boxes."""

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))
_BITS = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_BITS = ((32, 0), (16, 0), (24, 0), (1, 6))
_CHANNELS = ((0, 0), (1, 0), (2, 4), (1, 12))
_TICKS = ((100, 0), (1000, 0), (1, 10), (1, 30))
_TICK_PARTS = ((1, 0), (1001, 0), (1, 8), (1, 10))
_LOOPS = ((0, 0), (0, 3), (0, 16), (0, 32))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_SHIFT = ((0, 0), (3, 0), (4, 0), (1, 3))
_NAME = ((0, 0), (0, 4), (16, 5), (48, 10))
"""Numbers by a selector of 2 bits: an offset, and the bits that are added to it."""

_ALPHA, _GREY = 0, 1


@dataclass(frozen=True)
class Codestream:
    """The layout of a JPEG XL image.

    Attributes:
        width, height: in pixels, as stored.
        orientation: as in EXIF, 1 for upright.
        preview: it has a preview; what follows is not read then.
        animated: it has frames.
        bits: of a sample.
        is_float: samples are floating-point numbers.
        colours: channels of colour, 1 or 3.
        alpha: it has one extra channel, and that is straight opacity of as many bits.
        extra: channels beside the colours.
        profile: it has an ICC profile.
    """

    width: int
    height: int
    orientation: int = 1
    preview: bool = False
    animated: bool = False
    bits: int = 8
    is_float: bool = False
    colours: int = 3
    alpha: bool = False
    extra: int = 0
    profile: bool = False


class _Bits:
    """Numbers from bytes, low bits first; behind the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self._value, self._at = int.from_bytes(data, "little"), 0

    def take(self, count: int) -> int:
        value = self._value >> self._at & ((1 << count) - 1)
        self._at += count
        return value

    def number(self, kinds: tuple[tuple[int, int], ...]) -> int:
        offset, bits = kinds[self.take(2)]
        return offset + self.take(bits)


def parse(data: bytes) -> Codestream | None:
    """The header of a codestream; None for other data.

    A header that is cut reads as if zeros followed.
    """
    if not data.startswith(SIGNATURE):
        return None
    bits = _Bits(data[2:16384])
    width, height = _size(bits)
    if bits.take(1):  # all that follows is usual
        return Codestream(width, height)
    orientation, animated = 1, False
    if bits.take(1):
        orientation = 1 + bits.take(3)
        if bits.take(1):
            _size(bits)
        preview, animated = bool(bits.take(1)), bool(bits.take(1))
        if preview:
            return Codestream(width, height, orientation, preview=True)
        if animated:
            for kinds in (_TICKS, _TICK_PARTS, _LOOPS):
                bits.number(kinds)
            bits.take(1)
    is_float, depth = _depth(bits)
    bits.take(1)
    extra = bits.number(_CHANNELS)
    # Several are not supported, whatever they are: a header of few bytes may claim thousands.
    depths = [_extra_channel(bits) for _ in range(min(extra, 2))]
    bits.take(1)
    grey, profile = _colours(bits)
    return Codestream(
        width,
        height,
        orientation,
        False,
        animated,
        depth,
        is_float,
        colours=1 if grey else 3,
        alpha=depths == [(is_float, depth)],
        extra=extra,
        profile=profile,
    )


def read(data: bytes, stream: bytes, page: int | None, pixels: int) -> Raster:
    """The image of a file, or one of its frames, upright.

    Args:
        stream: its codestream.
        page: which frame, from 1; None for a file of one.
        pixels: that it may have.

    Raises:
        UnsupportedImageError: it is of a kind that would not be kept exactly, or there is no such
            frame.
        LimitError: it has more pixels.
    """
    found = parse(stream)
    assert found
    reason = _refusal(found)
    if reason:
        raise UnsupportedImageError(f"JPEG XL {reason}")
    check_size(found.width, found.height, pixels)
    decoded = np.asarray(imagecodecs.jpegxl_decode(data, index=None, numthreads=1))
    channels = found.colours + found.extra
    side = -2 if channels == 1 else -3  # orientation may have changed the sides
    frames = decoded.reshape(-1, *decoded.shape[side:][:2], channels)
    check_page(page, len(frames), "JPEG XL")
    samples = frames[(page or 1) - 1]
    if found.bits not in (8, 16):
        samples = to_whole_range(samples, (1 << found.bits) - 1)
    samples = plain_copy(samples, samples.dtype)
    found_boxes = dict(boxes(data)) if data.startswith(_BOXES) else {}
    if b"brob" in found_boxes:
        warn(
            LossWarning,
            "of the JPEG XL file are not kept: EXIF, XMP and others that are compressed",
        )
    exif = found_boxes.get(b"Exif", b"")
    start = 4 + int.from_bytes(exif[:4])
    return Raster(samples, mode_of(samples), exif=exif[start:], xmp=found_boxes.get(b"xml ", b""))


def _refusal(found: Codestream) -> str:
    """Why an image is not read; empty if it is."""
    if found.preview:
        return "with a preview, images without one are supported"
    if found.is_float or found.bits > 16:
        return f"of {found.bits} bits or floats, integers of up to 16 bits are supported"
    if found.extra and not found.alpha:
        return f"with {found.extra} extra channels, straight opacity of the same depth is supported"
    return "with an ICC profile, which would be lost: convert it to PNG" if found.profile else ""


def codestream(data: bytes) -> bytes:
    """The codestream of a file, with boxes around it or without; empty if there is none."""
    if not data.startswith(_BOXES):
        return data if data.startswith(SIGNATURE) else b""
    found = boxes(data)
    return b"".join(
        body if kind == b"jxlc" else body[4:] for kind, body in found if kind in (b"jxlc", b"jxlp")
    )


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The letters and the contents of each box of a file; of one that is cut, what is there."""
    at = 0
    while at + 8 <= len(data):
        length, start = int.from_bytes(data[at : at + 4]), at + 8
        kind = data[at + 4 : start]
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8]), start + 8
        end = at + length if length else len(data)
        yield kind, data[start:end]
        at = max(end, start)


def _size(bits: _Bits) -> tuple[int, int]:
    """Width and height."""
    small = bits.take(1)

    def side() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.number(_SIDE)

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    numerator, denominator = _RATIOS[ratio - 1]
    return height * numerator // denominator, height


def _depth(bits: _Bits) -> tuple[bool, int]:
    """Whether samples are floats, and their bits."""
    is_float = bool(bits.take(1))
    depth = bits.number(_FLOAT_BITS if is_float else _BITS)
    if is_float:
        bits.take(4)
    return is_float, depth


def _extra_channel(bits: _Bits) -> tuple[bool, int] | None:
    """The depth of straight opacity of the image's resolution; None for another channel."""
    if bits.take(1):
        return False, 8
    kind, depth, shift = bits.number(_ENUM), _depth(bits), bits.number(_SHIFT)
    bits.take(8 * bits.number(_NAME))
    if kind != _ALPHA:  # the channel has more fields, but the image is not supported anyway
        return None
    premultiplied = bits.take(1)
    return None if shift or premultiplied else depth


def _colours(bits: _Bits) -> tuple[bool, bool]:
    """Whether an image is grey, and whether it has an ICC profile."""
    if bits.take(1):
        return False, False
    profile = bool(bits.take(1))
    return bits.number(_ENUM) == _GREY, profile
