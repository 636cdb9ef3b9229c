"""What users hand in, as what the codecs take: images as rasters, .nzp files as bytes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bitstream.errors import NotNoisepressError, UnsupportedImageError
from .image.jpeg import frame_size
from .image.raster import MAX_PIXELS, Mode, Raster, check_size, from_array, from_tensor
from .image.read import from_pillow, open_image
from .sources import FileSource, file_bytes

Data: TypeAlias = FileSource | NDArray[np.uint8]
"""A .nzp file: see `FileSource`; or its bytes as a uint8 array (n,)."""


@dataclass(frozen=True)
class UnreadJpeg:
    """A JPEG file whose picture is not read: it can be kept as a file.

    Attributes:
        jpeg: the file.
        width, height: in pixels, as it states them.
        reason: why the picture is not read; not compared.
    """

    mode: ClassVar[Mode] = Mode.L8
    """In files, in place of a sample layout."""

    jpeg: bytes
    width: int
    height: int
    reason: str = field(compare=False)


def as_raster(image: object) -> Raster:
    """Any image that the library takes.

    Args:
        image: see `as_image`.

    Raises:
        UnsupportedImageError, OSError: see `as_image`; also for an `UnreadJpeg`.
    """
    found = as_image(image)
    if isinstance(found, UnreadJpeg):
        raise UnsupportedImageError(found.reason)
    return found


def as_image(image: object, pixels: int = MAX_PIXELS) -> Raster | UnreadJpeg:
    """Any image that the library takes, or a JPEG file that it can only keep.

    Args:
        image: a Raster or UnreadJpeg; `FileSource`; an array (see `from_array`) or what numpy takes
            for one; a torch tensor (see `from_tensor`); or a Pillow image (see `from_pillow`).
        pixels: that it may have; those of a file are checked before they are decoded.

    Raises:
        UnsupportedImageError: it is none of these, or one that would not be kept exactly.
        LimitError: it has more pixels.
        OSError: a path or file cannot be read.
    """
    found = _found(image, pixels)
    check_size(found.width, found.height, pixels)
    return found


def _found(image: object, pixels: int) -> Raster | UnreadJpeg:
    if isinstance(image, (Raster, UnreadJpeg)):
        return image
    if isinstance(image, Image.Image):
        check_size(*image.size, pixels)
        return from_pillow(image)
    tensors: Any = getattr(sys.modules.get("torch"), "Tensor", ())  # torch stays unloaded
    if isinstance(image, tensors):
        return from_tensor(image)
    data = file_bytes(image, UnsupportedImageError)
    if data is not None:
        return _opened(data, pixels)
    if hasattr(image, "__array__") or hasattr(image, "__array_interface__"):
        return from_array(image)
    raise UnsupportedImageError(
        f"{type(image).__name__} is not an image: give a path, file bytes, a binary file, "
        "a numpy array, a torch tensor or a Pillow image"
    )


def _opened(data: bytes, pixels: int) -> Raster | UnreadJpeg:
    try:
        return open_image(data, pixels=pixels)
    except UnsupportedImageError as error:
        size = frame_size(data)
        if size is None or size[0] * size[1] > MAX_PIXELS:
            raise
        return UnreadJpeg(data, *size, str(error))


def as_mapped(source: Data) -> bytes | mmap:
    """Like `as_data`, but of a path a memory map, so that what is not looked at is not read."""
    if isinstance(source, (str, os.PathLike)):
        with suppress(ValueError, OSError), open(source, "rb") as file:  # empty files have no map
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    return as_data(source)


def as_data(source: Data) -> bytes | mmap:
    """The bytes of a .nzp file, whatever holds or names it.

    Args:
        source: `FileSource`, or a uint8 array (n,).

    Returns:
        bytes; a memory map as it is, so that what is not looked at is not read.

    Raises:
        NotNoisepressError: the source is of another type, a text file, or closed.
        OSError: a path or file cannot be read.
    """
    if isinstance(source, mmap):
        return source
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 1:
            raise NotNoisepressError(
                f"{source.dtype} array of shape {source.shape} is not a .nzp file: "
                "uint8 of shape (n,) is supported"
            )
        return source.tobytes()
    data = file_bytes(source, NotNoisepressError)
    if data is None:
        raise NotNoisepressError(
            f"{type(source).__name__} is not a .nzp file: give a path, bytes, a memoryview, "
            "a uint8 array or a binary file"
        )
    return data
