"""Shared by the tests: images, image files that other libraries write, and checks.

The photographs are those of scikit-image that its package contains.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from skimage import data, metrics

from noisepress.codec.image.raster import Mode, Palette, Raster, Samples
from noisepress.codec.image.write import save_image

Pixels = NDArray[np.uint8]

HEIGHT, WIDTH = 22, 26
"""The size of `crop`."""


# Images --------------------------------------------------------------------------------------


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """Waves of brightness with a little noise, shape (height, width, channels)."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width][..., None]
    shade = 100 + 60 * np.sin(row / 9 + seed + np.arange(channels)) + 30 * np.cos(column / 5)
    image: Pixels = (shade + rng.normal(0, 4, shade.shape)).clip(0, 255).astype(np.uint8)
    return image


def small_arrays() -> st.SearchStrategy[NDArray[Any]]:
    """Arrays of up to 9 by 9 zeros and ones, of any type that images have."""
    return arrays(
        st.sampled_from([np.uint8, np.uint16, np.bool_]),
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.integers(0, 1),
    )


def smooth(height: int, width: int, channels: int = 3, seed: int = 0, noise: float = 1.5) -> Pixels:
    """A smooth image with noise of a standard deviation, shape (height, width, channels)."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width][..., None] / 32
    (down, along), base = rng.normal(0, 40, (2, channels)), rng.uniform(80, 180, channels)
    shade = base + down * np.sin(row) + along * np.cos(column)
    image: Pixels = (shade + rng.normal(0, noise, shade.shape)).clip(0, 255).astype(np.uint8)
    return image


def photograph(name: str) -> Pixels:
    """A photograph: `astronaut` and `coffee` are in colour, `coins` is grey."""
    image: Pixels = getattr(data, name)()
    return image


def crop(channels: int, dtype: type[Any] = np.uint8, height: int = HEIGHT) -> Samples:
    """A part of a photograph, shape (height, WIDTH, channels).

    The fourth channel is of another photograph. The lower bytes of 16-bit samples are noise.
    """
    place = slice(90, 90 + height), slice(200, 200 + WIDTH)
    planes = np.dstack([photograph("astronaut")[place], photograph("coins")[place]])
    planes = planes[:, :, :channels]
    if dtype is np.uint8:
        return planes
    lower = np.random.default_rng(channels).integers(0, 256, planes.shape, np.uint16)
    deep: Samples = planes.astype(np.uint16) << 8 | lower
    return deep


def raster(mode: Mode, height: int, width: int, seed: int = 0, **metadata: Any) -> Raster:
    """A smooth image of any sample layout; opacity is noise."""
    rng = np.random.default_rng(seed)
    shape = (height, width, mode.channels)
    samples = smooth(*shape, seed=seed).astype(mode.dtype)
    palette = b""
    if mode.dtype == np.uint16:
        samples = samples * 257 ^ rng.integers(0, 256, shape, np.uint16)
    if mode is Mode.BILEVEL:
        samples //= 128
    if mode is Mode.PALETTE8:
        samples %= 8
        palette = Palette(rng.integers(0, 256, (8, 3), np.uint8), b"\x80").pack()
    if mode.has_alpha:
        samples[..., -1] = rng.integers(0, 256, shape[:2])
    return Raster(samples, mode, palette, **metadata)


def noise(mode: Mode, height: int = 5, width: int = 7, colours: int = 5, **metadata: Any) -> Raster:
    """Random samples over the whole range of a mode; a palette has translucent colours."""
    top = {Mode.BILEVEL: 2, Mode.PALETTE8: colours}.get(mode, np.iinfo(mode.dtype).max + 1)
    rng = np.random.default_rng(mode)
    samples = rng.integers(0, top, (height, width, mode.channels)).astype(mode.dtype)
    opacity = b"\xff\x80\x00"[:colours]
    palette = Palette(rng.integers(0, 256, (colours, 3), np.uint8), opacity)
    return Raster(samples, mode, palette.pack() if mode is Mode.PALETTE8 else b"", **metadata)


# Image files ---------------------------------------------------------------------------------


def pillow(channels: int) -> Image.Image:
    """The crop as a Pillow image of mode L, LA, RGB or RGBA."""
    array = crop(channels)
    return Image.fromarray(array[:, :, 0] if channels == 1 else array)


def to_pillow(raster: Raster) -> Image.Image:
    """The image of a raster as Pillow reads it from a PNG."""
    return Image.open(BytesIO(save_image(raster, ".png")))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow writes of an image."""
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(array: NDArray[Any], **options: Any) -> bytes:
    """The file that tifffile writes of an array (h, w) or (h, w, c), or (c, h, w) in planes."""
    photometric = "minisblack" if array.ndim == 2 else "rgb"
    out = BytesIO()
    tifffile.imwrite(out, array, metadata=None, **{"photometric": photometric, **options})
    return out.getvalue()


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """A PNG file with a further chunk straight after its header."""
    return png[:33] + chunk + png[33:]


# Checks --------------------------------------------------------------------------------------


def psnr(found: NDArray[Any], image: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit images; infinite if they are equal."""
    with np.errstate(divide="ignore"):
        return float(metrics.peak_signal_noise_ratio(image, found, data_range=255))


def one_line(error: pytest.ExceptionInfo[BaseException] | BaseException) -> str:
    """The text of an error, which must have one line."""
    text = str(error.value if isinstance(error, pytest.ExceptionInfo) else error)
    assert text and "\n" not in text
    return text
