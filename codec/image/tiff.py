"""TIFF: which files Pillow reads exactly, and 16-bit colour that it would reduce."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import imagecodecs
import numpy as np
from PIL import Image

from ...bitstream.errors import UnsupportedImageError
from .raster import BY_PILLOW, U16, Mode, Samples

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_ORIENTATION, _TIFF_SAMPLES = 258, 262, 274, 277


_TIFF_PLANAR, _TIFF_COLORMAP, _TIFF_EXTRA, _TIFF_FORMAT = 284, 320, 338, 339


_SEPARATE_PLANES: Final = 2


_WHITE_IS_ZERO: Final = 0


_STRAIGHT_ALPHA: Final = 2


# Rows and columns as stored, to upright; index is the orientation tag.
_UPRIGHT: Final[Mapping[int, Callable[[Samples], Samples]]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return getattr(image, "tag_v2", {})


def _tuple_tag(tags: Mapping[int, Any], tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(value) if isinstance(value, tuple) else (int(value),)


def is_deep(image: Image.Image) -> bool:
    tags = _tags(image)
    return _tuple_tag(tags, _TIFF_BITS, 1)[0] == 16 and int(tags.get(_TIFF_SAMPLES, 1)) > 1


def check_tiff(image: Image.Image) -> None:
    """Refuse what Pillow reads otherwise than as stored; the tags say so before it reads."""
    tags, mode = _tags(image), BY_PILLOW.get(image.mode)
    if mode is None:
        return  # refused by its mode, whose name says more than the tags
    bits = set(_tuple_tag(tags, _TIFF_BITS, 1)[: mode.channels])
    if bits not in ({1}, {2}, {4}, {8}, {16}) or (mode.channels > 1 and min(bits) < 8):
        raise UnsupportedImageError(
            f"TIFF with {sorted(bits)} bits a sample, 1, 2, 4, 8 and 16 bits are supported"
        )
    if set(_tuple_tag(tags, _TIFF_FORMAT, 1)) != {1}:
        raise UnsupportedImageError("TIFF with signed or float samples, unsigned is supported")
    if int(tags.get(_TIFF_SAMPLES, 1)) != mode.channels:
        raise UnsupportedImageError(
            f"TIFF with {tags[_TIFF_SAMPLES]} samples a pixel, {mode.channels} are supported"
            f" for {image.mode}"
        )
    extra = _tuple_tag(tags, _TIFF_EXTRA, _STRAIGHT_ALPHA)
    if mode.has_alpha and extra not in ((), (_STRAIGHT_ALPHA,)):
        raise UnsupportedImageError(
            f"TIFF with premultiplied or unknown extra samples {extra}, straight alpha is supported"
        )
    if mode is Mode.L16 and int(tags.get(_TIFF_PHOTOMETRIC, 1)) == _WHITE_IS_ZERO:
        raise UnsupportedImageError("16-bit TIFF with white as 0, black as 0 is supported")
    if mode is Mode.PALETTE8 and any(
        entry & 0xFF not in (0, entry >> 8) for entry in tags.get(_TIFF_COLORMAP, ())
    ):
        raise UnsupportedImageError("TIFF palette of 16-bit colours, 8-bit colours are supported")


def inspect_tiff(image: Image.Image, data: bytes) -> Samples | None:
    """Check the tags; 16-bit samples of several channels, rows upright, channels last."""
    check_tiff(image)
    if not is_deep(image) or image.mode not in ("RGB", "RGBA"):
        return None
    turn = _UPRIGHT.get(int(_tags(image).get(_TIFF_ORIENTATION, 1)), _UPRIGHT[1])
    planar = int(_tags(image).get(_TIFF_PLANAR, 1)) == _SEPARATE_PLANES
    deep = np.asarray(imagecodecs.tiff_decode(data, index=0))
    samples = turn(np.moveaxis(deep, 0, -1) if planar else deep)
    # Two readers, one picture: Pillow keeps the upper bytes, which guards the layout above. Not so
    # for separate planes, which Pillow misreads when they are not compressed.
    reduced = np.asarray(image)
    agree = samples.shape == reduced.shape and (planar or np.array_equal(samples >> 8, reduced))
    if samples.dtype != U16 or not agree:
        raise UnsupportedImageError("16-bit TIFF of a layout that is not understood: use .png")
    return samples
