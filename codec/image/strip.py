"""Images without the metadata that they came with."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from PIL import Image
from PIL.ExifTags import Base as Tag

from ...bitstream.errors import OptionError
from . import jpeg, png
from .raster import Raster
from .write import orientation

Strip = Literal["private", "all"]
"""What to remove: `private` is EXIF, XMP, text, comments, thumbnails, time and what is not known;
`all` is also the ICC profile, other colour and the resolution. The orientation stays."""


def stripped(raster: Raster, what: Strip) -> Raster:
    """An image without metadata; a JPEG file that comes along has the same picture without it.

    Raises:
        OptionError: `what` is something else.
    """
    if what not in get_args(Strip):
        raise OptionError(f"strip is {what!r}, supported are {', '.join(get_args(Strip))}")
    colour, turned = what == "private", orientation(raster)
    exif = _only(turned) if turned > 1 else b""
    file = jpeg.without(raster.jpeg, colour, exif) if raster.jpeg else b""
    return replace(
        raster,
        icc=raster.icc if colour else b"",
        exif=exif,
        xmp=b"",
        chunks=png.without(raster.chunks, colour),
        jpeg=file,
    )


def _only(turned: int) -> bytes:
    """EXIF that holds an orientation and nothing else."""
    exif = Image.Exif()
    exif[Tag.Orientation] = turned
    return exif.tobytes().removeprefix(b"Exif\0\0")
