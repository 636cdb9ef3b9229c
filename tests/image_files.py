"""Image files that tests make: crops of scikit-image's photographs, and noise of every layout."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from noisepress.codec.image.raster import Mode, Palette, Raster, Samples
from noisepress.codec.image.write import save_image

HEIGHT, WIDTH = 22, 26

PALETTE = Palette(np.arange(15, dtype=np.uint8).reshape(5, 3), b"\xff\x80\x00").pack()
"""Five colours, of which two are translucent."""


def noise(mode: Mode, height: int = 5, width: int = 7, **metadata: bytes) -> Raster:
    """Samples over the whole range of a mode."""
    top = {Mode.BILEVEL: 2, Mode.PALETTE8: 5}.get(mode, np.iinfo(mode.dtype).max + 1)
    rng = np.random.default_rng(mode)
    samples = rng.integers(0, top, (height, width, mode.channels)).astype(mode.dtype)
    return Raster(samples, mode, PALETTE if mode is Mode.PALETTE8 else b"", **metadata)


def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph of scikit-image's: `astronaut` and `coffee` have colours, `coins` has none."""
    image: NDArray[np.uint8] = getattr(data, name)()
    return image


def crop(channels: int, dtype: type[Any] = np.uint8, height: int = HEIGHT) -> Samples:
    """A part of a photograph, shape (height, WIDTH, channels); a fourth channel is of another one.

    The lower bytes of 16-bit samples are noise.
    """
    place = slice(90, 90 + height), slice(200, 200 + WIDTH)
    planes = np.dstack([photograph("astronaut")[place], photograph("coins")[place]])
    planes = planes[:, :, :channels]
    if dtype is np.uint8:
        return planes
    lower = np.random.default_rng(channels).integers(0, 256, planes.shape, np.uint16)
    deep: Samples = planes.astype(np.uint16) << 8 | lower
    return deep


def pillow(channels: int) -> Image.Image:
    """The crop as a Pillow image of mode L, LA, RGB or RGBA."""
    array = crop(channels)
    return Image.fromarray(array[:, :, 0] if channels == 1 else array)


def to_pillow(raster: Raster) -> Image.Image:
    """The image of a raster as Pillow reads it from a PNG."""
    return Image.open(BytesIO(save_image(raster, ".png")))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow makes of an image."""
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(array: NDArray[Any], **options: Any) -> bytes:
    """The file that tifffile makes of an array (h, w) or (h, w, c), or (c, h, w) in planes."""
    photometric = "minisblack" if array.ndim == 2 else "rgb"
    out = BytesIO()
    tifffile.imwrite(out, array, metadata=None, **{"photometric": photometric, **options})
    return out.getvalue()


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """A PNG file with one chunk more, straight after its header."""
    return png[:33] + chunk + png[33:]
