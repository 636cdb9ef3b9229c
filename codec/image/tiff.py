"""TIFF: which files Pillow reads exactly, and 16-bit colour that it would reduce."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ...bitstream.errors import UnsupportedImageError
from .pillow import load
from .raster import PILLOW_MODES, Mode, Raster, Samples, check_size, plain_copy

Tags = Mapping[int, Any]
"""Of a page: numbers to values."""

_UNSIGNED = 1
_REDUCED = 1
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_RGB = 2
_COLOURS: Mapping[int, int] = {_BLACK_IS_ZERO: 1, _RGB: 3}
"""Channels of colour by the photometric interpretation."""
_STRAIGHT_ALPHA = 2
_INTERLEAVED, _SEPARATE_PLANES = 1, 2
_UPRIGHT: Mapping[int, Callable[[Samples], Samples]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[::-1],
}
"""By orientation: rows and columns as stored to upright ones. Unknown ones count as 1."""


def is_deep(image: TiffImageFile) -> bool:
    """Whether a file has several channels of 16 bits, which Pillow reduces to 8."""
    bits = _values(image.tag_v2, Tag.BitsPerSample, 1)
    return bits[0] == 16 and _value(image.tag_v2, Tag.SamplesPerPixel, 1) > 1


def is_thumbnail(image: TiffImageFile, index: int) -> bool:
    """Whether a page, counted from 0, says that it is a reduced version of another one."""
    image.seek(index)
    return bool(_value(image.tag_v2, Tag.NewSubfileType, 0) & _REDUCED)


def read(data: bytes, pixels: int) -> Raster | None:
    """Grey with opacity of 16 bits, which Pillow does not open, upright; None for other files.

    Args:
        pixels: that the image may have.

    Raises:
        UnsupportedImageError: the file has bands of which no layout has as many.
        LimitError: the image has more pixels.
    """
    tags = _single(data)
    if tags is None:
        return None
    bits, channels = _values(tags, Tag.BitsPerSample, 1), _value(tags, Tag.SamplesPerPixel, 1)
    shades = _value(tags, Tag.PhotometricInterpretation, _BLACK_IS_ZERO)
    extra = _values(tags, Tag.ExtraSamples, 0)
    further = channels - _COLOURS.get(shades, channels)
    is_grey = (shades, further, {*bits}) == (_BLACK_IS_ZERO, 1, {16})
    if further > 1 or (is_grey and extra != (_STRAIGHT_ALPHA,)):
        colour = "grey" if shades == _BLACK_IS_ZERO else "RGB"
        raise UnsupportedImageError(
            f"TIFF with bands beside {colour} (extra samples {extra}), straight alpha alone is "
            "supported: save the bands as images"
        )
    if not is_grey or {*_values(tags, Tag.SampleFormat, _UNSIGNED)} != {_UNSIGNED}:
        return None
    check_size(_value(tags, Tag.ImageWidth, 1), _value(tags, Tag.ImageLength, 1), pixels)
    samples = _decode(data, 0, tags)
    icc, xmp = (bytes(tags.get(tag, b"")) for tag in (Tag.InterColorProfile, Tag.XMLPacket))
    return Raster(plain_copy(samples, np.uint16), Mode.LA16, icc=icc, xmp=xmp)


def _single(data: bytes) -> Tags | None:
    """The tags of a file with one page; None for another file."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    tags = ImageFileDirectory_v2(data[:8])
    stream = BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)
    return None if tags.next else tags


def check(image: TiffImageFile) -> None:
    """Check, by the tags of a file, that Pillow reads the samples as stored.

    Raises:
        UnsupportedImageError: it does not.
    """
    mode = PILLOW_MODES.get(image.mode)
    if mode is None:
        return  # refused by its mode, whose name says more than the tags
    bits = {*_values(image.tag_v2, Tag.BitsPerSample, 1)[: mode.channels]}
    if bits not in ({1}, {2}, {4}, {8}, {16}) or (mode.channels > 1 and min(bits) < 8):
        found = ", ".join(map(str, sorted(bits)))
        raise UnsupportedImageError(
            f"TIFF with {found} bits a sample, 1, 2, 4, 8 and 16 bits are supported"
        )
    if {*_values(image.tag_v2, Tag.SampleFormat, _UNSIGNED)} != {_UNSIGNED}:
        raise UnsupportedImageError("TIFF with signed or float samples, unsigned is supported")
    channels = _value(image.tag_v2, Tag.SamplesPerPixel, 1)
    if channels != mode.channels:
        raise UnsupportedImageError(
            f"TIFF with {channels} samples a pixel, {mode.channels} are supported for {image.mode}"
        )
    extra = _values(image.tag_v2, Tag.ExtraSamples, _STRAIGHT_ALPHA)
    if mode.has_alpha and extra not in ((), (_STRAIGHT_ALPHA,)):
        raise UnsupportedImageError(
            f"TIFF with premultiplied or unknown extra samples {extra}, straight alpha is supported"
            ": save it with that"
        )
    shades = _value(image.tag_v2, Tag.PhotometricInterpretation, _BLACK_IS_ZERO)
    if mode is Mode.L16 and shades == _WHITE_IS_ZERO:
        raise UnsupportedImageError("16-bit TIFF with white as 0, black as 0 is supported")
    colours = _values(image.tag_v2, Tag.ColorMap, 0)
    if mode is Mode.PALETTE8 and any(colour & 0xFF not in (0, colour >> 8) for colour in colours):
        raise UnsupportedImageError("TIFF palette of 16-bit colours, 8-bit colours are supported")


def inspect(image: TiffImageFile, data: bytes) -> Samples | None:
    """Upright samples (h, w, c) of 16-bit colour; None for a file that Pillow reads exactly.

    Raises:
        UnsupportedImageError: see `check`, or 16-bit samples are stored in an unknown way.
    """
    check(image)
    if not is_deep(image) or image.mode not in ("RGB", "RGBA"):
        return None
    samples = _decode(data, image.tell(), image.tag_v2)
    # Two readers, one picture: Pillow keeps the upper bytes, which guards the layout above. Not so
    # for separate planes, which Pillow misreads when they are not compressed.
    load(image)
    reduced = np.asarray(image)
    planar = _is_planar(image.tag_v2)
    agree = samples.shape == reduced.shape and (planar or np.array_equal(samples >> 8, reduced))
    if samples.dtype != np.uint16 or not agree:
        raise UnsupportedImageError("16-bit TIFF of a layout that is not understood: use .png")
    return samples


def _is_planar(tags: Tags) -> bool:
    return _value(tags, Tag.PlanarConfiguration, _INTERLEAVED) == _SEPARATE_PLANES


def _decode(data: bytes, page: int, tags: Tags) -> Samples:
    """Upright samples (h, w, c) of a page, counted from 0."""
    deep = np.asarray(imagecodecs.tiff_decode(data, index=page))
    turn = _UPRIGHT.get(_value(tags, Tag.Orientation, 1), _UPRIGHT[1])
    return turn(np.moveaxis(deep, 0, -1) if _is_planar(tags) else deep)


def _values(tags: Tags, tag: Tag, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, tuple) else (int(value),)


def _value(tags: Tags, tag: Tag, default: int) -> int:
    return int(tags.get(tag, default))
