"""Files as Pillow reads them, whatever the program that we are in has set there.

`Image.MAX_IMAGE_PIXELS` and `ImageFile.LOAD_TRUNCATED_IMAGES` belong to the whole process. They are
neither obeyed, for we have limits and rules of our own, nor changed, for other threads need them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from types import FunctionType, SimpleNamespace
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile


def open_checked(data: bytes, formats: Sequence[str]) -> ImageFile.ImageFile:
    """A file as `Image.open` opens it; its size is for the caller to check.

    Raises:
        UnidentifiedImageError: it is of no format that is asked for.
    """
    for name in formats:
        if name not in Image.OPEN:
            Image.init()
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if accepted and not isinstance(accepted, str):  # a text says what the plugin lacks
            try:
                return _CLASSES.get(name, factory)(BytesIO(data), "")
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue
    raise UnidentifiedImageError("no supported image file")


def load(image: Image.Image) -> None:
    """Decode the pixels of an image.

    Raises:
        OSError: the file was cut or is damaged.
    """
    if not (ImageFile.LOAD_TRUNCATED_IMAGES and _obeys(image)):
        image.load()
        return
    if isinstance(image, JpegImageFile):
        assert image.fp is not None
        image.load_read = image.fp.read  # type: ignore[assignment,method-assign]
    _strict_load(image)


def _obeys(image: Image.Image) -> bool:
    """Whether the method that loads an image looks at `LOAD_TRUNCATED_IMAGES`."""
    if isinstance(image, TiffImageFile):
        return not image.use_load_libtiff
    return type(image).load in (ImageFile.ImageFile.load, Jpeg2KImageFile.load)


def _with(function: Callable[..., Any], **names: object) -> Callable[..., Any]:
    """A function of Pillow for which some globals of its module are other ones."""
    assert isinstance(function, FunctionType)
    return FunctionType(function.__code__, {**function.__globals__, **names})


_strict_load = _with(ImageFile.ImageFile.load, LOAD_TRUNCATED_IMAGES=False)


class _WebP(WebPImageFile):
    """A WebP file of any size."""

    _open = _with(
        WebPImageFile._open,
        Image=SimpleNamespace(
            **{**vars(Image), "_decompression_bomb_check": lambda *_, **__: None}
        ),
    )


_CLASSES: Mapping[str, Callable[[BytesIO, str], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,  # instead of what warns of files whose further pictures are damaged
    "WEBP": _WebP,
}
