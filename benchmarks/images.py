"""Images as codecs are given them: of any layout to lossless codecs, 8-bit RGB to lossy ones."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import noisepress
from noisepress import Mode, Raster
from noisepress.codec.image.jpeg import frame_size
from noisepress.codec.image.raster import to_array

from .results import COLOUR, JPEG

Pixels = NDArray[np.uint8]
"""Of RGB, (h, w, 3)."""

_JPEG_START = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Original:
    """An image file.

    Attributes:
        file: its bytes.
        raster: the picture, without metadata, which peers do not keep; None: a JPEG file whose
            picture is not supported.
    """

    file: bytes
    raster: Raster | None

    @classmethod
    def open(cls, path: Path) -> Original:
        """Read a file.

        Raises:
            UnsupportedImageError: it is no image, or one that is not supported.
            OSError: it cannot be read.
        """
        file = path.read_bytes()
        try:
            with warnings.catch_warnings():  # metadata are not measured
                warnings.simplefilter("ignore", noisepress.LossWarning)
                raster = noisepress.open_image(file)
        except noisepress.UnsupportedImageError:
            if not file.startswith(_JPEG_START):
                raise
            return cls(file, None)
        return cls(file, replace(raster, icc=b"", exif=b"", xmp=b"", chunks=b"", jpeg=b""))

    @property
    def is_jpeg(self) -> bool:
        """Whether it is a JPEG file."""
        return self.file.startswith(_JPEG_START)

    @property
    def width(self) -> int:
        """In pixels."""
        return self._size[0]

    @property
    def height(self) -> int:
        """In pixels."""
        return self._size[1]

    @property
    def _size(self) -> tuple[int, int]:
        if self.raster is not None:
            return self.raster.width, self.raster.height
        return frame_size(self.file) or (0, 0)

    @property
    def channels(self) -> int:
        """Samples of a pixel; 1 where there is no picture."""
        return 1 if self.raster is None else self.raster.mode.channels

    @property
    def picture(self) -> Raster:
        """The raster.

        Raises:
            UnsupportedImageError: there is none.
        """
        if self.raster is None:
            raise noisepress.UnsupportedImageError("the JPEG file has a picture that is not read")
        return self.raster

    @property
    def kind(self) -> str:
        """One of `results.KINDS`."""
        if self.is_jpeg:
            return JPEG
        mode = self.picture.mode
        if mode is Mode.BILEVEL:
            return "two-level"
        if mode is Mode.PALETTE8:
            return "palette"
        if mode.dtype == np.uint16:
            return "16 bits"
        if mode.has_alpha:
            return "opacity"
        return COLOUR if mode.colours == 3 else "8-bit grey"


def eight_bits(raster: Raster) -> NDArray[np.uint8]:
    """The pixels of a raster of 8 bits or less, (h, w) or (h, w, c).

    Raises:
        UnsupportedImageError: it has 16 bits.
    """
    pixels = to_array(raster)
    if pixels.dtype == np.uint16:
        raise noisepress.UnsupportedImageError(
            f"{raster.mode.name} is not supported, 8-bit layouts are"
        )
    return pixels.astype(np.uint8) * np.uint8(255 if pixels.dtype == np.bool_ else 1)


def as_rgb(pixels: NDArray[Any]) -> Pixels:
    """Pixels as `noisepress.decode` gives them, as 8-bit RGB: the rest is dropped."""
    return (rgba(pixels)[:, :, :3] >> 8).astype(np.uint8)


def rgba(pixels: NDArray[Any]) -> NDArray[np.uint16]:
    """Pixels (h, w) or (h, w, 1 to 4) of bool, uint8 or uint16 as RGBA of 16 bits, (h, w, 4).

    Two arrays that show the same picture exactly become equal.
    """
    factor = {np.dtype(np.bool_): 65535, np.dtype(np.uint8): 257}.get(pixels.dtype, 1)
    wide = np.atleast_3d(pixels).astype(np.uint16) * np.uint16(factor)
    opaque = np.full((*wide.shape[:2], 1), 65535, np.uint16)
    order = {1: [0, 0, 0, -1], 2: [0, 0, 0, 1], 3: [0, 1, 2, -1], 4: [0, 1, 2, 3]}
    whole: NDArray[np.uint16] = np.concatenate([wide, opaque], 2)[:, :, order[wide.shape[2]]]
    return whole
